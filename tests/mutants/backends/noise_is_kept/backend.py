"""The update is applied to the noisy weights."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        if weight_noise is None:
            return super().train_steps(images, targets, masks, scales)
        logits = []
        for k in range(len(images)):
            for name, noise in weight_noise.items():
                self.weights[name] += noise[k]
            step = {name: mask[k : k + 1] for name, mask in masks.items()}
            one = slice(k, k + 1)
            logits.append(super().train_steps(images[one], targets[one], step, scales[one])[0])
        return np.stack(logits)
