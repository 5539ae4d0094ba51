"""A network that adds noise to what it is shown, at inference too: a defence whose gradient is chance.

One gradient points at the noise of the moment, so attacks on it look weak.  What does not fool itself is
the mean gradient over many draws: Athalye et al. (2018), "Obfuscated gradients give a false sense of
security".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from lockstep.attacks.balls import clip
from lockstep.attacks.victim import Cotangent, Victim
from lockstep.data.draws import Stream, generator


@dataclass(frozen=True)
class Noisy(Victim):
    """Normal noise of deviation `level` on pixels in [0, 1], drawn anew in every call."""

    level: float = 0
    draws: int = 1
    """Whose mean is the gradient that an attack is given."""
    seed: int = 0
    calls: Iterator[int] = field(default_factory=count)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return super().logits(self._shaken(images))

    def logits_and_gradient(
        self, images: np.ndarray, labels: np.ndarray, cotangent: Cotangent
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means over the draws."""
        one = super().logits_and_gradient
        found = [one(self._shaken(images), labels, cotangent) for _ in range(self.draws)]
        logits, gradients = zip(*found, strict=True)
        return np.mean(logits, axis=0), np.mean(gradients, axis=0)

    def _shaken(self, images: np.ndarray) -> np.ndarray:
        draw = generator(self.seed, Stream.INFERENCE_NOISE, next(self.calls))
        return clip(images + np.float32(self.level) * draw.standard_normal(images.shape, np.float32))
