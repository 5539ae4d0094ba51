"""Weights travel: what one backend has trained, any other one loads, agrees with, and trains on."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lockstep.conformance import digits as runs
from lockstep.conformance.distance import distance, travel_error
from lockstep.conformance.observe import observe
from lockstep.conformance.problem import Tensors, draw
from lockstep.conformance.worker import Worker
from lockstep.discovery import plugins
from lockstep.experiment import Experiment
from lockstep.results import read_npz, write_npz
from lockstep.spec import Activation, Conv2D, Dense, Dropout, Flatten, MaxPool

STEPS = 20
LOGITS = {"float64": 1e-12, "float32": 1e-5}
TRAVEL = 1e-12


def _pair(sender, receiver):
    reasons = [f"{p.name}: {p.missing()}" for p in (sender, receiver) if p.missing()]
    skip = pytest.mark.skip(reason="; ".join(reasons)) if reasons else ()
    return pytest.param(sender.name, receiver.name, marks=skip, id=f"{sender.name} to {receiver.name}")


pairs = pytest.mark.parametrize(
    ("sender", "receiver"), [_pair(*pair) for pair in permutations(plugins().values(), 2)]
)


# Images of several channels are flattened, and they are square: no shape gives a layout away.
LAYERS = (
    *(Conv2D(filters=4, kernel=4, stride=3, padding="same"), Activation(function="relu")),
    *(Conv2D(filters=4, kernel=4, padding="full"), Activation(function="swish")),
    *(MaxPool(size=3), Dropout(rate=0.3), Flatten(), Dense(units=10)),
)


def experiment(dtype: str) -> Experiment:
    settings = {
        "model": {"layers": tuple(layer.model_dump() for layer in LAYERS)},
        "optimizer": {"learning_rate": 1e-3},
        "training": {"epochs": 1, "batch_size": 16, "dtype": dtype},
    }
    return Experiment.model_validate(settings)


class Trained(NamedTuple):
    file: Path
    """Weights and moments after STEPS steps."""
    twice: runs.Segment
    """After twice as many, without a break."""


@pytest.fixture(scope="module")
def trained(worker, digits, tmp_path_factory):
    """(backend, dtype) -> what it has trained, once for all receivers."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def get(backend: str, dtype: str) -> Trained:
        run, file = experiment(dtype), folder / f"{backend}-{dtype}.npz"
        once, twice = (
            worker(backend, dtype).call(runs.segment, digits, run, 1, steps, runs.start(run))
            for steps in (STEPS, 2 * STEPS)
        )
        write_npz(file, once.state)
        return Trained(file, twice)

    return get


def logits(process: Worker, state: Tensors) -> np.ndarray:
    spec = experiment(process.dtype).spec
    problem = replace(draw(spec, seed=7), weights=state, weight_noise={}).astype(process.dtype)
    found = process.call(observe, process.backend, spec, problem, training=False)
    assert found.stop is None, found.stop
    return found.tensors["logits"]


@pytest.mark.parametrize("dtype", LOGITS)
@pairs
def test_the_receiver_gives_the_senders_logits(sender, receiver, dtype, worker, trained):
    state = read_npz(trained(sender, dtype).file)
    there, here = (logits(worker(backend, dtype), state) for backend in (receiver, sender))
    assert distance(there, here) <= LOGITS[dtype]
    untrained = logits(worker(receiver, dtype), runs.start(experiment(dtype)))
    assert distance(there, untrained) > 0.1, "twenty steps change the logits"


@pairs
def test_training_goes_on_as_if_nothing_had_happened(sender, receiver, worker, trained, digits):
    file, whole = trained(sender, "float64")
    run, before = experiment("float64"), read_npz(file)
    rest = worker(receiver, "float64").call(runs.segment, digits, run, STEPS + 1, 2 * STEPS, before)
    assert distance(rest.losses, whole.losses[STEPS:]) <= TRAVEL
    for prefix in ("", "adam/m/", "adam/v/"):
        start = {prefix + name: before[prefix + name] for name in run.spec.weights}
        assert travel_error(rest.state, whole.state, start) <= TRAVEL, prefix or "weights"
