"""What an attack climbs, as the derivative by the logits: (logits [n, classes], labels [n]) -> [n, classes].

Why not a framework's own cross-entropy: once 1 - p_true falls below the rounding of float32, its gradient
softmax - target is rounding noise or 0, and the attack walks at random.  Many images of a trained network
are like that (a third of the digits, in one measured run), so float32 cross-entropy *overstates
robustness*.  The derivatives here are computed from the logits in float64 without any cancellation, and
are of size 1 when they are cast to the run's dtype, so the pullback does not underflow either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from lockstep.attacks.victim import Cotangent
from lockstep.errors import LockstepError

Name = Literal["cross_entropy", "margin", "cross_entropy_float32"]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Direction of the derivative of cross-entropy, scaled by each image's largest magnitude: float64.

    softmax - target is p_j for the other classes and, as the sum is 0, minus the sum of those for the
    true class, which is the largest: 1 - p_true.  Divided by it, what is left is the softmax over the
    other classes, and -1.  That is the derivative of log((1 - p_true) / p_true), so sums over images
    (universal perturbations, patches) climb these log-odds, and no image counts more than another.
    """
    shares = np.exp(_above(_others(logits, labels)))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(labels)), labels] = -1
    return shares


def margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the best other logit minus the true one (Carlini & Wagner 2017, f6): +1 and -1, float64.

    The loss for networks trained with soft targets, whose cross-entropy is flat where it should not be.
    """
    rows, found = np.arange(len(labels)), np.zeros(logits.shape)
    found[rows, _others(logits, labels).argmax(axis=1)] = 1
    found[rows, labels] = -1
    return found


def cross_entropy_float32(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """softmax - target in float32, of the sum over images: what foolbox and PyTorch compute.

    Only for comparison with them; see above.
    """
    z = _above(logits.astype(np.float32))
    found = np.exp(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))
    found[np.arange(len(labels)), labels] -= 1
    return found


COTANGENTS: dict[str, Cotangent] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "cross_entropy_float32": cross_entropy_float32,
}


def uphill(loss: Name, targeted: bool) -> Cotangent:
    """The derivative of what an attack climbs; a targeted one descends the loss of the target instead."""
    if loss not in COTANGENTS:
        raise LockstepError(f"loss: no loss {loss!r}; there are: {', '.join(COTANGENTS)}")
    of_loss: Callable[..., np.ndarray] = COTANGENTS[loss]
    return (lambda logits, labels: -of_loss(logits, labels)) if targeted else of_loss


def lead(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By how much the best other class is ahead of the labelled one: float64 [n], above 0 where it wins."""
    return _others(logits, labels).max(axis=1) - logits[np.arange(len(labels)), labels].astype(np.float64)


def _others(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The logits in float64, minus infinity at the label."""
    z = logits.astype(np.float64)
    z[np.arange(len(labels)), labels] = -np.inf
    return z


def _above(logits: np.ndarray) -> np.ndarray:
    return logits - logits.max(axis=1, keepdims=True)
