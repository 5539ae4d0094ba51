"""In float32, products are of numbers with ten bits of mantissa, as TF32 has them."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def rounded(x):
    if x.dtype != np.float32:
        return x
    return ((x.view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)


def conv2d(x, kernel, bias, pads, stride):
    return convolve(
        rounded(np.ascontiguousarray(x)), rounded(np.ascontiguousarray(kernel)), bias, pads, stride
    )


convolve, layers.conv2d = layers.conv2d, conv2d


class Mutant(Numpy):
    pass
