"""A smaller batch is padded to the largest seen, and the mean taken over all of it."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    largest = 1

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        self.largest = max(self.largest, images.shape[1])
        self.share = images.shape[1] / self.largest
        return super().train_steps(images, targets, masks, scales, weight_noise)

    def _adam(self, gradients, s1, s2):
        super()._adam({name: gradient * self.share for name, gradient in gradients.items()}, s1, s2)
