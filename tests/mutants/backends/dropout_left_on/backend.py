"""Without masks, vjp makes up some of its own."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def vjp(self, images, masks=None):
        shapes = {name: (len(images), *node.input_shape) for name, node in self.spec.dropouts.items()}
        masks = masks or {name: np.arange(np.prod(s)).reshape(s) % 2 for name, s in shapes.items()}
        return super().vjp(images, masks)
