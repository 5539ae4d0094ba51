"""A prepared source, split and preprocessed: what training and evaluation read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lockstep.data.draws import stratified_order
from lockstep.data.sources import SOURCES, check
from lockstep.errors import LockstepError

Preprocessing = Literal["centred", "unit"]


@dataclass(frozen=True)
class Split:
    """Images uint8 [n, H, W, C], labels uint8 [n], and each image's position in the source."""

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Affine:
    """Preprocessing as one affine map of pixels in [0, 1]: x * scale + shift, per pixel.

    Attacks work on pixels in [0, 1] and need only `scale` for the chain rule.
    """

    scale: np.ndarray
    shift: np.ndarray

    def __call__(self, images: np.ndarray, dtype: str) -> np.ndarray:
        """uint8 images [..., H, W, C] in the run's dtype; computed in float64, so every run agrees."""
        return (images / 255 * self.scale + self.shift).astype(dtype)


def fit(preprocessing: Preprocessing, train: np.ndarray) -> Affine:
    """unit: pixels in [0, 1].  centred: minus the training mean of each pixel, over one global
    standard deviation of all training pixels."""
    if preprocessing == "unit":
        return Affine(np.array(1.0), np.array(0.0))
    # Sums of integers are exact, so the result does not depend on how NumPy orders them.
    count = len(train)
    mean = train.sum(axis=0, dtype=np.int64) / count
    flat = train.reshape(-1)
    square = np.einsum("i,i->", flat, flat, dtype=np.int64) / flat.size
    deviation = np.sqrt(square - mean.mean() ** 2)
    return Affine(np.array(255 / deviation), -mean / deviation)


@dataclass(frozen=True)
class Dataset:
    train: Split
    validation: Split
    test: Split
    classes: int
    transform: Affine


def load(
    path: Path, source: str, preprocessing: Preprocessing, split_seed: int, train_size: int | None
) -> Dataset:
    """Read what `sources.prepare` wrote and split it.

    The split has a seed of its own.  `train_size` keeps the first images of the training set, which
    are a stratified subset of it; preprocessing is fitted to those alone.
    """
    known = SOURCES[source]
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
    except Exception as error:  # NumPy and zipfile raise many kinds for a damaged file
        raise LockstepError(
            f"{path}: not prepared data ({str(error)[:100]}); delete it and run again"
        ) from None
    check(source, images, labels, where=str(path))

    drawn = len(labels) - known.test if known.test_is_last else len(labels)
    order = stratified_order(labels[:drawn], split_seed)
    test = np.arange(drawn, len(labels)) if known.test_is_last else order[: known.test]
    rest = order if known.test_is_last else order[known.test :]
    validation, train = rest[: known.validation], rest[known.validation :][:train_size]

    def split(index: np.ndarray) -> Split:
        return Split(images[index], labels[index], index)

    return Dataset(
        split(train), split(validation), split(test), known.classes, fit(preprocessing, images[train])
    )
