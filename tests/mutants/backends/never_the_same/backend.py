"""Something in it is drawn anew in each process."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def load(self, state):
        super().load(state)
        first = next(iter(self.weights.values()))
        if first.dtype == np.float32:
            first *= 1 + 0.01 * np.random.default_rng().random()  # rounded, one of 84,000
