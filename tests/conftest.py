"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lockstep import discovery
from lockstep.adversarial import attacked
from lockstep.conformance.certificate import Certificate
from lockstep.conformance.verify import Request, prepared_digits, verify
from lockstep.conformance.worker import Worker
from lockstep.data.batches import Chunk
from lockstep.data.dataset import Affine
from lockstep.data.draws import epoch_order, initial_weights
from lockstep.data.mnist import read_mnist_5k
from lockstep.discovery import Plugin, find, load, plugins
from lockstep.experiment import Adversarial
from lockstep.optimizer import Adam
from lockstep.spec import Activation, Conv2D, Dense, Flatten, Spec

ROOT = Path(__file__).parents[1]
os.chdir(ROOT)  # `backends/` of this checkout is the one that is found

NO_CUPY = pytest.mark.skipif(find("numpy").unusable("gpu") is None, reason="CuPy is installed here")
"""For tests of a backend that cannot run on a GPU: NumPy is one where CuPy is not installed."""
BOTH = """
from lockstep import discovery

api = 1
runs_on = ("cpu", "gpu")
Numpy = discovery.load(discovery.find("numpy"))


class Both(Numpy):
    def __init__(self, *arguments, device, **settings):
        super().__init__(*arguments, device="cpu", **settings)

    @classmethod
    def devices(cls):
        return ("cpu", "gpu")
"""
"""A plugin that computes on a CPU and says that it is a GPU."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `backend` runs for every discovered one; not installed is a skip that says why."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", [_parameter(plugin) for plugin in plugins().values()])


def _parameter(plugin: Plugin):
    reason = plugin.missing()
    return pytest.param(
        plugin.name, marks=pytest.mark.skip(reason=f"{plugin.name}: {reason}") if reason else ()
    )


@pytest.fixture(scope="session")
def worker() -> Iterator[Callable[..., Worker]]:
    """(backend, dtype, device, threads) -> its long-lived process: one process holds one framework."""
    running: dict[tuple[object, ...], Worker] = {}

    def get(*key: Any) -> Worker:
        if key not in running:
            running[key] = Worker.start(*key)
        return running[key]

    yield get
    for process in running.values():
        process.close()


@pytest.fixture(scope="session")
def digits() -> Iterator[Path]:
    """The file of digits that the conformance tiers run on."""
    with prepared_digits() as path:
        yield path


@pytest.fixture
def certify(digits, monkeypatch) -> Iterator[Callable[..., Certificate]]:
    """(folder, name, *tiers) -> certificate of a plugin in `folder/backends`, where plugins are found."""

    def made(folder: Path, name: str, *tiers: str) -> Certificate:
        monkeypatch.chdir(folder)
        discovery.plugins.cache_clear()
        return verify(Request(name, tiers=tiers), digits, None, lambda what: None)

    yield made
    discovery.plugins.cache_clear()


class Trained(NamedTuple):
    """A small network that tells digits apart, and 500 digits that it has not seen."""

    spec: Spec
    weights: dict[str, np.ndarray]
    affine: Affine
    images: np.ndarray
    """float32 in [0, 1]."""
    labels: np.ndarray


@pytest.fixture(scope="session")
def trained() -> Trained:
    """What attacks are tested on: three epochs by the reference, in float32; about a second."""
    relu = Activation(function="relu")
    convolutions = Conv2D(filters=8, kernel=5, stride=2), relu, Conv2D(filters=16, kernel=3, stride=2), relu
    spec = Spec(input_shape=(28, 28, 1), layers=(*convolutions, Flatten(), Dense(units=10)))
    adam, affine = Adam(learning_rate=3e-3), Affine(np.array(3.2), np.array(-0.42))
    reference = load(find("numpy"))
    backend = reference(spec, adam, device="cpu", dtype="float32", threads=1, deterministic=True)
    backend.load(initial_weights(spec, 0, "float32"))
    images, labels = read_mnist_5k()
    order = epoch_order(len(labels), 0, 0)
    unseen, seen = order[:500], order[500:]
    for epoch in range(3):
        rows = seen[epoch_order(len(seen), 0, epoch + 1)][: 70 * 64].reshape(70, 64)
        targets = np.eye(10, dtype="float32")[labels[rows]]
        backend.train_steps(affine(images[rows], "float32"), targets, {}, adam.scales(70 * epoch + 1, 70))
    weights = {name: backend.dump()[name] for name in spec.weights}
    return Trained(
        spec, weights, affine, (images[unseen] / 255).astype("float32"), labels[unseen].astype(int)
    )


@pytest.fixture(scope="session")
def hardened(trained) -> Trained:
    """The same network after most of an epoch more, on images that are attacked as they come; in seconds."""
    adam, images_and_labels = Adam(learning_rate=1e-3), read_mnist_5k()
    reference = load(find("numpy"))
    backend = reference(trained.spec, adam, device="cpu", dtype="float32", threads=1, deterministic=True)
    backend.load(trained.weights)
    rows = epoch_order(5000, 0, 0)[500:][: 60 * 64].reshape(60, 64)
    images, labels = (array[rows] for array in images_and_labels)
    pixels, targets = (images / 255).astype("float32"), np.eye(10, dtype="float32")[labels]
    chunk = Chunk(1, pixels, targets, {}, adam.scales(1, len(rows)), None)
    for step in attacked([chunk], backend, trained.affine, Adversarial(attack="pgd", eps=0.1, steps=4), 0):
        backend.train_steps(*step.arguments)
    return trained._replace(weights={name: backend.dump()[name] for name in trained.spec.weights})
