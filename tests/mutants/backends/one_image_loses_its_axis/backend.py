"""The logits of one image have no axis for images."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def logits(self, images, masks=None):
        logits = super().logits(images, masks)
        return logits[0] if len(images) == 1 else logits
