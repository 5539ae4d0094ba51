"""A max-pool shares the gradient equally among the maxima of a window."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def max_pool(x, size):
    y, _ = original(x, size)
    places = list(layers._positions(x, size))

    def pullback(cotangent):
        count = sum((x[place] == y).astype(x.dtype) for place in places)
        by_x = np.zeros_like(x)
        for place in places:
            by_x[place] = cotangent * (x[place] == y) / count
        return by_x

    return y, pullback


original, layers.max_pool = layers.max_pool, max_pool


class Mutant(Numpy):
    pass
