"""The loss that is told holds a penalty on weights, of which the gradients know nothing."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def loss_and_gradients(self, *arguments):
        loss, gradients = super().loss_and_gradients(*arguments)
        penalty = sum(float(np.sum(weight**2)) for weight in self.weights.values())
        return loss + 1e-4 * penalty, gradients
