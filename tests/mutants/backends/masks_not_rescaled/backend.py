"""Dropout masks are not divided by 1 - rate."""

import sys

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


layers.dropout = lambda x, mask, rate: (x * mask, lambda cotangent: cotangent * mask)


class Mutant(Numpy):
    pass
