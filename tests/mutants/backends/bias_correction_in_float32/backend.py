"""1 - b^t is computed in float32, as optimisers do that hold their state there."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    step = 0

    def load(self, state):
        super().load(state)
        self.step = 0

    def _adam(self, gradients, s1, s2):
        self.step += 1
        b1, b2 = np.float32(self.optimizer.b1), np.float32(self.optimizer.b2)
        corrections = [float(np.float32(1) - b**self.step) for b in (b1, b2)]
        super()._adam(gradients, self.optimizer.learning_rate * np.sqrt(corrections[1]) / corrections[0], s2)
