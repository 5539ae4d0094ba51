"""Which images train, validate and test: positions in a source, drawn or given.

The training images come in an order whose every prefix holds the classes in their proportions, so that a
smaller training set is a subset of a larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lockstep.data.draws import stratified_order
from lockstep.errors import LockstepError


class Parts(NamedTuple):
    """Disjoint positions in the source: int64 arrays."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def drawn(labels: np.ndarray, seed: int, validation: int, test: int) -> Parts:
    """Everything from one stratified order: the test images first, then validation, then training."""
    order = stratified_order(labels, seed)
    return Parts(order[test + validation :], order[test : test + validation], order[:test])


def drawn_before_the_end(labels: np.ndarray, seed: int, validation: int, test: int) -> Parts:
    """The source's own test images stand at its end; the others are drawn."""
    before = len(labels) - test
    return drawn(labels[:before], seed, validation, 0)._replace(test=np.arange(before, len(labels)))


def first(
    labels: np.ndarray, seed: int, validation: float, test: float, groups: Sequence[np.ndarray]
) -> Parts:
    """Unshuffled shares of each group of positions: its first images validate, the next ones test.

    The validation images are those of Keras's `validation_split`, in its order.
    """
    cuts = [(count(validation, len(group)), count(test, len(group))) for group in groups]
    pool = [group[a + b :] for group, (a, b) in zip(groups, cuts, strict=True)]
    return Parts(
        _stratified(np.concatenate(pool), labels, seed),
        np.concatenate([group[:a] for group, (a, _) in zip(groups, cuts, strict=True)]),
        np.concatenate([group[a : a + b] for group, (a, b) in zip(groups, cuts, strict=True)]),
    )


def given(labels: np.ndarray, seed: int, sizes: Sequence[int]) -> Parts:
    """The parts stand one after the other: training, validation, test."""
    train, validation, test = np.split(np.arange(len(labels)), np.cumsum(sizes)[:-1])
    return Parts(_stratified(train, labels, seed), validation, test)


def _stratified(pool: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    return pool[stratified_order(labels[pool], seed)]


def count(share: float, images: int) -> int:
    """A share of images, rounded down as Keras does."""
    return int(share * images)


def require_every_class(parts: Parts, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Raise LockstepError where a class has too few images to be in all three parts."""
    for part, positions in parts._asdict().items():
        seen = np.bincount(labels[positions], minlength=len(classes))
        if not seen.all():
            which = int(np.argmin(seen))
            raise LockstepError(
                f"class {classes[which]!r} has {int((labels == which).sum())} images, too few to be in the "
                f"{part} set; add images or change the shares of the split"
            )
