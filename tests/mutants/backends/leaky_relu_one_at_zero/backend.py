"""leaky_relu'(0) = 1."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def leaky_relu(x, slope):
    y, _ = original(x, slope)
    return y, lambda cotangent: cotangent * np.where(x >= 0, 1, slope)


original, layers.leaky_relu = layers.leaky_relu, leaky_relu


class Mutant(Numpy):
    pass
