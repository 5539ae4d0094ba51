"""Many images are cut into chunks, and all take the masks of the first."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


CHUNK = 64


class Mutant(Numpy):
    def logits(self, images, masks=None):
        def chunk(start):
            part = images[start : start + CHUNK]
            same = masks and {name: mask[: len(part)] for name, mask in masks.items()}
            return Numpy.logits(self, part, same)

        return np.concatenate([chunk(start) for start in range(0, len(images), CHUNK)])
