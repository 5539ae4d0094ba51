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
ALL = SPECS | TAPS


@cache
def reference(name: str):
    """NumPy is no framework, so it may share this process."""
    return observe(REFERENCE, "float64", "cpu", 2, ALL[name].model_dump_json(), SEED)


def tier(dtype: str, quantity: str) -> str | None:
    trained = quantity.startswith(("travel", "training"))
    if dtype == "float64":
        return "T2" if trained else "T1"
    return None if trained else "T3"  # float32 runs part after some steps; step 0 is what is promised


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_in_step_with_the_reference(backend, dtype, worker):
    late = []
    for name, spec in ALL.items():
        for quantity, far in distances(worker(backend, dtype).observe(spec, SEED), reference(name)).items():
            limit = LIMITS.get(tier(dtype, quantity), np.inf)
            if far > limit:
                late.append(f"{name}: {quantity}: {far:.1e} > {limit:.0e}")
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
