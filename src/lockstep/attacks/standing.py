"""Which images still stand, and a victim that is asked about few of them at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lockstep.attacks.victim import Victim
from lockstep.errors import LockstepError

PACK, LARGE = 20, 100
"""Images a call: a few must not cost as much as hundreds, and of hundreds each costs a quarter less."""


def packed(victim: Victim, count: int = 0) -> Victim:
    """The same network, asked about `PACK` images a call, or `LARGE` where that fills nearly all calls."""
    filled = -(-count // LARGE) * LARGE <= 1.25 * count
    return replace(victim, batch=min(victim.batch, LARGE if count and filled else PACK))


def right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the largest logit is the label's, bool [n]; of equal logits the first counts.

    Raises LockstepError for a label that the network has no output for, and where there is nothing to look
    for: in a network that has diverged, whose answers would pass for wrong ones, or that has one class.
    """
    if labels.max() >= logits.shape[-1]:
        raise LockstepError(
            f"labels: found {labels.max()}, expected 0 to {logits.shape[-1] - 1}: "
            f"the network has {logits.shape[-1]} outputs"
        )
    if logits.shape[-1] < 2:
        raise LockstepError("the network has one output: an attack needs another class to reach")
    if not np.isfinite(logits).all():
        raise LockstepError("logits: NaN or infinite; the network has diverged, do not attack it")
    return logits.argmax(axis=-1) == labels
