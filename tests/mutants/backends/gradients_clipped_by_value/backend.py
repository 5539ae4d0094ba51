"""Each number of a gradient is clipped to between -1 and 1."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        super()._adam({name: g.clip(-1, 1) for name, g in gradients.items()}, s1, s2)
