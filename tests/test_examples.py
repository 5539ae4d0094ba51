"""The plugins under `examples/`: in step with NumPy, and trained as a config says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lockstep import config as configs
from lockstep import discovery
from lockstep.conformance.certificate import QUICK
from lockstep.conformance.distance import travel_error
from lockstep.conformance.verify import Request, verify
from lockstep.data.draws import initial_weights
from lockstep.results import read_npz

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.parent.name for path in ROOT.glob("examples/*/backend.py"))
LIMIT = 1e-12  # of T2


@pytest.fixture(params=NAMES)
def example(request, monkeypatch):
    """The name of an example that is found and installed."""
    monkeypatch.setenv("LOCKSTEP_BACKENDS", str(ROOT / "examples"))
    discovery.plugins.cache_clear()
    reason = discovery.find(request.param).unusable("cpu")
    try:
        if reason:
            pytest.skip(f"{request.param}: {reason}")
        yield request.param
    finally:
        discovery.plugins.cache_clear()


def test_an_example_is_in_step_with_the_reference(example, digits):
    certificate = verify(Request(example, tiers=QUICK), digits, None, lambda what: None)
    assert {check.tier for check in certificate.checks} == set(QUICK)
    late = [check for check in certificate.checks if check.verdict not in ("in step", "reported")]
    assert not late, f"{late}\n{certificate.diagnosis}"


def test_an_example_that_a_config_names_trains_as_numpy_does(example, tmp_path, monkeypatch):
    """Without the variable: the config's `plugins` finds it, in the processes that train too."""
    monkeypatch.delenv("LOCKSTEP_BACKENDS")
    experiment = {
        "data": {"train_size": 150},
        "model": {
            "layers": [
                {"kind": "conv2d", "filters": 4, "kernel": 5, "stride": 2},
                {"kind": "activation"},
                {"kind": "max_pool"},
                {"kind": "flatten"},
                {"kind": "dropout", "rate": 0.2},
                {"kind": "dense", "units": 10},
            ]
        },
        "training": {"epochs": 2, "batch_size": 16, "dtype": "float64"},
    }
    settings = {
        "results": str(tmp_path / "results"),
        "reports": str(tmp_path / "reports"),
        "plugins": [str(ROOT / "examples")],
        "backends": ["numpy", example],
        "seeds": [0],
        "base": experiment,
        "experiments": {"tiny": {}},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    for backend in settings["backends"]:
        command = [sys.executable, "-m", "lockstep", "train", "--config", str(path)]
        command += ["--experiment", "tiny", "--backend", backend]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    config = configs.load(path)
    numpy, mine = (config.cell("tiny", backend, "cpu", 0) for backend in settings["backends"])
    start = initial_weights(numpy.experiment.spec, 0, "float64")
    trained = (read_npz(config.folder(cell) / "weights.npz") for cell in (mine, numpy))
    assert travel_error(*trained, start) < LIMIT
