"""Adam's second scale is taken for 1, which it is in the keras form only."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        super()._adam(gradients, s1, 1.0)
