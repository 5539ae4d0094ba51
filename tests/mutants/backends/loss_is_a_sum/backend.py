"""The loss is summed over the batch."""

import sys

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def cross_entropy(logits, targets):
    loss, cotangent = original(logits, targets)
    return loss * len(logits), cotangent * len(logits)


original, layers.cross_entropy = layers.cross_entropy, cross_entropy


class Mutant(Numpy):
    pass
