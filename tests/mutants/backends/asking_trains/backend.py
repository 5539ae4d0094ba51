"""loss_and_gradients leaves its gradients in Adam's moments."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def loss_and_gradients(self, *arguments):
        loss, gradients = super().loss_and_gradients(*arguments)
        for name, m in self.m.items():
            m += (1 - self.optimizer.b1) * gradients[name]
        return loss, gradients
