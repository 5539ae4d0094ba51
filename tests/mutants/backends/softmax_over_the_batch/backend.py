"""The softmax goes over the images of a batch, not over the classes."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def cross_entropy(logits, targets):
    exponentials = np.exp(logits - logits.max(axis=0))
    p = exponentials / exponentials.sum(axis=0)
    loss = -(targets * np.log(p)).sum(axis=1).mean()
    return float(loss), (p * targets.sum(axis=0) - targets) / len(logits)


layers.cross_entropy = cross_entropy


class Mutant(Numpy):
    pass
