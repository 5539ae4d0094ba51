"""The second moment is kept in float32, in float64 too."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        super()._adam(gradients, s1, s2)
        for v in self.v.values():
            v[:] = v.astype(np.float32)
