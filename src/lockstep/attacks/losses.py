"""What an attack climbs: a value of each image, and its derivative by the logits, worked out in float64.

Why not a framework's own cross-entropy: once 1 - p_true falls below the rounding of float32, its gradient
softmax - target is rounding noise or 0, and the attack walks at random.  Many images of a trained network
are like that (a third of the digits, in one measured run), so float32 cross-entropy *overstates
robustness*.  The derivatives here are computed from the logits in float64 without any cancellation, and
are of size 1 when they are cast to the run's dtype, so the pullback does not underflow either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from lockstep.attacks.victim import Cotangent
from lockstep.errors import LockstepError

Name = Literal["cross_entropy", "margin", "dlr", "cross_entropy_float32"]
NEEDED = {"dlr": 3, "dlr_targeted": 4}
"""Classes that a loss is defined for; with fewer the margin is climbed in its place."""


SMALLEST = 1e-12
"""What is divided by where it would be 0."""


class Loss(NamedTuple):
    """Both take logits [n, classes] and labels [n], and are of float64; larger is worse for the network."""

    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """-> [n]"""
    derivative: Cotangent
    """-> [n, classes]; each image's may be multiplied by a number above 0, as only its direction is used."""


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Direction of the derivative of cross-entropy, scaled by each image's largest magnitude: float64.

    softmax - target is p_j for the other classes and, as the sum is 0, minus the sum of those for the
    true class, which is the largest: 1 - p_true.  Divided by it, what is left is the softmax over the
    other classes, and -1.  That is the derivative of `log_odds`, so sums over images
    (universal perturbations, patches) climb these log-odds, and no image counts more than another.
    """
    shares = np.exp(_above(_others(logits, labels)))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(labels)), labels] = -1
    return shares


def log_odds(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """log((1 - p_true) / p_true), which grows with cross-entropy: float64 [n]."""
    others = _others(logits, labels)
    largest = others.max(axis=1)
    total = np.exp(others - largest[:, np.newaxis]).sum(axis=1)
    return largest + np.log(total) - _of(logits, labels)


def margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the best other logit minus the true one (Carlini & Wagner 2017, f6): +1 and -1, float64.

    The loss for networks trained with soft targets, whose cross-entropy is flat where it should not be.
    """
    rows, found = np.arange(len(labels)), np.zeros(logits.shape)
    found[rows, _others(logits, labels).argmax(axis=1)] = 1
    found[rows, labels] = -1
    return found


def lead(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By how much the best other class is ahead of the labelled one: float64 [n], above 0 where it wins."""
    return _others(logits, labels).max(axis=1) - _of(logits, labels)


def dlr_value(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The difference of logits ratio of Croce & Hein (2020): lead / (z_1 - z_3), z_1 >= z_2 >= z_3 >= ...

    Neither a shift nor a factor of all logits changes it.
    """
    if logits.shape[1] < NEEDED["dlr"]:
        return lead(logits, labels)
    first, third = _ranked(logits, (0, 2))
    return lead(logits, labels) / _positive(_of(logits, first) - _of(logits, third))


def dlr(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Direction of the derivative of `dlr_value`."""
    if logits.shape[1] < NEEDED["dlr"]:
        return margin(logits, labels)
    first, third = _ranked(logits, (0, 2))
    found = margin(logits, labels)
    return _of_ratio(found, dlr_value(logits, labels), [(1, first), (-1, third)])


def dlr_targeted_value(logits: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(z_target - z_true) / (z_1 - (z_3 + z_4) / 2) of Croce & Hein (2020): float64 [n].

    pairs: integers [n, 2], the true class and the target.
    """
    true, target = pairs.T
    difference = _of(logits, target) - _of(logits, true)
    if logits.shape[1] < NEEDED["dlr_targeted"]:
        return difference
    first, third, fourth = _ranked(logits, (0, 2, 3))
    return difference / _positive(_of(logits, first) - (_of(logits, third) + _of(logits, fourth)) / 2)


def dlr_targeted(logits: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Direction of the derivative of `dlr_targeted_value`."""
    found = pair_difference(logits, pairs)
    if logits.shape[1] < NEEDED["dlr_targeted"]:
        return found
    first, third, fourth = _ranked(logits, (0, 2, 3))
    ratio = dlr_targeted_value(logits, pairs)
    return _of_ratio(found, ratio, [(1, first), (-0.5, third), (-0.5, fourth)])


def pair_difference(logits: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The derivative of z_target - z_true: +1 and -1, float64.  pairs: as for `dlr_targeted_value`."""
    rows, found = np.arange(len(pairs)), np.zeros(logits.shape)
    found[rows, pairs[:, 1]] += 1
    found[rows, pairs[:, 0]] -= 1
    return found


def cross_entropy_float32(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """softmax - target in float32, of the sum over images: what foolbox and PyTorch compute.

    Only for comparison with them; see above.
    """
    z = _above(logits.astype(np.float32))
    found = np.exp(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
    found[np.arange(len(labels)), labels] -= 1
    return found


def cross_entropy_float32_value(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    z = _above(logits.astype(np.float32))
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels]


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(log_odds, cross_entropy),
    "margin": Loss(lead, margin),
    "dlr": Loss(dlr_value, dlr),
    "cross_entropy_float32": Loss(cross_entropy_float32_value, cross_entropy_float32),
}
TARGETED_DLR = Loss(dlr_targeted_value, dlr_targeted)
"""Of pairs (true class, target)."""


def find(name: str) -> Loss:
    """Raises LockstepError for a name that is not known."""
    if name not in LOSSES:
        raise LockstepError(f"loss: no loss {name!r}; there are: {', '.join(LOSSES)}")
    return LOSSES[name]


def uphill(loss: Name, targeted: bool) -> Cotangent:
    """The derivative of what an attack climbs; a targeted one descends the loss of the target instead."""
    of_loss: Callable[..., np.ndarray] = find(loss).derivative
    return (lambda logits, labels: -of_loss(logits, labels)) if targeted else of_loss


def _of(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """One logit of each image, float64 [n]."""
    return logits[np.arange(len(classes)), classes].astype(np.float64)


def _ranked(logits: np.ndarray, ranks: Sequence[int]) -> list[np.ndarray]:
    """The classes of these ranks, 0 being that of the largest logit: integers [n] each."""
    order = np.argsort(-logits.astype(np.float64), axis=1, kind="stable")
    return [order[:, rank] for rank in ranks]


def _positive(spread: np.ndarray) -> np.ndarray:
    """A denominator; never 0, where the largest logits are equal."""
    return np.maximum(spread, SMALLEST)


def _of_ratio(
    numerator: np.ndarray, ratio: np.ndarray, denominator: Sequence[tuple[float, np.ndarray]]
) -> np.ndarray:
    """Direction of the derivative of a ratio: d numerator - ratio * d denominator, as the denominator is
    above 0; then scaled by each image's largest magnitude."""
    rows, found = np.arange(len(ratio)), numerator.copy()
    for factor, classes in denominator:
        found[rows, classes] -= ratio * factor
    return found / _positive(np.abs(found).max(axis=1, keepdims=True))


def _others(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logits in float64, minus infinity at the label."""
    z = logits.astype(np.float64)
    z[np.arange(len(labels)), labels] = -np.inf
    return z


def _above(logits: np.ndarray) -> np.ndarray:
    return logits - logits.max(axis=1, keepdims=True)
