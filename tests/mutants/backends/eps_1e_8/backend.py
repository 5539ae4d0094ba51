"""Adam's eps is 1e-8, whatever the run says."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, s1, s2):
        self.optimizer = self.optimizer.model_copy(update={"eps": 1e-8})
        super()._adam(s1, s2)
