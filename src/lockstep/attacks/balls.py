"""The budget of an attack: a ball of radius eps around each image, met with the box [0, 1].

Images are float32 [n, H, W, C].  "linf" limits every pixel, "l2" the length of the whole perturbation.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from lockstep.errors import LockstepError

Norm = Literal["linf", "l2"]
Order = Literal["project_then_clip", "clip_then_project"]
LIMITS: dict[Norm, float] = {"linf": 1, "l2": math.inf}
"""The largest radius that says something: no pixel of the box can move by more than 1."""


def check(norm: Norm, eps: float) -> None:
    """Raise LockstepError unless there is such a norm, and eps can be the radius of its ball."""
    if norm not in LIMITS:
        raise LockstepError(f"norm: no norm {norm!r}; there are: {', '.join(LIMITS)}")
    if not (0 <= eps <= LIMITS[norm] and math.isfinite(eps)):
        wanted = (
            "0 or more" if norm == "l2" else "0 to 1: no pixel moves by more; in l2 eps is a length, and may"
        )
        raise LockstepError(f"eps: found {eps!r}, expected a number, {wanted}")


def steepest(norm: Norm, gradient: np.ndarray) -> np.ndarray:
    """Of all steps of length 1 the one along which a linear function climbs most; 0 where it is flat."""
    return np.sign(gradient) if norm == "linf" else gradient / _lengths(gradient)


def inside(norm: Norm, order: Order, images: np.ndarray, eps: float, moved: np.ndarray) -> np.ndarray:
    """Images that have moved, brought back into ball and box: float32.

    In l2 the order matters: foolbox projects and then clips; ART clips and then projects, which leaves
    more of the budget used.  Both end in ball and box, as the box is convex and holds the image; the
    last clip takes back roundings alone.
    """
    if order == "clip_then_project":
        moved = clip(moved)
    if norm == "linf":
        return clip(images + np.clip(moved - images, -eps, eps))
    change = moved.astype(np.float64) - images
    return clip((images + change * np.minimum(1, eps / _lengths(change))).astype(np.float32))


def clip(images: np.ndarray) -> np.ndarray:
    return np.clip(images, 0, 1)


def random(norm: Norm, shape: tuple[int, ...], eps: float, draw: np.random.Generator) -> np.ndarray:
    """A perturbation drawn uniformly from the ball: float64 [H, W, C]."""
    if norm == "linf":
        return draw.uniform(-eps, eps, shape)
    direction = draw.standard_normal((1, *shape))
    # In n dimensions the share of the ball within radius r is r^n.
    radius = eps * draw.uniform() ** (1 / direction.size)
    return (radius * direction / _lengths(direction))[0]


def _lengths(change: np.ndarray) -> np.ndarray:
    """[n, 1, 1, 1]; that of a zero is the smallest number above it, as it is divided by."""
    lengths = np.sqrt(np.square(change, dtype=np.float64).sum(axis=(1, 2, 3), keepdims=True))
    return np.maximum(lengths, np.finfo(np.float64).tiny)
