"""Adam's b1, b2 and eps are the usual ones, whatever the run says."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        usual = {"b1": 0.9, "b2": 0.999, "eps": 1e-7}
        self.optimizer = self.optimizer.model_copy(update=usual)
        super()._adam(gradients, s1, s2)
