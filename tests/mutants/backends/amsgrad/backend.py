"""The largest second moment so far is used in place of the latest."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        before = {name: v.copy() for name, v in self.v.items()}
        b2 = self.optimizer.b2
        squares = {name: gradient**2 for name, gradient in gradients.items()}
        for name, v in self.v.items():  # what makes the next v the larger of both
            new = b2 * v + (1 - b2) * squares[name]
            v[:] = (np.maximum(before[name], new) - (1 - b2) * squares[name]) / b2
        super()._adam(gradients, s1, s2)
