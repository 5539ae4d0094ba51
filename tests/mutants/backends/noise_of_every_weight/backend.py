"""Weight noise is taken to be there for every weight."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def loss_and_gradients(self, images, targets, masks=None, weight_noise=None):
        noise = weight_noise and {name: weight_noise[name] for name in self.weights}
        return super().loss_and_gradients(images, targets, masks, noise)
