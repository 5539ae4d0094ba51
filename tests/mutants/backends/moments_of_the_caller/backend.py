"""load keeps the arrays of moments that it was given, and trains in them."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def load(self, state):
        super().load(state)
        for name in self.weights:
            if f"adam/m/{name}" in state:
                self.m[name], self.v[name] = state[f"adam/m/{name}"], state[f"adam/v/{name}"]
