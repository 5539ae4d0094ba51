"""Runs on real digits, in the backend's own process: what tiers T0 and T4 to T8 are measured on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from lockstep.conformance.problem import Tensors
from lockstep.conformance.specs import ATTACKED, SMOOTH, SPECS
from lockstep.conformance.worker import Make
from lockstep.data import dataset as datasets
from lockstep.data.batches import Chunk, epoch_chunks
from lockstep.data.dataset import Dataset
from lockstep.data.draws import Stream, generator, initial_weights
from lockstep.data.sources import Name
from lockstep.evaluation import correct, cross_entropy, predict
from lockstep.experiment import Experiment
from lockstep.training import Progress, Watcher, train

SOURCE: Name = "mnist-5k"
SEED = 0


def experiment(name: str, dtype: str) -> Experiment:
    """real: the classroom's network, with dropout; smooth: without kinks; seeds: as T6 trains it;
    attacked: the small one of T7."""
    spec = {"smooth": SMOOTH, "attacked": ATTACKED}.get(name, SPECS["classroom"])
    rate, epochs = {"seeds": (5e-4, 3), "attacked": (3e-3, 1)}.get(name, (1e-4, 1))
    settings: dict[str, Any] = {
        "data": {"source": SOURCE},
        "model": {"layers": spec.model_dump()["layers"]},
        "optimizer": {"learning_rate": rate},
        "training": {"epochs": epochs, "dtype": dtype},
    }
    return Experiment.model_validate(settings)


class Segment(NamedTuple):
    losses: np.ndarray
    """Mean over each step's batch, in nats: float64 [steps]."""
    state: Tensors
    images: np.ndarray
    """In the batch of each step: int64 [steps]."""
    logits: np.ndarray
    """Of some test images by the last weights, dropout off: [asked, classes]."""


def segment(
    make: Make, data: Path, run: Experiment, first: int, last: int, state: Tensors, asked: int = 0
) -> Segment:
    """The steps first to last of a run (counted from 1), from the state before them.

    asked: the test images that are shown afterwards.
    """
    backend, losses, images = make(run.spec, run.optimizer), [], []
    backend.load(state)
    for chunk in _chunks(load(data), run, first, last):
        logits = np.asarray(backend.train_steps(*chunk.arguments))
        losses.append(cross_entropy(logits, chunk.targets).mean(axis=-1))
        images.append(np.full(*logits.shape[:2]))
    backend.synchronize()
    shown = load(data).transform(load(data).test.images[:asked], run.training.dtype)
    logits = backend.logits(shown) if asked else np.empty((0, *run.spec.output_shape))
    return Segment(np.concatenate(losses), backend.dump(), np.concatenate(images), logits)


def start(run: Experiment, nudge: int | None = None) -> Tensors:
    """Initial weights; with a nudge, one weight of the first layer is moved by one unit in the last place."""
    weights = initial_weights(run.spec, SEED, run.training.dtype)
    if nudge is not None:
        flat = weights[next(iter(weights))].reshape(-1)
        place = generator(SEED, Stream.PROBLEM, nudge).integers(len(flat))
        flat[place] = np.nextafter(flat[place], np.inf, dtype=flat.dtype)
    return weights


def bits(make: Make, data: Path, run: Experiment, steps: int) -> str:
    """SHA-256 of all weights and moments after some steps."""
    state = segment(make, data, run, 1, steps, start(run)).state
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + np.ascontiguousarray(state[name]).tobytes())
    return digest.hexdigest()


def logits(make: Make, data: Path, run: Experiment, weights: Tensors, count: int) -> np.ndarray:
    """Of the first test images by these weights, dropout off: [count, classes]."""
    backend, dataset = make(run.spec, run.optimizer), load(data)
    backend.load(weights)
    return backend.logits(dataset.transform(dataset.test.images[:count], run.training.dtype))


class Waiting(NamedTuple):
    """Shares of the time that some training steps take, until their results can be read."""

    after_call: float
    """What is still to be done when train_steps returns: near 0 for a backend that works at once."""
    after_synchronize: float
    """What is still to be done when synchronize returns: it must be near 0."""


def waiting(make: Make, data: Path, run: Experiment) -> Waiting:
    """The medians of five rounds: a disturbance of the machine counts for nothing."""
    backend = make(run.spec, run.optimizer)
    backend.load(start(run))
    (chunk,) = _chunks(load(data), run, 1, 10)
    np.asarray(backend.train_steps(*chunk.arguments))  # compiles

    def read() -> float:
        began = time.perf_counter()
        backend.dump()
        return time.perf_counter() - began

    rounds = []
    for _ in range(5):
        backend.synchronize()
        idle = min(read(), read())
        began = time.perf_counter()
        lazy = backend.train_steps(*chunk.arguments)
        called = time.perf_counter()
        backend.synchronize()
        fenced = time.perf_counter()
        np.asarray(lazy)
        left = time.perf_counter() - fenced + max(read() - idle, 0.0)
        whole = fenced - began + left
        rounds.append(Waiting((fenced - called + left) / whole, left / whole))
    return Waiting(*(median(column) for column in zip(*rounds, strict=True)))


class Outcome(NamedTuple):
    accuracy: float
    cross_entropy: float
    predicted: np.ndarray


def train_and_test(make: Make, data: Path, run: Experiment, seed: int) -> Outcome:
    """One whole run, by the harness's own loop, and its test images."""
    backend, dataset = make(run.spec, run.optimizer), load(data)
    backend.load(initial_weights(run.spec, seed, run.training.dtype))
    train(backend, run.spec, run, dataset, seed, Progress(), Watcher())
    logits = predict(backend, dataset.test, dataset.transform, run.training.dtype)
    targets = np.eye(dataset.classes)[dataset.test.labels]
    accuracy, loss = correct(logits, targets).mean(), cross_entropy(logits, targets).mean()
    return Outcome(float(accuracy), float(loss), logits.argmax(axis=-1))


@lru_cache(1)
def load(path: Path) -> Dataset:
    return datasets.load(path, SOURCE, "centred", 0, None)


def _chunks(dataset: Dataset, run: Experiment, first: int, last: int) -> Iterator[Chunk]:
    """Epoch after epoch as a training run has them, cut to the steps asked for."""
    per_epoch = -(-len(dataset.train) // run.training.batch_size)
    for epoch in count((first - 1) // per_epoch):
        for chunk in epoch_chunks(dataset, run, run.spec, SEED, epoch):
            if chunk.first_step > last:
                return
            inside = slice(max(first - chunk.first_step, 0), last + 1 - chunk.first_step)
            if len(chunk.images[inside]):
                yield chunk.cut(inside)
