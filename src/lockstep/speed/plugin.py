"""pytest's side of a timed process: its options, and what its JSON says beside the times.

NumPy is not imported here: `process.prepare` comes first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from lockstep import process, provenance

EPOCHS = 3
"""Timed in one go, after one that is not: of a backend as of its peer."""
FACTS: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
"""What the timed process says of itself."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lockstep")
    group.addoption("--backend", help="the backend that is timed in this process")
    group.addoption("--config-of-runs", type=Path, help="config file whose baseline is timed")
    group.addoption("--data", type=Path, help="folder of its decoded data source")
    group.addoption("--device", default="cpu")
    group.addoption("--threads", type=int, default=1)
    group.addoption("--batch-size", type=int, help="default: the experiment's")
    group.addoption("--accuracy", action="store_true", help="also train until the digits are learned")
    group.addoption("--peer", type=Path, help="or a script of benchmarks/peers")
    group.addoption("--images", type=Path, help="what a peer learns: .npz with images and labels")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FACTS] = {}
    if config.getoption("--backend"):
        process.prepare()  # a peer does without: a user's script would


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    return provenance.machine()  # no host name, and no second process that asks for the CPU


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    output_json["lockstep"] = config.stash[FACTS]


@contextmanager
def counting_cores(benchmark: BenchmarkFixture) -> Iterator[None]:
    """Keep how many cores the process had meanwhile: whether it held to its number of threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    benchmark.extra_info["cores"] = (time.process_time() - cpu) / (time.perf_counter() - wall)
