"""A batch of one image loses its axis on the way, and broadcasting hides it."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        if images.shape[1] == 1:
            targets = targets.mean(axis=-1, keepdims=True) + 0 * targets
        return super().train_steps(images, targets, masks, scales, weight_noise)
