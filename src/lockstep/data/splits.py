"""Which images train, validate and test: positions in a source, drawn or given.

The training images come in an order whose every prefix holds the classes in their proportions, so that a
smaller training set is a subset of a larger one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lockstep.data.draws import stratified_order

LEAST_DRAWN = 3
"""Images of a class: one for each part."""


class Parts(NamedTuple):
    """Disjoint positions in the source: int64 arrays."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def drawn(labels: np.ndarray, seed: int, validation: int, test: int) -> Parts:
    """Everything from one stratified order: the test images first, then validation, then training.

    A class that the two cuts leave out of a part gives it the first image of its largest part, so that
    LEAST_DRAWN images of a class are always enough.
    """
    order = stratified_order(labels, seed)
    part = np.repeat([2, 1, 0], [test, validation, len(labels) - test - validation])
    ordered = labels[order].astype(np.int64)
    seen = np.bincount(3 * ordered + part, minlength=3 * (ordered.max(initial=-1) + 1)).reshape(-1, 3)
    for label in np.flatnonzero((seen.sum(axis=1) >= LEAST_DRAWN) & (seen == 0).any(axis=1)):
        places = np.flatnonzero(ordered == label)
        while not (counts := np.bincount(part[places], minlength=3)).all():
            part[places[part[places] == counts.argmax()][0]] = counts.argmin()
    return Parts(*(order[part == number] for number in range(3)))


def drawn_before_the_end(labels: np.ndarray, seed: int, validation: int, test: int) -> Parts:
    """The source's own test images stand at its end; the others are drawn."""
    before = len(labels) - test
    order = stratified_order(labels[:before], seed)
    return Parts(order[validation:], order[:validation], np.arange(before, len(labels)))


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


def least_of_first(validation: float, test: float) -> int:
    """So many images of a group give each part of `first` one; a group of more always does."""
    share = min(validation, test)
    least = math.ceil(1 / share)
    return least if count(share, least) else least + 1  # 49 * (1 / 49) is less than 1


def absent(parts: Parts, labels: np.ndarray, classes: int) -> tuple[int, str] | None:
    """A class without an image in a part, and the part; None if there is none."""
    for part, positions in parts._asdict().items():
        seen = np.bincount(labels[positions], minlength=classes)
        if not seen.all():
            return int(np.argmin(seen)), part
    return None
