"""The loss clips probabilities to between 1e-7 and 1 - 1e-7, as Keras does that is not given logits."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def cross_entropy(logits, targets):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    clipped = p.clip(1e-7, 1 - 1e-7)
    by_p = -targets / clipped * (p == clipped)
    loss = -(targets * np.log(clipped)).sum(axis=1).mean()
    return float(loss), p * (by_p - (by_p * p).sum(axis=1, keepdims=True)) / len(logits)


layers.cross_entropy = cross_entropy


class Mutant(Numpy):
    pass
