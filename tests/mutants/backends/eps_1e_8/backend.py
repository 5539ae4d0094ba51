"""Adam's eps is 1e-8, whatever the run says."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        self.optimizer = self.optimizer.model_copy(update={"eps": 1e-8})
        super()._adam(gradients, s1, s2)
