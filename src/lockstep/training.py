"""The training loop: chunks of steps, history, checkpoints, resume."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from lockstep.adversarial import attacked
from lockstep.backend import Backend
from lockstep.data.ahead import ahead
from lockstep.data.batches import Chunk, epoch_chunks
from lockstep.data.dataset import UNIT, Dataset
from lockstep.evaluation import check_logits, correct, cross_entropy, predict
from lockstep.experiment import Experiment
from lockstep.inside import Activity
from lockstep.spec import Spec

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv.

    The train figures are means over the epoch's batches as they were trained on: the weights move
    meanwhile and dropout is on.  The validation figures are of the weights at the epoch's end, dropout off.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass
class Progress:
    """A run at the end of an epoch: all that is needed to go on from there."""

    history: list[Epoch] = field(default_factory=list)
    best: Weights = field(default_factory=dict)
    """The weights of the epoch with the lowest validation loss, the first of equals."""
    activity: list[Activity] = field(default_factory=list)

    @property
    def best_epoch(self) -> int | None:
        return min(self.history, key=lambda row: row.validation_loss).epoch if self.history else None


class Diverged(Exception):
    """The loss is no longer a number.  A result like any other, not a failure of the program."""


@dataclass
class Watcher:
    """What the loop tells those who look on."""

    images: Callable[[int], None] = lambda count: None
    epoch: Callable[[Progress], None] = lambda progress: None


def train(
    backend: Backend,
    spec: Spec,
    experiment: Experiment,
    dataset: Dataset,
    seed: int,
    progress: Progress,
    watch: Watcher,
) -> float:
    """Train from `progress` to the last epoch; returns the seconds spent in training steps.

    The backend holds the weights that belong to `progress` before, and those of the last epoch after.
    Raises Diverged as soon as a loss is NaN or infinite.
    """
    dtype, seconds = experiment.training.dtype, 0.0
    for epoch in range(len(progress.history), experiment.training.epochs):
        start = time.perf_counter()
        loss, accuracy = train_epoch(backend, spec, experiment, dataset, seed, epoch, watch)
        backend.synchronize()
        seconds += time.perf_counter() - start

        logits = predict(backend, dataset.validation, dataset.transform, dtype)
        targets = np.eye(dataset.classes)[dataset.validation.labels]
        validation_loss = float(cross_entropy(logits, targets).mean())
        if not np.isfinite(validation_loss):
            raise Diverged(f"the validation loss is {validation_loss} after epoch {epoch + 1}")
        row = Epoch(epoch + 1, loss, accuracy, validation_loss, float(correct(logits, targets).mean()))
        progress.history.append(row)
        if progress.best_epoch == row.epoch:
            state = backend.dump()
            progress.best = {name: state[name] for name in spec.weights}
        watch.epoch(progress)
    return seconds


def train_epoch(
    backend: Backend,
    spec: Spec,
    experiment: Experiment,
    dataset: Dataset,
    seed: int,
    epoch: int,
    watch: Watcher,
) -> tuple[float, float]:
    """Mean loss and accuracy over the images of one epoch."""
    losses, hits = [], []
    waiting: deque[tuple[Chunk, object]] = deque()

    def read() -> None:
        chunk, lazy = waiting.popleft()
        logits = np.asarray(lazy)
        check_logits("train_steps", logits, chunk.targets.shape)
        loss, right = chunk.measured(logits)
        if not np.isfinite(loss).all():
            step = chunk.first_step + int(np.argmin(np.isfinite(loss).all(axis=1)))
            raise Diverged(f"the loss became NaN or infinite at step {step}, in epoch {epoch + 1}")
        losses.append(loss.ravel())
        hits.append(right.ravel())
        watch.images(loss.size)

    for chunk in _chunks(backend, spec, experiment, dataset, seed, epoch):
        waiting.append((chunk, backend.train_steps(*chunk.arguments)))
        if len(waiting) > 1:  # one call behind: an asynchronous device works while batches are made
            read()
    while waiting:
        read()
    return float(np.concatenate(losses).mean()), float(np.concatenate(hits).mean())


def _chunks(
    backend: Backend, spec: Spec, experiment: Experiment, dataset: Dataset, seed: int, epoch: int
) -> Iterable[Chunk]:
    """Made ahead of training, but for what depends on the weights."""
    settings = experiment.regularisation.adversarial
    if not settings:
        return ahead(epoch_chunks(dataset, experiment, spec, seed, epoch))
    clean = ahead(epoch_chunks(replace(dataset, transform=UNIT), experiment, spec, seed, epoch))
    return attacked(clean, backend, dataset.transform, settings, seed)
