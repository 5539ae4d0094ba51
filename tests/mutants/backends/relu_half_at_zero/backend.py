"""relu'(0) = 1/2, as `maximum` has it in several frameworks."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def relu(x):
    return np.maximum(x, 0), lambda cotangent: cotangent * ((x > 0) + 0.5 * (x == 0))


layers.relu = relu


class Mutant(Numpy):
    pass
