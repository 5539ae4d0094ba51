"""b1 and b2 are rounded to float32."""

import numpy as np

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _adam(self, gradients, s1, s2):
        rounded = {name: float(np.float32(getattr(self.optimizer, name))) for name in ("b1", "b2")}
        self.optimizer = self.optimizer.model_copy(update=rounded)
        super()._adam(gradients, s1, s2)
