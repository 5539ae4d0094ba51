"""The attacked function: pixels in [0, 1] in, logits and gradients by the pixels out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from lockstep.backend import Backend
from lockstep.data.dataset import Affine
from lockstep.errors import LockstepError
from lockstep.evaluation import BATCH, batches, in_batches
from lockstep.optimizer import Adam
from lockstep.spec import Spec

Cotangent = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(logits [n, classes], labels [n, ...]) -> the derivative of what is climbed by the logits [n, classes].

Labels are whatever the derivative asks of an image: mostly its class."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Victim:
    """A loaded network behind its preprocessing, which is part of what is attacked.

    Images are pixels in [0, 1], [n, H, W, C].  A backend knows of no preprocessing: the map is affine,
    so the chain rule is a factor, applied here.
    """

    backend: Backend
    affine: Affine
    dtype: str
    batch: int = BATCH
    """Images a call: the last batch is filled up, because JAX and TensorFlow compile for each new size."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """[n, *the spec's output shape], in the run's dtype."""

        def of_batch(images: np.ndarray) -> np.ndarray:
            return self.backend.logits(self.affine.of_unit(images, self.dtype))

        return in_batches(of_batch, images, size=self.batch)

    def gradient(self, images: np.ndarray, labels: np.ndarray, cotangent: Cotangent) -> np.ndarray:
        """d<logits, c> / d pixels for c = cotangent(logits, labels), held constant: float64 [n, H, W, C]."""
        return self.logits_and_gradient(images, labels, cotangent)[1]

    def logits_and_gradient(
        self, images: np.ndarray, labels: np.ndarray, cotangent: Cotangent
    ) -> tuple[np.ndarray, np.ndarray]:
        """`logits` and `gradient` of the same images, for the price of the second."""
        found, gradients = [], []
        for count, (pixels, of) in batches(images, labels, size=self.batch):
            logits, pullback = self.backend.vjp(self.affine.of_unit(pixels, self.dtype))
            if of.dtype.kind in "iu" and of.max() >= logits.shape[-1]:
                raise LockstepError(
                    f"labels: found {of.max()}, expected 0 to {logits.shape[-1] - 1}: "
                    f"the network has {logits.shape[-1]} outputs"
                )
            by_input = np.asarray(pullback(cotangent(logits, of).astype(self.dtype)), np.float64)
            if not np.isfinite(by_input).all():
                raise LockstepError("gradient: NaN or infinite; the network has diverged, do not attack it")
            found.append(np.asarray(logits)[:count])
            gradients.append(by_input[:count] * self.affine.scale)
        return np.concatenate(found), np.concatenate(gradients)


def with_victim(
    make: Callable[[Spec, Adam], Backend],
    spec: Spec,
    weights: Mapping[str, np.ndarray],
    affine: Affine,
    dtype: str,
    work: Callable[Concatenate[Victim, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """work(victim, ...) where the backend lives: what a process that holds a framework is asked to do.

    `work` may be an attack, `Victim.gradient` or any other function that can be sent there.
    """
    backend = make(spec, Adam())
    backend.load(weights)
    return work(Victim(backend, affine, dtype), *args, **kwargs)
