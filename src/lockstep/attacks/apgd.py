"""APGD, steps of steepest ascent that choose their own length: Croce & Hein (2020), "Reliable evaluation of
adversarial robustness with an ensemble of diverse parameter-free attacks".

An image is dropped as soon as a misclassified point is found, so all work goes into those that stand.  Its
targets are climbed towards side by side, which fills batches however few images are left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.attack import checked, require
from lockstep.attacks.balls import Norm
from lockstep.attacks.gradient import random_start
from lockstep.attacks.losses import TARGETED_DLR, Loss, Name, find
from lockstep.attacks.standing import likely, packed, right
from lockstep.attacks.victim import Victim

STEPS = 100
TARGETS = 9
FIRST_STEP = 2
"""In units of eps: across the ball."""
FORWARD = 0.75
"""The share of a move that is the new step; the rest is the move before."""
PERIODS = 0.22, 0.03, 0.06
"""Of all steps: until the first checkpoint, by how much each next period is shorter, and the shortest."""
RISES = 0.75
"""If no more than this share of the steps since a checkpoint raised the loss, they were too long."""
ABREAST = 1000
"""Ascents at a time, which bounds the memory."""


@dataclass(frozen=True)
class APGD:
    """Ascent on one loss, from a random start; restarts are for the images that still stand.

    Each image comes back as the first misclassified point found, or as it was if it stands.
    """

    eps: float
    norm: Norm = "linf"
    steps: int = STEPS
    restarts: int = 1
    loss: Name = "cross_entropy"

    def __post_init__(self) -> None:
        _check(self)
        find(self.loss)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        loss = find(self.loss)
        return _attack(self, loss, lambda _: labels[:, np.newaxis], victim, images, labels, seed, first)


@dataclass(frozen=True)
class TargetedAPGD:
    """Ascents on the targeted DLR loss, towards each of the most likely other classes of the clean image."""

    eps: float
    norm: Norm = "linf"
    steps: int = STEPS
    targets: int = TARGETS
    """Other classes, at most: fewer where the network has fewer."""
    restarts: int = 1

    def __post_init__(self) -> None:
        _check(self)
        require("targets", self.targets, 1)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        def pairs(logits: np.ndarray) -> np.ndarray:
            targets = likely(logits, labels, self.targets)
            return np.stack([np.broadcast_to(labels[:, np.newaxis], targets.shape), targets], axis=-1)

        return _attack(self, TARGETED_DLR, pairs, victim, images, labels, seed, first)


def checkpoints(steps: int) -> list[int]:
    """After how many steps their length is looked at; rounded as in the authors' code."""
    period, shorter, shortest = (max(int(share * steps), 1) for share in PERIODS)
    found = [period]
    while found[-1] + (period := max(period - shorter, shortest)) <= steps:
        found.append(found[-1] + period)
    return found


def _check(attack: APGD | TargetedAPGD) -> None:
    balls.check(attack.norm, attack.eps)
    require("steps", attack.steps, 1)
    require("restarts", attack.restarts, 1)


def _attack(
    attack: APGD | TargetedAPGD,
    loss: Loss,
    aims_of: Callable[[np.ndarray], np.ndarray],
    victim: Victim,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    first: int,
) -> np.ndarray:
    """aims_of: clean logits -> what the loss asks for, in each ascent of an image: [n, ascents, ...]."""
    images = checked(images, labels)
    logits = victim.logits(images)
    standing, aims, found = right(logits, labels), aims_of(logits), images.copy()
    ascents = aims.shape[1]
    for restart in range(attack.restarts):
        rows = np.flatnonzero(standing)
        abreast = max(ABREAST // ascents, 1)
        for part in (rows[start : start + abreast] for start in range(0, len(rows), abreast)):
            row, ascent = np.repeat(part, ascents), np.tile(np.arange(ascents), len(part))
            start = [
                random_start(
                    attack.norm, attack.eps, images[r : r + 1], seed, first + r, restart * ascents + a
                )
                for r, a in zip(row.tolist(), ascent.tolist(), strict=True)
            ]
            climbing = _Ascents(row, images[row], labels[row], aims[row, ascent], np.concatenate(start))
            for fallen, points in _climb(attack, loss, victim, climbing):
                found[fallen], standing[fallen] = points, False
    return found


class _Ascents:
    """Ascents under way, one a row of every array."""

    def __init__(
        self, row: np.ndarray, images: np.ndarray, labels: np.ndarray, aims: np.ndarray, start: np.ndarray
    ) -> None:
        self.row, self.images, self.labels, self.aims = row, images, labels, aims
        """Which image each is of; the centre of its ball; its class; what the loss asks for."""
        self.x = self.before = self.best = start
        self.uphill = self.uphill_at_best = np.zeros_like(start)
        self.loss, self.highest = np.full(len(row), np.inf), np.full(len(row), -np.inf)
        """At x; at the best point.  Before there is any, the start is better and has risen from nothing."""
        self.highest_then = self.highest
        """At the best point of the last checkpoint."""
        self.rises = np.zeros(len(row), int)
        """Steps since the last checkpoint that raised the loss."""
        self.halved = np.ones(len(row), bool)
        """Whether the last checkpoint halved the step."""
        self.step = np.ones((len(row), 1, 1, 1), np.float32)

    def keep(self, rows: np.ndarray) -> None:
        for name, array in vars(self).items():
            setattr(self, name, array[rows])


def _climb(
    attack: APGD | TargetedAPGD, loss: Loss, victim: Victim, at: _Ascents
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images that fall, and their misclassified points, as they are found."""
    norm, eps, looks = attack.norm, attack.eps, checkpoints(attack.steps)
    at.step *= FIRST_STEP * eps
    last = 0
    for step in range(attack.steps):
        logits, gradient = packed(victim, len(at.x)).logits_and_gradient(at.x, at.aims, loss.derivative)
        fallen = ~right(logits, at.labels)
        if fallen.any():
            yield at.row[fallen], at.x[fallen]
            stand = ~np.isin(at.row, at.row[fallen])
            if not stand.any():
                return
            at.keep(stand)
            logits, gradient = logits[stand], gradient[stand]
        at.uphill = balls.steepest(norm, gradient).astype(np.float32)
        _compare(at, loss.value(logits, at.aims))
        if step in looks:
            _look(at, step - last)
            last = step
        share = FORWARD if step else 1
        moved = balls.inside(norm, "project_then_clip", at.images, eps, at.x + at.step * at.uphill)
        moved = at.x + share * (moved - at.x) + (1 - share) * (at.x - at.before)
        at.before, at.x = at.x, balls.inside(norm, "project_then_clip", at.images, eps, moved)
    fallen = ~right(victim.logits(at.x), at.labels)
    yield at.row[fallen], at.x[fallen]


def _compare(at: _Ascents, loss: np.ndarray) -> None:
    """Take note of the loss at x."""
    at.rises = at.rises + (loss > at.loss)
    at.loss, higher = loss, loss > at.highest
    at.highest = np.where(higher, loss, at.highest)
    every = higher[:, np.newaxis, np.newaxis, np.newaxis]
    at.best, at.uphill_at_best = np.where(every, at.x, at.best), np.where(every, at.uphill, at.uphill_at_best)


def _look(at: _Ascents, steps: int) -> None:
    """After so many steps: where they were too long, halve them and go back to the best point."""
    stuck = ~at.halved & (at.highest <= at.highest_then)
    at.halved = (at.rises <= RISES * steps) | stuck
    at.highest_then, at.rises = at.highest, np.zeros_like(at.rises)
    every = at.halved[:, np.newaxis, np.newaxis, np.newaxis]
    at.step = np.where(every, at.step / 2, at.step)
    at.x, at.uphill = np.where(every, at.best, at.x), np.where(every, at.uphill_at_best, at.uphill)
