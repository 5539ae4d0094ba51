"""A backend from a package outside: installed into an environment of its own, beside an installed Lockstep.

What is run is the wheel's `lockstep` and the checkout's Snakefile: no file of the harness knows the plugin.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from lockstep import new_backend
from lockstep.conformance.certificate import read

ROOT = Path(__file__).parents[1]
CONFIG = {
    "results": "results",
    "reports": "reports",
    "backends": ["numpy", "mine"],
    "seeds": [0],
    "conformance": {"tiers": ["T3"]},
    "base": {
        "data": {"train_size": 100},
        "model": {"layers": [{"kind": "flatten"}, {"kind": "dense", "units": 10}]},
        "training": {"epochs": 1, "batch_size": 20},
    },
    "experiments": {"baseline": {}},
    "attacks": {"images": 20, "eps": [0.1], "shown": 0.1, "steps": 2, "names": ["fgsm", "pgd"]},
    "speed": {"rounds": 1},
}


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """What a command prints; the environment's programs come first."""
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MAKEFLAGS")}
    if path:
        variables["PATH"] = f"{path}:{os.environ['PATH']}"
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of a new environment with Lockstep and the package, and what this one has beside them."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: packages cannot be built")
    folder = tmp_path_factory.mktemp("outside")
    guide = (ROOT / "docs/plugins.md").read_text()
    (package,) = re.findall(r"```toml\n(.*?)```", guide, re.S)
    (folder / "package/lockstep_mine").mkdir(parents=True)
    (folder / "package/pyproject.toml").write_text(package)
    (folder / "package/lockstep_mine/__init__.py").write_text("")
    for file in new_backend.write("mine", folder).iterdir():
        shutil.copy(file, folder / "package/lockstep_mine")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    here, there = (
        sysconfig.get_path("purelib", vars=variables)
        for variables in (None, {"base": str(folder / "env"), "platbase": str(folder / "env")})
    )
    Path(there, "rest.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    pip = [sys.executable, "-m", "pip", "--python", folder / "env/bin/python", "install", "--quiet"]
    pip += ["--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed"]
    run(*pip, ROOT, folder / "package", cwd=folder)
    return folder / "env/bin"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_package_is_found_proved_trained_attacked_timed_and_reported(programs, tmp_path):
    listed = run(programs / "lockstep", "backends", cwd=tmp_path)
    assert re.search(r"mine +│ numpy .*│ cpu", listed)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    pipeline = [programs / "python", "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2"]
    run(*pipeline, "--configfile", config, cwd=tmp_path, path=programs)

    (certificate,) = read(tmp_path / "results/conformance/mine/cpu/quick.json")
    assert certificate.verdict == "in step"
    tables = tmp_path / "reports/tables"
    for table in ("cells", "history", "attacks", "speed"):
        assert {row["backend"] for row in rows(tables / f"{table}.csv")} == {"numpy", "mine"}, table
    crafted = {(row["crafted_backend"], row["shown_backend"]) for row in rows(tables / "transfer.csv")}
    assert {("mine", "numpy"), ("numpy", "mine")} <= crafted
    assert {row["outcome"] for row in rows(tables / "cells.csv")} == {"completed"}
    for page in ("index", "conformance", "robustness", "speed", "environment", "backend-mine"):
        assert re.search(r"\bmine\b", (tmp_path / f"reports/{page}.html").read_text()), page
