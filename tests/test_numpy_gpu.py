"""NumPy's road for GPUs, which is written in the array API standard, on a CPU by array-api-strict."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from lockstep.conformance import reference
from lockstep.conformance.observe import ADAM, observe
from lockstep.conformance.reference import ALL
from lockstep.conformance.specs import SPECS, TRAINED
from lockstep.conformance.step_zero import _checks
from lockstep.discovery import find, load
from lockstep.errors import LockstepError
from lockstep.optimizer import Adam

strict = pytest.importorskip(
    "array_api_strict", reason="array-api-strict, of the test extra, is not installed"
)
NumpyBackend = load(find("numpy"))
standard = importlib.import_module("lockstep_backend_numpy.standard")


def no_wait():
    pass


@pytest.fixture(autouse=True)
def cupy(monkeypatch):
    """array-api-strict in CuPy's place, with the few things of CuPy's own that the backend asks it for."""
    runtime = SimpleNamespace(
        runtimeGetVersion=lambda: 13000, getDeviceProperties=lambda place: {"name": b"none: a stand-in"}
    )
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_current_stream=lambda: SimpleNamespace(synchronize=no_wait),
        runtime=runtime,
    )
    own = {"cuda": cuda, "get_default_memory_pool": lambda: SimpleNamespace(total_bytes=lambda: 7)}
    stand_in = SimpleNamespace(**{name: getattr(strict, name) for name in dir(strict)} | own)
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    monkeypatch.delenv("CUPY_TF32", raising=False)


def on_gpu(dtype):
    return partial(NumpyBackend, device="gpu", dtype=dtype, threads=1, deterministic=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_in_step_with_the_reference(dtype):
    """Every check of T1 and T2 in float64, and of T3, as `lockstep verify` makes them."""
    tiers = set()
    for name, spec in ALL.items():
        training, adam = dtype == "float64" and name in TRAINED, TRAINED.get(name, ADAM)
        make = lambda spec, adam: on_gpu(dtype)(spec, adam)  # noqa: E731
        found = observe(make, "numpy", spec, reference.problem(name).astype(dtype), training, adam)
        assert found.stop is None, str(found.stop)
        for check, _ in _checks(name, found.tensors, reference.observation(name), dtype, training, False):
            assert check.verdict == "in step", check
            tiers.add(check.tier)
    assert tiers == ({"T1", "T2"} if dtype == "float64" else {"T3"})


def test_arrays_stay_on_the_device_between_calls():
    network = standard.Network(strict, SPECS["classroom"], Adam(), "float32")
    kinds = {type(tensor) for group in (network.weights, network.m, network.v) for tensor in group.values()}
    assert kinds == {type(strict.zeros(1))}
    assert all(type(value) is np.ndarray for value in network.dump().values())


def test_what_it_says_of_itself():
    backend = on_gpu("float32")(SPECS["no convolution"], Adam())
    assert NumpyBackend.devices() == ("cpu", "gpu")
    said = NumpyBackend.environment()
    assert (said["gpu"], said["cuda"], said["CUPY_TF32"]) == ("none: a stand-in", "13000", "0")
    assert backend.peak_memory() == 7


@pytest.mark.parametrize("installed", [True, False])
def test_without_a_gpu_it_says_so(installed, monkeypatch):
    if installed:
        monkeypatch.setattr(sys.modules["cupy"].cuda, "is_available", lambda: False)
    else:
        monkeypatch.setitem(sys.modules, "cupy", None)  # `import cupy` fails
    assert "gpu" not in NumpyBackend.environment()
    assert NumpyBackend.devices() == ("cpu",)
    with pytest.raises(LockstepError, match="no device 'gpu' for this backend here; it can use: cpu"):
        on_gpu("float32")(SPECS["no convolution"], Adam())
