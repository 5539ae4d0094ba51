"""JAX's road for GPUs on a CPU: a scan over steps, XLA's own convolutions, and flags that XLA knows."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from lockstep.conformance.observe import ADAM, observe
from lockstep.conformance.reference import ALL, observation, problem
from lockstep.conformance.specs import TRAINED
from lockstep.conformance.step_zero import _checks
from lockstep.discovery import find

if reason := find("jax").missing():
    pytest.skip(f"jax: {reason}", allow_module_level=True)


def scanned(make, spec, adam):
    """The backend as it is on a GPU."""
    import jax

    backend = make(spec, adam)
    backend._conv2d = importlib.import_module("lockstep_backend_jax")._convolution
    backend._steps = jax.jit(backend._scan, donate_argnums=0)
    return backend


def observed(make, name, adam, road):
    way = (lambda *spec: scanned(make, *spec)) if road == "scan" else make
    return observe(way, "jax", ALL[name], problem(name).astype("float64"), name in TRAINED, adam)


@pytest.mark.parametrize("name", ["strided", "three channels"])
def test_a_scan_is_in_step_with_the_reference_as_the_loop_is(name, worker):
    """T1 and T2, with weight noise, both forms of Adam and a smaller last batch; limits of 1e-12."""
    process, adam = worker("jax", "float64"), TRAINED.get(name, ADAM)
    for road in ("loop", "scan"):
        found = process.call(observed, name, adam, road)
        assert found.stop is None, str(found.stop)
        checks = [
            check for check, _ in _checks(name, found.tensors, observation(name), "float64", True, False)
        ]
        assert {check.tier for check in checks} == {"T1", "T2"}
        assert not [check for check in checks if check.verdict != "in step"], road


@pytest.mark.parametrize("more", ["", " --xla_gpu_no_such_flag=true"])
def test_xla_knows_the_flags_that_make_it_deterministic(more):
    """It ends a process over one that it does not know, whatever the device."""
    text = (find("jax").folder / "backend.py").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("DETERMINISTIC = "))
    flags = line.partition(" = ")[2].strip('"')
    assert flags.count("--xla_gpu_") == 2
    environment = os.environ | {"XLA_FLAGS": flags + more, "JAX_PLATFORMS": "cpu"}
    code = "import jax; jax.jit(lambda x: x + 1)(1.0)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=120)
    assert (b"Unknown flag" in done.stderr) == bool(done.returncode) == bool(more), done.stderr
