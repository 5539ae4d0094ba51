"""Images that lie where others lay are taken for those: an array is copied to the device once."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.there = {}

    def copied(self, images):
        return self.there.setdefault((images.ctypes.data, images.shape), images.copy())

    def logits(self, images, masks=None):
        return super().logits(self.copied(images), masks)

    def vjp(self, images, masks=None):
        return super().vjp(self.copied(images), masks)
