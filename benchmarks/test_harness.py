"""What the harness does between two calls of a backend: `pytest benchmarks/`.

Batches and metrics must cost little beside a training step of some 10 ms; times are of this machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lockstep import config, evaluation
from lockstep.data import dataset, sources
from lockstep.data.batches import STEPS_PER_CALL, epoch_chunks
from lockstep.data.draws import dropout_masks

EXPERIMENT = config.load(Path("config/config.yaml")).experiments["dropout"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "mnist-5k"
    sources.prepare("mnist-5k", path)
    return dataset.load(path, "mnist-5k", "centred", 0, None)


def test_one_chunk_of_batches(benchmark, data):
    chunk = benchmark(lambda: next(epoch_chunks(data, EXPERIMENT, EXPERIMENT.spec, 0, 0)))
    assert chunk.images.shape == (STEPS_PER_CALL, 64, 28, 28, 1)


def test_one_dropout_mask(benchmark):
    masks = benchmark(lambda: dropout_masks(EXPERIMENT.spec, 0, 1, 64))
    assert masks["dropout1"].shape == (64, 1024)


def test_metrics_of_one_chunk(benchmark):
    logits, targets = np.zeros((STEPS_PER_CALL, 64, 10), "float32"), np.full((STEPS_PER_CALL, 64, 10), 0.1)
    loss = benchmark(lambda: evaluation.cross_entropy(logits, targets))
    assert loss == pytest.approx(np.log(10))
