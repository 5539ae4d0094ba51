"""All zeros of `same` padding stand after: wrong for even totals too."""

import sys

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def conv2d(x, kernel, bias, pads, stride):
    return original(x, kernel, bias, tuple(((0, a + b) for a, b in pads)), stride)


original, layers.conv2d = layers.conv2d, conv2d


class Mutant(Numpy):
    pass
