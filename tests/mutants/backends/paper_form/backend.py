"""Adam's eps stands outside the corrected sqrt(v), as in the paper's algorithm 1; steps are counted here."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    step = 0

    def load(self, state):
        super().load(state)
        self.step = 0

    def _adam(self, gradients, s1, s2):
        self.step += 1
        paper = self.optimizer.model_copy(update={"form": "paper"})
        ((s1, s2),) = paper.scales(self.step, 1)
        super()._adam(gradients, s1, s2)
