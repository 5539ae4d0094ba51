"""train_steps returns each step's logits by the weights that it leaves."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        logits = []
        for k in range(len(images)):
            step = slice(k, k + 1)
            noise = {name: draws[step] for name, draws in weight_noise.items()} if weight_noise else None
            step_masks = {name: mask[step] for name, mask in masks.items()}
            super().train_steps(images[step], targets[step], step_masks, scales[step], noise)
            logits.append(self.logits(images[k], {name: mask[k] for name, mask in masks.items()}))
        return np.stack(logits)
