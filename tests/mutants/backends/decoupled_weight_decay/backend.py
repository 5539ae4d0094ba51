"""Each step makes the weights smaller by 0.01 times the learning rate, as AdamW does."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        for weight in self.weights.values():
            weight *= 1 - self.optimizer.learning_rate * 0.01
        super()._adam(gradients, s1, s2)
