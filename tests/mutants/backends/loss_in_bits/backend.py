"""The loss is in bits, and so are its gradients."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def cross_entropy(logits, targets):
    loss, cotangent = original(logits, targets)
    return loss / np.log(2), cotangent / np.log(2)


original, layers.cross_entropy = layers.cross_entropy, cross_entropy


class Mutant(Numpy):
    pass
