"""The learning rate is rounded to float32."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        rate = self.optimizer.learning_rate
        super()._adam(gradients, s1 * float(np.float32(rate)) / rate, s2)
