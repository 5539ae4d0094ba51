"""One backend in this process, as it is timed: every phase ends with results read and the device idle.

What a phase needs is made when it is first asked for, so that a phase can also be run alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import cycle
from pathlib import Path

import numpy as np

from lockstep import cell as cells
from lockstep.backend import Backend
from lockstep.config import Cell
from lockstep.data.batches import Chunk, epoch_chunks
from lockstep.data.draws import initial_weights
from lockstep.evaluation import predict
from lockstep.experiment import Data
from lockstep.training import Progress, Watcher, train, train_epoch

BULK = 1_024
"""Images of a large call."""
BATCH_SIZES = (1, 4, 16, 64, 256, 1_024)
GOALS = (0.97, 0.98, 0.99)
"""Validation accuracies that a run is timed to."""


class _Learned(Exception):
    """The last goal is reached."""


class Subject:
    def __init__(self, cell: Cell, data: Path) -> None:
        """data: the folder of the decoded source."""
        self.cell, self.experiment, self.data = cell, cell.experiment, data
        self.spec = cell.experiment.spec
        self.dataset = cells.load_data(cell, data)
        self.weights = initial_weights(self.spec, cell.seed, self.experiment.training.dtype)
        whole = [chunk for chunk in self._epoch() if chunk.images.shape[1] == self._batch_size]
        # A call of other K or B might be compiled anew: only chunks like the first are taken.
        self.chunks = [chunk for chunk in whole if chunk.images.shape == whole[0].images.shape]
        self._next = cycle(self.chunks)
        rows = np.arange(BULK) % len(self.dataset.train)
        self.images = self.dataset.transform(self.dataset.train.images[rows], self.experiment.training.dtype)

    @property
    def _batch_size(self) -> int:
        return self.experiment.training.batch_size

    @property
    def steps(self) -> int:
        """Of one call: K."""
        return len(self.chunks[0].images)

    @cached_property
    def framework(self) -> type[Backend]:
        """Imports it."""
        return cells.load_backend(self.cell)

    @cached_property
    def backend(self) -> Backend:
        backend = cells.build(self.framework, self.cell)
        backend.load(self.weights)
        backend.synchronize()
        return backend

    def batches(self, size: int) -> Chunk:
        """Some batches of another size, no more images than `BULK`."""
        training = self.experiment.training.model_copy(update={"batch_size": size})
        experiment = self.experiment.model_copy(update={"training": training})
        chunk = next(epoch_chunks(self.dataset, experiment, self.spec, self.cell.seed, 0))
        return chunk.cut(slice(0, max(1, BULK // size)))

    def train(self, chunk: Chunk | None = None) -> None:
        """One call: K steps, on the next batches of the epoch where none are given."""
        np.asarray(self.backend.train_steps(*(chunk or next(self._next)).arguments))
        self.backend.synchronize()

    def epochs(self, count: int) -> None:
        """As a run is trained: batches made, losses read, the smaller batch at the end."""
        for epoch in range(count):
            train_epoch(
                self.backend, self.spec, self.experiment, self.dataset, self.cell.seed, epoch, Watcher()
            )
            self.backend.synchronize()

    def learn(self, data: Data) -> list[tuple[float, float]]:
        """Train to the last goal, or as long as the experiment says: seconds and validation accuracy
        at the end of each epoch.

        Nothing is compiled any more.  Choosing the best weights is part of it, as it is of a run.
        """
        experiment = self.experiment.model_copy(update={"data": data})
        dataset = cells.load_data(replace(self.cell, experiment=experiment), self.data)
        self.backend.load(self.weights)
        self.backend.synchronize()
        found: list[tuple[float, float]] = []
        start = time.perf_counter()

        def note(progress: Progress) -> None:
            found.append((time.perf_counter() - start, progress.history[-1].validation_accuracy))
            if found[-1][1] >= GOALS[-1]:
                raise _Learned

        with suppress(_Learned):
            train(
                self.backend,
                self.spec,
                experiment,
                dataset,
                self.cell.seed,
                Progress(),
                Watcher(epoch=note),
            )
        return found

    def evaluate(self) -> None:
        """Logits of all test images, as after a run."""
        predict(self.backend, self.dataset.test, self.dataset.transform, self.experiment.training.dtype)
        self.backend.synchronize()

    def infer(self, images: int) -> None:
        """Logits of so many images, which lie ready in the run's dtype."""
        np.asarray(self.backend.logits(self.images[:images]))
        self.backend.synchronize()

    def _epoch(self) -> Iterator[Chunk]:
        return epoch_chunks(self.dataset, self.experiment, self.spec, self.cell.seed, 0)
