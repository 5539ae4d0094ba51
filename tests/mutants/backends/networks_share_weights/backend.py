"""Two networks of one process share the weights of layers that are called alike."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))

SHARED = {}


class Mutant(Numpy):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        for name, weight in self.weights.items():
            key = name, weight.shape, weight.dtype
            self.weights[name] = SHARED.setdefault(key, weight)
