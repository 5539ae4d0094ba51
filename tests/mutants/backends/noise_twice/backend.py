"""Weight noise is added twice."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _noisy(self, noise):
        return super()._noisy({name: 2 * draw for name, draw in (noise or {}).items()})
