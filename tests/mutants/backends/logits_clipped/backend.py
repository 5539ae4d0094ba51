"""The loss clips logits to between -20 and 20."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def cross_entropy(logits, targets):
    loss, cotangent = original(logits.clip(-20, 20), targets)
    return loss, cotangent * (np.abs(logits) < 20)


original, layers.cross_entropy = layers.cross_entropy, cross_entropy


class Mutant(Numpy):
    pass
