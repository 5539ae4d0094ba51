"""Attacks that follow the gradient of each image: FGSM, and PGD with its variants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.attack import checked, require
from lockstep.attacks.balls import Norm, Order
from lockstep.attacks.losses import Name, lead, uphill
from lockstep.attacks.victim import Victim
from lockstep.data.draws import Stream, by_image
from lockstep.errors import LockstepError

STEPS = 40


def stride(steps: int) -> float:
    """Length of a step in units of eps: 0.01 / 0.3, with which Madry et al. (2018) attack digits in 40 steps.

    Fewer steps are longer, so that together they still cross the ball; more are not shorter.
    """
    return 0.01 / 0.3 * max(1, STEPS / max(steps, 1))


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
    Of several restarts each image keeps the one that leaves its label the furthest behind.
    """

    eps: float
    norm: Norm = "linf"
    steps: int = STEPS
    relative_step: float | None = None
    """Default: `stride(steps)`."""
    random_start: bool = True
    restarts: int = 1
    momentum: float | None = None
    loss: Name = "cross_entropy"
    targeted: bool = False
    order: Order = "project_then_clip"

    def __post_init__(self) -> None:
        balls.check(self.norm, self.eps)
        if self.order not in ("project_then_clip", "clip_then_project"):
            raise LockstepError(
                f"order: found {self.order!r}, expected project_then_clip or clip_then_project"
            )
        require("steps", self.steps, 0)
        require("relative_step", self.relative_step or 0, 0)
        require("restarts", self.restarts, 1)
        if self.restarts > 1 and not self.random_start:
            raise LockstepError("restarts: without a random start all are the same; leave them at 1")
        require("momentum", self.momentum or 0, 0)
        uphill(self.loss, self.targeted)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        images = checked(images, labels)
        found = self._climb(victim, images, labels, self._start(images, seed, first, 0))
        if self.restarts == 1:
            return found
        worst = self._damage(victim, found, labels)
        for restart in range(1, self.restarts):
            again = self._climb(victim, images, labels, self._start(images, seed, first, restart))
            damage = self._damage(victim, again, labels)
            found[damage > worst] = again[damage > worst]
            worst = np.maximum(worst, damage)
        return found

    def _start(self, images: np.ndarray, seed: int, first: int, restart: int) -> np.ndarray:
        if not self.random_start:
            return images

        def draw(generator: np.random.Generator) -> np.ndarray:
            return balls.random(self.norm, images.shape[1:], self.eps, generator).astype(np.float32)

        moved = images + by_image(seed, Stream.ATTACK_START, first, len(images), draw, restart)
        return balls.clip(moved)

    def _climb(self, victim: Victim, images: np.ndarray, labels: np.ndarray, start: np.ndarray) -> np.ndarray:
        cotangent, x, velocity = uphill(self.loss, self.targeted), start, np.zeros(images.shape)
        length = self.eps * (self.relative_step or stride(self.steps))
        for _ in range(self.steps):
            gradient = victim.gradient(x, labels, cotangent)
            if self.momentum is not None:
                gradient = velocity = self.momentum * velocity + _over_l1(gradient)
            step = length * balls.steepest(self.norm, gradient)
            x = balls.inside(self.norm, self.order, images, self.eps, x + step.astype(np.float32))
        return x

    def _damage(self, victim: Victim, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        ahead = lead(victim.logits(images), labels)
        return -ahead if self.targeted else ahead


def _over_l1(gradient: np.ndarray) -> np.ndarray:
    total = np.abs(gradient).sum(axis=(1, 2, 3), keepdims=True)
    return gradient / np.maximum(total, np.finfo(np.float64).tiny)
