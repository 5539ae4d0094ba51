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
            first *= 1 + 1e-6 * np.random.default_rng().random()
