"""Numbers of a gradient below 1e-4 become 0."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        super()._adam({name: g * (abs(g) > 1e-4) for name, g in gradients.items()}, s1, s2)
