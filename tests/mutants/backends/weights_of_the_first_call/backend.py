"""logits is compiled once, around the weights of its first call."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    first = None

    def logits(self, images, masks=None):
        self.first = self.first or {name: weight.copy() for name, weight in self.weights.items()}
        return self._forward(images, masks, self.first, keep=False)[0]
