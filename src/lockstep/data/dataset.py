"""A prepared source, split and preprocessed: what training and evaluation read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lockstep.data import sources, store
from lockstep.data.sources import Chosen
from lockstep.errors import LockstepError

Preprocessing = Literal["centred", "unit"]


AT_ONCE = 4096
"""Images that preprocessing is fitted to at a time."""


LEAST_VARIANCE = 1e-6
"""In grey levels squared: a difference of numbers of up to 255^2, which float64 rounds at 1e-11."""


@dataclass(frozen=True)
class Images:
    """Some images of a source: `images[rows]` reads them from disk, uint8 [k, H, W, C]."""

    source: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.source[self.index[rows]]


@dataclass(frozen=True)
class Split:
    """Images, labels unsigned [n], and each image's position in the source, int64 [n]."""

    images: Images
    labels: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def spread(available: int, wanted: int) -> np.ndarray:
    """Positions of so many images, or of all, from all over: those of one place may be easier."""
    return np.linspace(0, available - 1, min(available, wanted)).astype(int)


@dataclass(frozen=True)
class Affine:
    """Preprocessing as one affine map of pixels in [0, 1]: x * scale + shift, per pixel.

    Attacks work on pixels in [0, 1] and need only `scale` for the chain rule.
    """

    scale: np.ndarray
    shift: np.ndarray

    def __call__(self, images: np.ndarray, dtype: str) -> np.ndarray:
        """Images of pixels 0 to 255 [..., H, W, C] in the run's dtype; computed in float64, so every run
        agrees."""
        return self.of_unit(images / np.float64(255), dtype)

    def of_unit(self, images: np.ndarray, dtype: str) -> np.ndarray:
        """The same of pixels in [0, 1] [..., H, W, C]; `scale`, float64, broadcasts against any of them."""
        return (images * self.scale + self.shift).astype(dtype)


UNIT = Affine(np.array(1.0), np.array(0.0))
"""Pixels in [0, 1] as they are."""


def fit(preprocessing: Preprocessing, train: Images) -> Affine:
    """unit: pixels in [0, 1].  centred: minus the training mean of each pixel, over one global
    standard deviation of all training pixels.  Raises LockstepError where that is nothing."""
    if preprocessing == "unit":
        return UNIT
    first, alike = train[:1], True
    # Sums of integers are exact, so the result does not depend on their order, nor on the chunks.
    totals, squares = np.zeros(train.source.shape[1:], np.int64), np.int64(0)
    in_file = Images(train.source, np.sort(train.index))
    for start in range(0, len(train), AT_ONCE):
        chunk = in_file[start : start + AT_ONCE]
        alike = alike and bool((chunk == first).all())
        totals += chunk.sum(axis=0, dtype=np.int64)
        flat = chunk.reshape(-1)
        squares += np.einsum("i,i->", flat, flat, dtype=np.int64)
    if alike:
        raise LockstepError(f"all {len(train):,} training images are alike; there is nothing to learn")
    mean = totals / len(train)
    variance = squares / (len(train) * mean.size) - mean.mean() ** 2
    if variance < LEAST_VARIANCE:
        raise LockstepError(
            f"the pixels of all {len(train):,} training images differ by less than 1/1000 of a grey level, "
            "by which preprocessing: centred would divide; set data.preprocessing: unit"
        )
    deviation = np.sqrt(variance)
    return Affine(np.array(255 / deviation), -mean / deviation)


@dataclass(frozen=True)
class Dataset:
    train: Split
    validation: Split
    test: Split
    classes: int
    transform: Affine


def load(
    folder: Path, source: Chosen, preprocessing: Preprocessing, split_seed: int, train_size: int | None
) -> Dataset:
    """Open what `sources.prepare` wrote and split it; images stay on disk until they are asked for.

    The split has a seed of its own.  `train_size` keeps the first images of the training set, which
    are a stratified subset of it; preprocessing is fitted to those alone.
    """
    known, prepared = sources.find(source), store.read(folder)
    if prepared.about["made_of"] != known.made_of:
        raise LockstepError(
            f"{folder}: wrong checksum: decoded from other data than {known.name} is now; "
            f"run lockstep data {known.name} with the config that reads it"
        )
    parts = known.split(prepared, split_seed)
    if train_size and train_size > len(parts.train):
        raise LockstepError(
            f"data.train_size: {known.name} has {len(parts.train)} training images, not {train_size}; "
            f"it skipped {len(prepared.about['skipped'])}"
        )

    def split(index: np.ndarray) -> Split:
        return Split(Images(prepared.images, index), prepared.labels[index], index)

    train = split(parts.train[:train_size])
    if len(np.unique(train.labels)) < 2:
        raise LockstepError(
            f"data.train_size: the {len(train)} training images of {known.name} are of one class; use more"
        )
    try:
        transform = fit(preprocessing, train.images)
    except LockstepError as error:
        raise LockstepError(f"{known.name}: {error}") from None
    return Dataset(train, split(parts.validation), split(parts.test), len(known.classes), transform)
