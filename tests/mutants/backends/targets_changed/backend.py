"""train_steps subtracts in the array of targets."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        logits = super().train_steps(images, targets, masks, scales, weight_noise)
        targets -= logits
        return logits
