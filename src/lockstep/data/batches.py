"""One epoch as the backend receives it: chunks of K batches, regenerated from (seed, step) alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lockstep.data.augmentation import augment
from lockstep.data.dataset import Dataset
from lockstep.data.draws import augmentation, dropout_masks, epoch_order, image_noise, weight_noise
from lockstep.evaluation import correct, cross_entropy
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
    weight_noise: dict[str, np.ndarray] | None

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.images, self.targets, self.masks, self.scales, self.weight_noise

    def measured(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the logits that `train_steps` returned: each image's loss, and whether it is right: [K, B]."""
        return cross_entropy(logits, self.targets), correct(logits, self.targets)

    def cut(self, steps: slice) -> Chunk:
        """Some of its steps alone."""
        masks, noise = (
            tensors and {name: tensor[steps] for name, tensor in tensors.items()}
            for tensors in (self.masks, self.weight_noise)
        )
        first = self.first_step + (steps.start or 0)
        return Chunk(first, self.images[steps], self.targets[steps], masks or {}, self.scales[steps], noise)


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
    dtype, steps = experiment.training.dtype, range(first, first + len(rows))
    level = experiment.regularisation.weight_noise
    images = [_images(dataset, experiment, seed, *pair) for pair in zip(steps, rows, strict=True)]
    return Chunk(
        first_step=first,
        images=np.stack([dataset.transform(batch, dtype) for batch in images]),
        targets=smoothed(dataset.train.labels[rows], dataset.classes, experiment).astype(dtype),
        masks=_stacked([dropout_masks(spec, seed, step, rows.shape[1]) for step in steps]),
        scales=experiment.optimizer.scales(first, len(rows)),
        weight_noise=_stacked([weight_noise(spec, seed, step, level) for step in steps]) if level else None,
    )


def _images(dataset: Dataset, experiment: Experiment, seed: int, step: int, batch: np.ndarray) -> np.ndarray:
    """The images of one step as they are trained on, before preprocessing: [B, H, W, C], pixels 0 to 255."""
    images = dataset.train.images[batch]
    if experiment.augmentation:
        images = augment(experiment.augmentation, images, augmentation(seed, step, len(images)))
    if level := experiment.regularisation.image_noise:
        images = images + np.float32(255 * level) * image_noise(seed, step, images.shape)
        np.clip(images, 0, 255, out=images)
    return images


def smoothed(labels: np.ndarray, classes: int, experiment: Experiment) -> np.ndarray:
    """Targets [*labels.shape, classes]: (1 - s) at the label, plus s / classes everywhere.

    Label smoothing: Szegedy et al. (2016), "Rethinking the inception architecture", section 7.
    """
    share = experiment.regularisation.label_smoothing
    return (1 - share) * np.eye(classes)[labels] + share / classes


def _stacked(draws: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Of K steps, into [K, ...]."""
    return {name: np.stack([draw[name] for draw in draws]) for name in draws[0]}
