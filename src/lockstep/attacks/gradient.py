"""Attacks that follow the gradient of each image: FGSM, and PGD with its variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.attack import checked, require
from lockstep.attacks.balls import Norm, Order
from lockstep.attacks.losses import Name, lead, uphill
from lockstep.attacks.victim import Victim
from lockstep.data.draws import Stream, by_image
from lockstep.errors import LockstepError

STEPS = 40
PATH = 2.5
"""What all steps cover together, in units of eps: a random start may lie 2 from where an attack must go."""
MADRY = 0.01 / 0.3
"""The step of Madry et al. (2018), in units of eps, for comparison with their table.  Their 40 steps cover
1.33: from many starts the other side of the ball is out of reach, so what survives is an upper bound."""
Step = float | Literal["madry"] | None


def stride(steps: int) -> float:
    """Length of a step in units of eps."""
    return PATH / max(steps, 1)


@dataclass(frozen=True)
class FGSM:
    """x + eps sign(gradient), clipped: Goodfellow et al. (2015)."""

    eps: float
    loss: Name = "cross_entropy"
    targeted: bool = False

    def __post_init__(self) -> None:
        balls.check("linf", self.eps)
        uphill(self.loss, self.targeted)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        images = checked(images, labels)
        gradient = victim.gradient(images, labels, uphill(self.loss, self.targeted))
        return balls.clip(images + np.float32(self.eps) * np.sign(gradient, dtype=np.float32))


@dataclass(frozen=True)
class PGD:
    """Steps of steepest ascent, each followed by a projection: Madry et al. (2018).

    Without a random start it is BIM (Kurakin et al. 2017); with `momentum`, MI-FGSM (Dong et al. 2018),
    whose gradients are added up after division by their L1 norm, as in the paper (foolbox signs them first).
    Of all iterates of all restarts each image keeps the one that leaves its label the furthest behind.
    """

    eps: float
    norm: Norm = "linf"
    steps: int = STEPS
    step: Step = None
    """In units of eps; default: `stride(steps)`.  "madry": `MADRY`, and the last iterate, as they keep."""
    random_start: bool = True
    restarts: int = 1
    momentum: float | None = None
    loss: Name = "cross_entropy"
    targeted: bool = False
    order: Order = "project_then_clip"
    keep: Literal["best", "last"] = "best"
    """Which iterate of a restart."""

    def __post_init__(self) -> None:
        balls.check(self.norm, self.eps)
        if self.order not in ("project_then_clip", "clip_then_project"):
            raise LockstepError(
                f"order: found {self.order!r}, expected project_then_clip or clip_then_project"
            )
        if self.keep not in ("best", "last"):
            raise LockstepError(f"keep: found {self.keep!r}, expected best or last")
        require("steps", self.steps, 0)
        if isinstance(self.step, str) and self.step != "madry":
            raise LockstepError(f"step: found {self.step!r}, expected a number, in units of eps, or madry")
        if isinstance(self.step, float | int):
            require("step", self.step, 0)
        require("restarts", self.restarts, 1)
        if self.restarts > 1 and not self.random_start:
            raise LockstepError("restarts: without a random start all are the same; leave them at 1")
        require("momentum", self.momentum or 0, 0)
        uphill(self.loss, self.targeted)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        images, cotangent = checked(images, labels), uphill(self.loss, self.targeted)
        last = self.keep == "last" or self.step == "madry"
        worst = Worst(images, labels, self.targeted)
        for restart in range(self.restarts):
            x, velocity = self._start(images, seed, first, restart), np.zeros(images.shape)
            for _ in range(self.steps):
                logits, gradient = victim.logits_and_gradient(x, labels, cotangent)
                if not last:
                    worst.offer(x, logits)
                if self.momentum is not None:
                    gradient = velocity = self.momentum * velocity + _over_l1(gradient)
                step = self.length * balls.steepest(self.norm, gradient)
                x = balls.inside(self.norm, self.order, images, self.eps, x + step.astype(np.float32))
            if last and self.restarts == 1:
                return x
            worst.offer(x, victim.logits(x))
        return worst.images

    @property
    def length(self) -> float:
        """Of a step."""
        if self.step == "madry":
            return self.eps * MADRY
        return self.eps * (stride(self.steps) if self.step is None else float(self.step))

    def _start(self, images: np.ndarray, seed: int, first: int, restart: int) -> np.ndarray:
        return (
            random_start(self.norm, self.eps, images, seed, first, restart) if self.random_start else images
        )


class Worst:
    """Of the images offered so far, each one's version that leaves its label the furthest behind."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, targeted: bool = False) -> None:
        self.images, self._labels = images.copy(), labels
        self._sign = -1 if targeted else 1
        self._ahead = np.full(len(images), -np.inf)

    def offer(self, images: np.ndarray, logits: np.ndarray) -> None:
        ahead = self._sign * lead(logits, self._labels)
        worse = ahead > self._ahead
        self.images[worse], self._ahead[worse] = images[worse], ahead[worse]


def random_start(
    norm: Norm, eps: float, images: np.ndarray, seed: int, first: int, restart: int = 0
) -> np.ndarray:
    """A point drawn uniformly from the ball around each image, then clipped: float32 [n, H, W, C]."""

    def draw(generator: np.random.Generator) -> np.ndarray:
        return balls.random(norm, images.shape[1:], eps, generator).astype(np.float32)

    return balls.clip(images + by_image(seed, Stream.ATTACK_START, first, len(images), draw, restart))


def _over_l1(gradient: np.ndarray) -> np.ndarray:
    total = np.abs(gradient).sum(axis=(1, 2, 3), keepdims=True)
    return gradient / np.maximum(total, np.finfo(np.float64).tiny)
