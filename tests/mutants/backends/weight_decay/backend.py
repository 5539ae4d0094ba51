"""Training adds 0.01 times the weights to their gradients."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        super()._adam({name: g + 0.01 * self.weights[name] for name, g in gradients.items()}, s1, s2)
