"""A script of `benchmarks/peers` on the same images: its whole epochs, after one that is not counted."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from lockstep.process import hide_gpus
from lockstep.speed.plugin import EPOCHS, counting_cores


def test_epoch(benchmark: BenchmarkFixture, pytestconfig: pytest.Config) -> None:
    script = pytestconfig.getoption("--peer")
    hide_gpus()  # as when it is run as a script: the peers are for CPUs
    sys.path.insert(0, str(script.parent))
    with np.load(pytestconfig.getoption("--images")) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    peer = importlib.import_module(script.stem).prepare(images, labels, pytestconfig.getoption("--threads"))
    peer.train(1)
    benchmark.extra_info["images"] = EPOCHS * len(images)
    with counting_cores(benchmark):
        benchmark.pedantic(peer.train, args=(EPOCHS,))
