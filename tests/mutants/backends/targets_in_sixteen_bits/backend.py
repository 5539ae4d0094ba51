"""Targets are rounded to float16, which holds 64ths and 0 and 1 exactly."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def cross_entropy(logits, targets):
    return original(logits, targets.astype(np.float16).astype(logits.dtype))


original, layers.cross_entropy = layers.cross_entropy, cross_entropy


class Mutant(Numpy):
    pass
