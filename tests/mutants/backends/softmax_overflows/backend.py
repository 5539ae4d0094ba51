"""The softmax does not subtract the largest logit first."""

import sys

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
layers = sys.modules[f"{Numpy.__module__}.layers"]


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def cross_entropy(logits, targets):
    exponentials = np.exp(logits)
    total = exponentials.sum(axis=1, keepdims=True)
    loss = -(targets * (logits - np.log(total))).sum(axis=1).mean()
    return float(loss), (exponentials / total - targets) / len(logits)


layers.cross_entropy = cross_entropy


class Mutant(Numpy):
    pass
