"""What is timed of one backend, in the order of a run: pytest-benchmark on one process.

    lockstep time BACKEND

starts it with its options.  Phases that happen once in a process are timed once; the others are repeated,
after calls that are not counted, in which frameworks compile.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from lockstep import config as configs
from lockstep.discovery import find
from lockstep.speed import memory, sgemm
from lockstep.speed.plugin import EPOCHS, FACTS, counting_cores
from lockstep.speed.request import timed
from lockstep.speed.subject import BATCH_SIZES, BULK, Subject

WARM = 3
"""Calls before the clock: TensorFlow traces anew for the first shapes that differ."""
SINGLE = 500
"""Calls with one image: enough for the 99th percentile."""
PERCENTILES = [50, 95, 99]

repeated = pytest.mark.benchmark(min_rounds=5, max_time=1.0)


@pytest.fixture(scope="session")
def subject(pytestconfig: pytest.Config) -> Iterator[Subject]:
    option = pytestconfig.getoption
    config = configs.load(option("--config-of-runs"))
    experiment = timed(config, option("--threads"), option("--batch-size"))
    wanted = configs.Cell(config.baseline, experiment, option("--backend"), option("--device"), 0)
    subject = Subject(wanted, option("--data"))
    pytestconfig.stash[FACTS]["memory"] = {"start_bytes": memory.peak()}
    yield subject
    if "backend" not in vars(subject):
        return  # it failed
    pytestconfig.stash[FACTS] |= {
        "backend": wanted.backend,
        "device": wanted.device,
        "threads": wanted.experiment.training.threads,
        "batch_size": wanted.experiment.training.batch_size,
        "flops_per_image": {"forward": subject.spec.flops, "training": 3 * subject.spec.flops},
        "environment": {**subject.framework.environment(), **find(wanted.backend).switches},
    }


@repeated
def test_sgemm(benchmark: BenchmarkFixture, subject: Subject, pytestconfig: pytest.Config) -> None:
    """What NumPy's BLAS can do here with as many threads, whatever kernels a switch chooses for others."""
    with sgemm.product(pytestconfig.getoption("--threads")) as product:
        try:
            product()
        except sgemm.Ended as ended:
            pytest.skip(str(ended))
        benchmark(product)
    benchmark.extra_info["flops"] = sgemm.FLOPS


def test_import(benchmark: BenchmarkFixture, subject: Subject) -> None:
    benchmark.pedantic(lambda: subject.framework)


def test_build(benchmark: BenchmarkFixture, subject: Subject) -> None:
    """The network with its initial weights; its framework's threads, and its device."""
    benchmark.pedantic(lambda: subject.backend)


def test_first_call(benchmark: BenchmarkFixture, subject: Subject) -> None:
    """K training steps, and what has to be compiled for them."""
    benchmark.extra_info["steps"] = subject.steps
    benchmark.pedantic(subject.train)


@repeated
def test_train_step(benchmark: BenchmarkFixture, subject: Subject) -> None:
    """K steps a call, on batches that lie ready."""
    for _ in range(WARM):
        subject.train()
    benchmark.extra_info["steps"] = subject.steps
    benchmark.extra_info["images"] = subject.steps * subject.experiment.training.batch_size
    with counting_cores(benchmark):
        benchmark(subject.train)


def test_epoch(benchmark: BenchmarkFixture, subject: Subject) -> None:
    subject.epochs(1)
    benchmark.extra_info["images"] = EPOCHS * len(subject.dataset.train)
    with counting_cores(benchmark):
        benchmark.pedantic(subject.epochs, args=(EPOCHS,))


@repeated
def test_evaluation(benchmark: BenchmarkFixture, subject: Subject) -> None:
    for _ in range(WARM):
        subject.evaluate()
    benchmark.extra_info["images"] = len(subject.dataset.test)
    benchmark(subject.evaluate)


def test_memory(subject: Subject, pytestconfig: pytest.Config) -> None:
    """The most that training and evaluation took; what follows may take more."""
    peak = {"peak_bytes": memory.peak(), "device_bytes": subject.backend.peak_memory()}
    pytestconfig.stash[FACTS]["memory"] |= peak


def test_inference_1(benchmark: BenchmarkFixture, subject: Subject) -> None:
    benchmark.extra_info["percentiles"] = PERCENTILES
    benchmark.pedantic(subject.infer, args=(1,), rounds=SINGLE, warmup_rounds=20)


@repeated
def test_inference_1024(benchmark: BenchmarkFixture, subject: Subject) -> None:
    for _ in range(WARM):
        subject.infer(BULK)
    benchmark.extra_info["images"] = BULK
    benchmark(subject.infer, BULK)


@pytest.mark.benchmark(min_rounds=3, max_time=0.5)
@pytest.mark.parametrize("size", BATCH_SIZES)
def test_batch_size(benchmark: BenchmarkFixture, subject: Subject, size: int) -> None:
    """Training steps as above, but B images each."""
    if size > len(subject.dataset.train):
        pytest.skip("more than there are")
    chunk = subject.batches(size)
    for _ in range(WARM):
        subject.train(chunk)
    benchmark.extra_info["steps"] = len(chunk.images)
    benchmark.extra_info["images"] = len(chunk.images) * size
    benchmark(subject.train, chunk)


def test_accuracy(benchmark: BenchmarkFixture, subject: Subject, pytestconfig: pytest.Config) -> None:
    """A run on all training images, from the initial weights, until the last goal is reached."""
    if not pytestconfig.getoption("--accuracy"):
        pytest.skip("as long as training itself: once is enough")
    config = configs.load(pytestconfig.getoption("--config-of-runs"))
    whole = config.experiments[config.baseline].data
    benchmark.extra_info["learning"] = benchmark.pedantic(subject.learn, args=(whole,))
