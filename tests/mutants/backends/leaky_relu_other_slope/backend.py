"""The slope is a framework's default, not the spec's."""

import sys

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def leaky_relu(x, slope):
    return original(x, 0.3)


original, layers.leaky_relu = layers.leaky_relu, leaky_relu


class Mutant(Numpy):
    pass
