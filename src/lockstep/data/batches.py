"""One epoch as the backend receives it: chunks of K batches, regenerated from (seed, step) alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lockstep.data.dataset import Dataset
from lockstep.data.draws import dropout_masks, epoch_order
from lockstep.experiment import Experiment
from lockstep.spec import Spec

STEPS_PER_CALL = 16
"""K: enough to hide the cost of a call, few enough for a lively progress bar (3 MB of images)."""


@dataclass(frozen=True)
class Chunk:
    """The arguments of `Backend.train_steps`: K steps, B images each."""

    first_step: int
    images: np.ndarray
    targets: np.ndarray
    masks: dict[str, np.ndarray]
    scales: np.ndarray

    @property
    def arguments(self) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]:
        return self.images, self.targets, self.masks, self.scales


def epoch_chunks(
    dataset: Dataset, experiment: Experiment, spec: Spec, seed: int, epoch: int
) -> Iterator[Chunk]:
    """Every training image once, in the order of this seed and epoch (counted from 0).

    A chunk holds batches of one size: the ragged last batch is a chunk of its own.
    """
    size = experiment.training.batch_size
    order = epoch_order(len(dataset.train), seed, epoch)
    full = len(order) // size * size
    first = 1 + epoch * -(-len(order) // size)  # steps are counted from 1 over the whole run
    for start in range(0, full, size * STEPS_PER_CALL):
        rows = order[start : min(start + size * STEPS_PER_CALL, full)].reshape(-1, size)
        yield _chunk(dataset, experiment, spec, seed, first + start // size, rows)
    if full < len(order):
        yield _chunk(dataset, experiment, spec, seed, first + full // size, order[np.newaxis, full:])


def _chunk(
    dataset: Dataset, experiment: Experiment, spec: Spec, seed: int, first: int, rows: np.ndarray
) -> Chunk:
    dtype = experiment.training.dtype
    masks = [dropout_masks(spec, seed, first + k, rows.shape[1]) for k in range(len(rows))]
    return Chunk(
        first_step=first,
        images=np.stack([dataset.transform(dataset.train.images[batch], dtype) for batch in rows]),
        targets=np.eye(dataset.classes, dtype=dtype)[dataset.train.labels[rows]],
        masks={name: np.stack([mask[name] for mask in masks]) for name in spec.dropouts},
        scales=experiment.optimizer.scales(first, len(rows)),
    )
