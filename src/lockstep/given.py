"""Images and labels as a person gives them, checked and in the one form that the rest of the code takes."""

from __future__ import annotations

import numpy as np

from lockstep.errors import LockstepError, one_line


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


def _array(name: str, values: object) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors with gradients
        raise LockstepError(f"{name}: expected an array ({one_line(error)})") from None
