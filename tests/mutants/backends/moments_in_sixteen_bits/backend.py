"""In float32, Adam's second moment is kept with eight bits of mantissa."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        super()._adam(gradients, s1, s2)
        for v in self.v.values():
            if v.dtype == np.float32:
                v.view(np.uint32)[:] &= 0xFFFF0000
