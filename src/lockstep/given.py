"""What a person hands over in Python, checked and in the one form that the rest of the code takes.

A mistake is one line: the argument, what was found, what was expected.
"""

from __future__ import annotations

import math
import operator
from pathlib import Path

import numpy as np

from lockstep.errors import LockstepError, one_line

SEEDS = 2**63
"""So many there are: 0 and up."""


def text(name: str, value: object) -> str:
    """Raises LockstepError for anything else."""
    if isinstance(value, str):
        return str(value)
    raise _unexpected(name, value, "text")


def path(name: str, value: object) -> Path:
    """Of text or a Path.  Raises LockstepError for anything else, and for the empty text."""
    if isinstance(value, str | Path) and str(value):
        return Path(value)
    raise _unexpected(name, value, "a path: text or a Path")


def whole(name: str, value: object, low: int, below: int = 2**31) -> int:
    """An integer, Python's or NumPy's, from low to below - 1.

    Raises LockstepError for anything else: 1.0 and True too, as they are hardly what was meant.
    """
    try:
        found = low - 1 if isinstance(value, bool | np.bool_) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        found = low - 1
    if low <= found < below:
        return found
    raise _unexpected(name, value, f"an integer, {low} or more" + f" and below {below}" * (found >= below))


def flag(name: str, value: object) -> bool:
    """Raises LockstepError for anything but True and False."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise _unexpected(name, value, "True or False")


def number(name: str, value: object) -> float:
    """A finite one.  Raises LockstepError for anything else."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        try:
            if math.isfinite(found := float(value)):
                return found
        except OverflowError:  # of an integer
            pass
    raise _unexpected(name, value, "a finite number")


def pixels(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Floats in [0, 1], [n, H, W, C].

    images: uint8, or floats in [0, 1]; [n, H, W, C] or a single [H, W, C], both also without C if it is 1;
    shape: (H, W, C).  Floats stay as they are; bytes are divided by 255 in float64, as for training.
    Raises LockstepError for anything else.
    """
    images = _array("images", images)
    found = f"images: found {images.dtype} of shape {images.shape}"
    for one in (shape, shape[:2]) if shape[-1] == 1 else (shape,):
        if images.size and images.shape in (one, (*images.shape[:1], *one)):
            images = images.reshape(-1, *shape)
            break
    else:
        raise LockstepError(f"{found}, expected (n, {', '.join(map(str, shape))}), n 1 or more")
    if images.dtype == np.uint8:
        return images / np.float64(255)
    if images.dtype.kind != "f":
        raise LockstepError(f"{found}, expected uint8 or floats in [0, 1]: convert them with .astype")
    if not (images.min() >= 0 and images.max() <= 1):  # NaN is neither
        raise LockstepError(
            f"images: found floats from {images.min():g} to {images.max():g}, expected pixels in [0, 1], "
            "before any preprocessing: divide bytes by 255, or clip"
        )
    return images


def classes(labels: np.ndarray, images: int, count: int) -> np.ndarray:
    """int64 [images].  Raises LockstepError unless labels are so many integers from 0 to count - 1."""
    labels = _array("labels", labels)
    if labels.shape != (images,) or labels.dtype.kind not in "iu":
        raise LockstepError(
            f"labels: found {labels.dtype} of shape {labels.shape}, expected an integer for each of "
            f"{images} images"
        )
    if not (labels.min() >= 0 and labels.max() < count):
        raise LockstepError(f"labels: found {labels.min()} to {labels.max()}, expected 0 to {count - 1}")
    return labels.astype(np.int64)


def _unexpected(name: str, value: object, expected: str) -> LockstepError:
    shown = " ".join(repr(value).split())
    return LockstepError(
        f"{name}: found {shown[:60]}{'...' * (len(shown) > 60)} ({type(value).__name__}), expected {expected}"
    )


def _array(name: str, values: object) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors with gradients
        raise LockstepError(f"{name}: expected an array ({one_line(error)})") from None
