"""What every attack is: images in, images of the same shape out, in the box [0, 1]."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from lockstep.attacks.victim import Victim
from lockstep.errors import LockstepError


class Attack(Protocol):
    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        """The attacked images: float32 [n, H, W, C] in [0, 1].

        images: the same shape and range; labels: integers [n], the true classes (never the network's
        guess), or those to reach for a targeted attack; first: the number of images[0] among those that
        share the seed, so that any part can be attacked alone.
        """


def checked(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The images as float32; raises LockstepError where images or labels are not what they should be."""
    if images.ndim != 4 or not len(images) or images.dtype.kind != "f":
        raise LockstepError(
            f"images: found {images.dtype} of shape {images.shape}, expected floats [n, H, W, C] in [0, 1]; "
            "divide bytes by 255"
        )
    if not (images.min() >= 0 and images.max() <= 1):  # NaN is neither
        raise LockstepError(
            f"images: found {images.min():g} to {images.max():g}, expected pixels in [0, 1], "
            "before any preprocessing"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise LockstepError(
            f"labels: found {labels.dtype} of shape {labels.shape}, expected one class, 0 or more, "
            f"for each of {len(images)} images"
        )
    return images.astype(np.float32)


def require(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise LockstepError unless a setting is a number from low to high."""
    if not (low <= value <= high and math.isfinite(value)):
        wanted = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        raise LockstepError(f"{name}: found {value!r}, expected a number, {wanted}")
