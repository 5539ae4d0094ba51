"""A pullback differentiates the latest call of vjp, not its own."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def vjp(self, images, masks=None):
        logits, self.latest = super().vjp(images, masks)
        return logits, lambda cotangent: self.latest(cotangent)
