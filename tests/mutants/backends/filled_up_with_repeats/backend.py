"""A smaller last batch is filled up to the largest seen with repeats of its images."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    largest = 1

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        count = images.shape[1]
        self.largest = max(self.largest, count)
        places = np.arange(self.largest) % count
        masks = {name: mask[:, places] for name, mask in masks.items()}
        logits = super().train_steps(images[:, places], targets[:, places], masks, scales, weight_noise)
        return logits[:, :count]
