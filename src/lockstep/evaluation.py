"""Every metric, computed from logits in float64, so that no backend can compute its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypedDict

import numpy as np

from lockstep.backend import Backend
from lockstep.data.dataset import Affine, Split
from lockstep.errors import LockstepError

BATCH = 500
"""Images a call: one fixed size, because JAX and TensorFlow compile for each new one."""
BINS = 15
"""Of the calibration error."""


class Measurement(TypedDict):
    """One row of the `measurements` table."""

    split: str
    metric: str
    condition: str
    value: float
    n: int


def predict(backend: Backend, split: Split, transform: Affine, dtype: str) -> np.ndarray:
    """Logits [n, classes] of all images of a split, dropout off."""

    def logits(rows: np.ndarray) -> np.ndarray:
        found = np.asarray(backend.logits(transform(split.images[rows], dtype)))
        check_logits("logits", found, (BATCH, *found.shape[1:]))
        return found

    return in_batches(logits, np.arange(len(split)))


def in_batches(compute: Callable[..., np.ndarray], *arrays: np.ndarray, size: int = BATCH) -> np.ndarray:
    """What `compute` gives for `size` rows of the arrays at a time, joined: [n, ...]."""
    parts = [np.asarray(compute(*full))[:count] for count, full in batches(*arrays, size=size)]
    return np.concatenate(parts)


def batches(*arrays: np.ndarray, size: int) -> Iterator[tuple[int, Sequence[np.ndarray]]]:
    """`size` rows of the arrays at a time: how many of them count, and the rows.

    The last batch is filled up with zeros, because JAX and TensorFlow compile for each new size.
    """
    for start in range(0, len(arrays[0]), size):
        rows = [array[start : start + size] for array in arrays]
        count = len(rows[0])
        yield count, [np.concatenate([r, np.zeros((size - count, *r.shape[1:]), r.dtype)]) for r in rows]


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


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax in float64: [..., classes] -> [..., classes]."""
    z = logits.astype(np.float64)
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


def calibration_error(shares: np.ndarray, labels: np.ndarray) -> float:
    """How far confidence is from accuracy: probabilities [n, classes], labels [n].

    Expected calibration error with BINS bins of equal width: Guo et al. (2017), "On calibration of modern
    neural networks".
    """
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, right - confidence, BINS)
    return float(np.abs(gaps).sum() / len(labels))


def measure(logits: np.ndarray, labels: np.ndarray, split: str) -> list[Measurement]:
    """Accuracy, cross-entropy and calibration of a split, and the accuracy of each class."""
    targets = np.eye(logits.shape[-1])[labels]
    right = correct(logits, targets)
    shares = probabilities(logits)
    classes = [(label, right[labels == label]) for label in np.unique(labels)]
    return [
        row(split, "accuracy", right.mean(), len(right)),
        row(split, "cross_entropy", cross_entropy(logits, targets).mean(), len(right)),
        row(split, "calibration_error", calibration_error(shares, labels), len(right)),
        *(row(split, "accuracy", mine.mean(), len(mine), f"class={label}") for label, mine in classes),
    ]


def quality(shares: np.ndarray, labels: np.ndarray, condition: str) -> list[Measurement]:
    """Accuracy, cross-entropy and calibration of probabilities [n, classes] of test images."""
    right = shares.argmax(axis=1) == labels
    surprise = -np.log(np.maximum(shares[np.arange(len(labels)), labels], np.finfo(np.float64).tiny))
    found = {
        "accuracy": right.mean(),
        "cross_entropy": surprise.mean(),
        "calibration_error": calibration_error(shares, labels),
    }
    return [row("test", metric, value, len(labels), condition) for metric, value in found.items()]


def row(split: str, metric: str, value: float, n: int, condition: str = "") -> Measurement:
    return Measurement(split=split, metric=metric, condition=condition, value=float(value), n=n)
