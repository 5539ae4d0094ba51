"""Which images still stand, what they are likely taken for, and a victim that is asked about no more."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lockstep.attacks.victim import Victim
from lockstep.errors import LockstepError

SIZES = range(10, 101, 10)
"""Images a call: ten sizes, because JAX and TensorFlow compile for each new one."""
CALL = 8
"""What a call costs beside its images, in images."""


def packed(victim: Victim, count: int) -> Victim:
    """The same network, in calls of the size in which `count` images, and what fills the last, cost least."""
    size = min(SIZES, key=lambda size: math.ceil(count / size) * (size + CALL))
    return replace(victim, batch=min(victim.batch, size))


def right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the largest logit is the label's, bool [n]; of equal logits the first counts.

    Raises LockstepError for a label that the network has no output for, where there is no other class, and
    for a network that has diverged, whose answers would pass for wrong ones.
    """
    if logits.shape[-1] < 2:
        raise LockstepError("the network has 1 output, expected 2 or more: there is no other class to reach")
    if labels.max() >= logits.shape[-1]:
        raise LockstepError(
            f"labels: found {labels.max()}, expected 0 to {logits.shape[-1] - 1}: "
            f"the network has {logits.shape[-1]} outputs"
        )
    if not np.isfinite(logits).all():
        raise LockstepError("logits: NaN or infinite; the network has diverged, do not attack it")
    return logits.argmax(axis=-1) == labels


def likely(logits: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """The other classes with the largest logits, the largest first: integers [n, count], or fewer."""
    others = logits.astype(np.float64)
    others[np.arange(len(labels)), labels] = -np.inf
    return np.argsort(-others, axis=1, kind="stable")[:, : min(count, logits.shape[1] - 1)]
