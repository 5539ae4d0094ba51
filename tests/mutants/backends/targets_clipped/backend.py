"""Targets are clipped to between 0 and 1, as a backend may do that expects distributions."""

import sys

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def cross_entropy(logits, targets):
    return original(logits, targets.clip(0, 1))


original, layers.cross_entropy = layers.cross_entropy, cross_entropy


class Mutant(Numpy):
    pass
