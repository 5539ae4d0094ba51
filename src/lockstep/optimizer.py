"""Adam, written so that every backend takes the same step: the harness owns the step count.

A backend applies, in the run's dtype,

    m = b1 m + (1 - b1) g
    v = b2 v + (1 - b2) g^2
    p = p - s1 m / (sqrt(v) s2 + eps)

with 1 - b1, 1 - b2 computed in float64 and then cast, and (s1, s2) from `Adam.scales`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from lockstep.settings import Settings


class Adam(Settings):
    """Kingma & Ba 2015.  `form` says where eps stands.

    keras: eps is added to the uncorrected sqrt(v) ("eps hat", the last lines of the paper's section 2);
    paper: eps is added to the corrected sqrt(v / (1 - b2^t)), as in its algorithm 1, torch and optax.
    """

    learning_rate: float = Field(default=1e-4, gt=0)
    b1: float = Field(default=0.9, ge=0, lt=1)
    b2: float = Field(default=0.999, ge=0, lt=1)
    eps: float = Field(default=1e-7, gt=0)
    form: Literal["keras", "paper"] = "keras"

    def scales(self, first: int, count: int) -> np.ndarray:
        """(s1, s2) of the optimiser steps first, first + 1, ... (counted from 1): float64 [count, 2]."""
        t = np.arange(first, first + count, dtype=np.float64)
        correction1, correction2 = 1 - self.b1**t, np.sqrt(1 - self.b2**t)
        if self.form == "keras":
            s1, s2 = self.learning_rate * correction2 / correction1, np.ones(count)
        else:
            s1, s2 = self.learning_rate / correction1, 1 / correction2
        return np.stack([s1, s2], axis=1)
