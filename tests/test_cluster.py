"""The SLURM profile without a cluster, and tests/cluster/run.sh where one may be started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROFILE = ROOT / "profiles/slurm/profile.yaml"
BIN = Path(sys.executable).parent

plugin = pytest.mark.skipif(
    not find_spec("snakemake_executor_plugin_slurm"),
    reason="snakemake-executor-plugin-slurm is not installed",
)


def test_the_profile_names_rules_that_exist():
    profile = yaml.safe_load(PROFILE.read_text())
    rules = {
        name
        for file in ROOT.glob("workflows/*.smk")
        for name in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)
    }
    assert rules >= {*profile["set-resources"], *profile["set-threads"]}


@plugin
def test_snakemake_plans_a_run_on_a_cluster(tmp_path):
    """A dry run needs no SLURM.  Its cores are a limit on what it shows and nothing of the cluster."""
    for name in ("workflows", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Snakefile", tmp_path)
    shutil.copytree(
        ROOT / "backends/numpy", tmp_path / "backends/numpy", ignore=shutil.ignore_patterns("__pycache__")
    )
    config = yaml.safe_load((ROOT / "tests/cluster/config.yaml").read_text())
    config |= {"backends": ["numpy"], "speed": {"threads": [3]}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    planned = subprocess.run(
        [
            "snakemake",
            "--dry-run",
            "--cores",
            "8",
            "--workflow-profile",
            "profiles/slurm",
            "--configfile",
            "config.yaml",
        ],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = planned.stdout + planned.stderr
    assert planned.returncode == 0, output
    jobs = {job.split(":")[0]: job for job in re.split(r"^(?:local)?rule ", output, flags=re.MULTILINE)[1:]}
    assert {"data", "train", "attack", "transfer", "verify", "throughput", "report"} <= set(jobs)
    assert "slurm_extra=--exclusive" in jobs["throughput"]
    assert re.search(r"threads: 3$", jobs["throughput"], re.MULTILINE)
    for name, job in jobs.items():
        assert name == "all" or ("mem_mb=4000" in job and "runtime=120" in job), job


@pytest.mark.skipif(
    os.environ.get("LOCKSTEP_CLUSTER") != "1",
    reason="LOCKSTEP_CLUSTER=1, as root, starts a SLURM cluster here",
)
def test_a_run_on_a_cluster_equals_the_local_one():
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    subprocess.run([ROOT / "tests/cluster/run.sh"], env=environment, check=True, timeout=3600)
