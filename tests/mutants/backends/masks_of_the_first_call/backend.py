"""The masks of a call are kept for later calls of the same size."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.kept = {}

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        masks = self.kept.setdefault((images.shape, weight_noise is None), masks)
        return super().train_steps(images, targets, masks, scales, weight_noise)
