"""Which images still stand, and a victim that is asked about few of them at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lockstep.attacks.victim import Victim
from lockstep.errors import LockstepError

PACK = 20
"""Images a call: what still stands is packed, and a few images must not cost as much as hundreds."""


def packed(victim: Victim) -> Victim:
    """The same network, asked about `PACK` images a call."""
    return replace(victim, batch=min(victim.batch, PACK))


def right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the largest logit is the label's, bool [n]; of equal logits the first counts.

    Raises LockstepError for a label that the network has no output for.
    """
    if labels.max() >= logits.shape[-1]:
        raise LockstepError(
            f"labels: found {labels.max()}, expected 0 to {logits.shape[-1] - 1}: "
            f"the network has {logits.shape[-1]} outputs"
        )
    return logits.argmax(axis=-1) == labels
