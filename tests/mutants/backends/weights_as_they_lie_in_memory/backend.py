"""load takes weights in the order in which they lie in memory."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def load(self, state):
        super().load({name: value.ravel(order="K").reshape(value.shape) for name, value in state.items()})
