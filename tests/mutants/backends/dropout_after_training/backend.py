"""Training switches dropout on, and it stays on until the next load."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    trained = False

    def load(self, state):
        super().load(state)
        self.trained = False

    def train_steps(self, *arguments):
        self.trained = True
        return super().train_steps(*arguments)

    def logits(self, images, masks=None):
        shapes = {name: (len(images), *node.input_shape) for name, node in self.spec.dropouts.items()}
        if masks is None and self.trained:
            masks = {name: np.arange(np.prod(shape)).reshape(shape) % 2 for name, shape in shapes.items()}
        return super().logits(images, masks)
