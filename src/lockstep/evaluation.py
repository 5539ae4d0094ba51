"""Every metric, computed from logits in float64, so that no backend can compute its own."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from lockstep.backend import Backend
from lockstep.data.dataset import Affine, Split
from lockstep.errors import LockstepError

BATCH = 500
"""Images a call: one fixed size, because JAX and TensorFlow compile for each new one."""


class Measurement(TypedDict):
    """One row of the `measurements` table."""

    split: str
    metric: str
    condition: str
    value: float
    n: int


def predict(backend: Backend, split: Split, transform: Affine, dtype: str) -> np.ndarray:
    """Logits [n, classes] of all images of a split, dropout off."""
    parts = []
    for start in range(0, len(split), BATCH):
        images = transform(split.images[start : start + BATCH], dtype)
        missing = BATCH - len(images)
        padded = np.concatenate([images, np.zeros((missing, *images.shape[1:]), dtype)])
        logits = np.asarray(backend.logits(padded))
        check_logits("logits", logits, (BATCH, *logits.shape[1:]))
        parts.append(logits[: len(images)])
    return np.concatenate(parts)


def check_logits(method: str, logits: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise LockstepError unless a backend returned floats of the shape that its contract names."""
    if logits.shape != shape or logits.dtype.kind != "f":
        raise LockstepError(
            f"{method} returned {logits.dtype} of shape {logits.shape}, expected floats of shape {shape}; "
            "see the contract in lockstep/backend.py"
        )


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """In nats, per image: logits and targets [..., classes] -> float64 [...]; inf or NaN stay visible."""
    z = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):
        z -= z.max(axis=-1, keepdims=True)
        log_total = np.log(np.exp(z).sum(axis=-1))
        return log_total * targets.sum(axis=-1) - (z * targets).sum(axis=-1)


def correct(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the largest logit is the largest target: bool [...]; of equal logits the first counts."""
    return logits.argmax(axis=-1) == targets.argmax(axis=-1)


def measure(logits: np.ndarray, labels: np.ndarray, split: str) -> list[Measurement]:
    """Accuracy and cross-entropy of a split, and the accuracy of each class."""
    targets = np.eye(logits.shape[-1])[labels]
    right = correct(logits, targets)

    def row(metric: str, values: np.ndarray, condition: str = "") -> Measurement:
        return Measurement(
            split=split, metric=metric, condition=condition, value=float(values.mean()), n=len(values)
        )

    return [
        row("accuracy", right),
        row("cross_entropy", cross_entropy(logits, targets)),
        *(row("accuracy", right[labels == label], f"class={label}") for label in np.unique(labels)),
    ]
