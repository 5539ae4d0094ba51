"""Every discovered backend against NumPy in float64: tiers T1, T2 (a few steps) and T3."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from lockstep.conformance.distance import LIMITS, distance, distances
from lockstep.conformance.observe import observe
from lockstep.conformance.specs import SPECS, TAPS
from lockstep.discovery import REFERENCE
from lockstep.spec import KINDS

SEED = 7
FEW_STEPS_IN_FLOAT32 = 1e-3
ALL = SPECS | TAPS


@cache
def reference(name: str):
    """NumPy is no framework, so it may share this process."""
    return observe(REFERENCE, "float64", "cpu", 2, ALL[name].model_dump_json(), SEED)


def limit(dtype: str, quantity: str) -> float:
    trained = quantity.startswith(("travel", "training"))
    if dtype == "float64":
        return LIMITS["T2" if trained else "T1"]
    # Float32 runs part after tens of steps; over the four here they are still close.
    return FEW_STEPS_IN_FLOAT32 if trained else LIMITS["T3"]


def out_of_step(process, dtype: str) -> list[str]:
    """One line per quantity that is further from NumPy in float64 than it may be."""
    late = []
    for name, spec in ALL.items():
        for quantity, far in distances(process.observe(spec, SEED), reference(name)).items():
            if not far <= limit(dtype, quantity):
                late.append(f"{name}: {quantity}: {far:.1e} > {limit(dtype, quantity):.0e}")
    return late


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_in_step_with_the_reference(backend, dtype, worker):
    late = out_of_step(worker(backend, dtype, "cpu"), dtype)
    assert not late, "\n".join(late)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_in_step_with_the_reference_on_a_gpu(backend, dtype, worker):
    process = worker(backend, "float32", "cpu")  # already there, and may ask the framework
    if "gpu" not in process.devices():
        pytest.skip(f"{backend} has no GPU here")
    late = out_of_step(worker(backend, dtype, "gpu"), dtype)
    assert not late, "\n".join(late)


def test_distance_counts_what_it_should():
    reference = np.full(1000, 2.0)
    assert distance(reference, reference) == 0
    assert distance(reference * (1 + 1e-6), reference) == pytest.approx(1e-6)
    assert distance(reference[:10], reference) == np.inf
    assert distance(np.where(np.arange(1000) == 3, np.nan, reference), reference) == np.inf
    assert distance(np.full(4, 1e-9), np.zeros(4)) == pytest.approx(2e-9 / 1e-3)  # the floor of dead units
    few = np.where(np.arange(1000) < 5, 0, reference)
    assert distance(few, reference, exempt=0.005) == 0
    assert distance(few, reference, exempt=0.004) > 0.03


def test_every_kind_of_layer_is_under_test():
    used = {layer.kind for spec in SPECS.values() for layer in spec.layers}
    assert used == set(KINDS)
