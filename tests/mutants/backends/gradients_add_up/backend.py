"""Gradients are not set to zero between steps and add up."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    total = None

    def load(self, state):
        super().load(state)
        self.total = None

    def _adam(self, gradients, s1, s2):
        before = self.total or dict.fromkeys(gradients, 0)
        self.total = {name: before[name] + gradient for name, gradient in gradients.items()}
        super()._adam({name: gradient.copy() for name, gradient in self.total.items()}, s1, s2)
