"""Each step uses the gradient of the step before it."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    before = None

    def load(self, state):
        super().load(state)
        self.before = None

    def _adam(self, gradients, s1, s2):
        gradients = {name: gradient.copy() for name, gradient in gradients.items()}
        now, self.before = self.before or gradients, gradients
        super()._adam({name: gradient.copy() for name, gradient in now.items()}, s1, s2)
