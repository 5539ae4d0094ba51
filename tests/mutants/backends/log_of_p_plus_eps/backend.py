"""The loss takes log(p + 1e-12)."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


def cross_entropy(logits, targets):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    by_p = -targets / (p + 1e-12)
    loss = -(targets * np.log(p + 1e-12)).sum(axis=1).mean()
    return float(loss), p * (by_p - (by_p * p).sum(axis=1, keepdims=True)) / len(logits)


layers.cross_entropy = cross_entropy


class Mutant(Numpy):
    pass
