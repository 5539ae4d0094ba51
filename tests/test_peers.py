"""The plain scripts that Lockstep's speed is compared with: the same network, and it learns."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep import config

PEERS = Path("benchmarks/peers")
NEEDS = {
    "jax_optax": ("jax", "optax"),
    "keras_fit": ("keras", "tensorflow"),
    "numpy_im2col": ("numpy",),
    "pytorch": ("torch",),
}


def test_every_peer_is_tested():
    assert {path.stem for path in PEERS.glob("*.py")} - {"peer"} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_a_peer_trains_the_default_network(name):
    missing = [package for package in NEEDS[name] if not importlib.util.find_spec(package)]
    if missing:
        pytest.skip(f"{name}: {' and '.join(missing)} not installed; pip install -e '.[peers]'")
    script = [sys.executable, str(PEERS / f"{name}.py"), "--images", "1000", "--epochs", "3"]
    run = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    spec = config.load(Path("config/config.yaml")).experiments["baseline"].spec
    assert run.stdout.startswith(f"{spec.parameters:,} parameters, 1,000 images, 1 threads\n")
    (accuracy,) = re.findall(r"test accuracy ([\d.]+)% of 1,000 digits", run.stdout)
    assert float(accuracy) > 80
    losses = [float(loss) for loss in re.search(r"epochs: (.+)", run.stdout)[1].split(", ")]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 3


@pytest.mark.parametrize("name", NEEDS)
def test_a_peer_imports_nothing_of_lockstep_and_one_framework(name):
    packages = {package for needs in NEEDS.values() for package in needs} - {"numpy"}
    imported = set()
    for file in (f"{name}.py", "peer.py"):
        imported |= set(re.findall(r"^(?:import|from) (\w+)", (PEERS / file).read_text(), re.MULTILINE))
    assert imported & packages == set(NEEDS[name]) - {"numpy"}
    assert "lockstep" not in imported
