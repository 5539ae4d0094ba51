"""One process on a GPU at a time, told by real processes and a script that answers like nvidia-smi."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from conftest import BOTH, ROOT

from lockstep import gpu, process
from lockstep.gpu import HELD, VISIBLE, Gpu, held, usable

GPUS = [Gpu(str(i), f"GPU-{i}{i}{i}{i}-aaaa", f"Some GPU {i}", "580.65") for i in range(2)]
HOLDER = """
import json, os, sys, time
from lockstep.gpu import held
with held("gpu") as mine:
    print("holds", flush=True)
    start = time.monotonic()
    time.sleep(float(sys.argv[1]))
    row = [os.environ["CUDA_VISIBLE_DEVICES"], str(mine), start, time.monotonic()]
    print(json.dumps(row), flush=True)
"""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch) -> Path:
    """A machine with two GPUs whose locks are the test's own; its nvidia-smi."""
    script, bin_, locks = tmp_path / "bin/nvidia-smi", tmp_path / "bin", tmp_path / "locks"
    bin_.mkdir()
    locks.mkdir()
    rows = "\n".join(f"{each.index}, {each.uuid}, {each.name}, {each.driver}" for each in GPUS)
    script.write_text(f"#!/bin/sh\ncat <<END\n{rows}\nEND\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(locks))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(gpu, "PATIENCE", 0.05)
    for name in (VISIBLE, HELD):
        monkeypatch.delenv(name, raising=False)
    return script


def start(seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_of_more_processes_than_gpus_no_two_hold_the_same_at_once():
    answers = [process.communicate(timeout=60)[0].splitlines() for process in [start(0.2) for _ in range(6)]]
    rows = [json.loads(lines[-1]) for lines in answers]
    assert {row[0] for row in rows} == {each.uuid for each in GPUS}, "each was used, by its UUID"
    for uuid in {row[0] for row in rows}:
        times = sorted((start, end) for visible, _, start, end in rows if visible == uuid)
        assert all(end <= start for (_, end), (start, _) in pairwise(times))
    waited = [lines[0] for lines in answers if len(lines) == 3]
    assert set(waited) == {"gpu: all 2 are held by other runs of Lockstep; waiting"}
    assert {row[1] for row in rows} == {str(each) for each in GPUS}
    assert str(GPUS[0]) == "Some GPU 0 (index 0, GPU-0000-aaaa, driver 580.65)"


def test_a_killed_process_frees_its_gpu(monkeypatch):
    monkeypatch.setenv(VISIBLE, "1")
    killed = start(60)
    assert next_line(killed) == "holds"
    waiting = start(0)
    assert next_line(waiting) == "gpu: held by another run of Lockstep; waiting"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert next_line(waiting) == "holds"
    assert json.loads(next_line(waiting))[0] == GPUS[1].uuid


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, GPUS),
        ("1,0", GPUS[::-1]),
        ("1, -1, 0", GPUS[1:]),
        ("GPU-1111-aaaa", GPUS[1:]),
        ("GPU-11", GPUS[1:]),
        ("MIG-12", [Gpu(uuid="MIG-12")]),
        ("", []),
        ("7", []),
    ],
)
def test_the_gpus_that_a_process_may_use(visible, expected, monkeypatch):
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    assert usable() == expected


@pytest.mark.parametrize("visible", [None, "1"])
def test_what_was_visible_is_again_when_a_gpu_is_left(visible, monkeypatch):
    if visible:
        monkeypatch.setenv(VISIBLE, visible)
    for _ in range(2):
        with suppress(RuntimeError), held("gpu") as mine:
            assert os.environ[VISIBLE] == mine.uuid == GPUS[int(visible or 0)].uuid
            raise RuntimeError
        assert os.environ.get(VISIBLE) == visible
        assert HELD not in os.environ


def test_what_a_holder_starts_shares_its_gpu_and_does_not_wait():
    with held("gpu") as mine, held("gpu") as inner:
        assert inner == mine
        child = start(0)
        assert next_line(child) == "holds"
        assert json.loads(next_line(child))[:2] == [mine.uuid, str(mine)]


def test_of_a_cpu_nothing_is_held():
    with held("cpu") as mine:
        assert mine is None
        assert {VISIBLE, HELD}.isdisjoint(os.environ)


@pytest.mark.parametrize("answer", ["exit 9", "echo No devices were found", None])
def test_without_nvidia_smi_there_is_one_lock_and_nothing_is_hidden(answer, machine, monkeypatch):
    if answer:
        machine.write_text(f"#!/bin/sh\n{answer}\n")
    else:
        machine.unlink()
        monkeypatch.setenv("PATH", str(machine.parent))  # nor that of the machine that tests this
    with held("gpu") as mine:
        assert str(mine) == "GPU (nvidia-smi does not tell which)"
        assert VISIBLE not in os.environ
    monkeypatch.setenv(VISIBLE, "0,1")
    with held("gpu") as mine:
        assert (mine, os.environ[VISIBLE]) == (Gpu(), "0,1")


def test_a_lock_may_be_taken_by_whoever_runs_here_next(machine):
    with held("gpu"):
        (lock,) = (machine.parents[1] / "locks").iterdir()
        assert (lock.name, lock.stat().st_mode & 0o777) == ("lockstep-GPU-0000-aaaa.lock", 0o666)


def benchmark(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks/gpu.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_benchmark_of_a_gpu_needs_one(tmp_path, monkeypatch):
    monkeypatch.setenv(VISIBLE, "")
    done = benchmark(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "gpu.py: no GPU to be used: nvidia-smi names none that $CUDA_VISIBLE_DEVICES leaves\n"
    )


def test_the_benchmark_of_a_gpu_prints_a_table(tmp_path):
    (tmp_path / "backends/both").mkdir(parents=True)
    (tmp_path / "backends/both/backend.py").write_text(BOTH)
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": 10}]
    base = {
        "data": {"train_size": 200},
        "model": {"layers": layers},
        "training": {"epochs": 2, "batch_size": 20},
    }
    config = {"results": "results/a", "reports": "reports/a", "seeds": [0], "base": base}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config | {"experiments": {"tiny": {}}}))
    done = benchmark(tmp_path, "--config", "tiny.yaml", "--backends", "both", "--tier", "T3")
    assert done.returncode == 0, done.stderr
    *_, header, _, row = done.stdout.splitlines()
    found = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    assert (found["| backend"], found["epochs"]) == ("| both", "2")
    assert found["in step"].startswith("in step (T3; ")
    assert re.fullmatch(r"\d+\.\d\d", found["training, s"]), "of a fast machine 0.00"
    assert str(GPUS[0]) in done.stdout
    made = tmp_path / "results/gpu/cells/tiny/both/gpu/seed-0/provenance.json"
    assert json.loads(made.read_text())["machine"]["gpu"]["uuid"] == GPUS[0].uuid


@pytest.mark.parametrize("visible", [None, "1", ""])
def test_gpus_that_a_cpu_run_hid_are_there_for_a_gpu_run(visible, monkeypatch):
    for name in (process.VISIBLE, process.HIDDEN):
        monkeypatch.delenv(name, raising=False)
    if visible is not None:
        monkeypatch.setenv(process.VISIBLE, visible)
    process.hide_gpus()
    process.hide_gpus()
    assert os.environ[process.VISIBLE] == ""
    process.show_gpus()
    assert os.environ.get(process.VISIBLE) == visible
    assert process.HIDDEN not in os.environ
