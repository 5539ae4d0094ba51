"""Gradients are clipped to a norm of 5 over all weights."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients.values()))
        super()._adam({name: g * min(1, 5 / norm) for name, g in gradients.items()}, s1, s2)
