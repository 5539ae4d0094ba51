"""The clock: its statistics, its rounds, and the command on NumPy.  No test asserts a time."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import jsonschema
import pytest
import yaml
from conftest import NO_CUPY
from filelock import FileLock

from lockstep import config as configs
from lockstep import switches
from lockstep.errors import LockstepError
from lockstep.speed import peers, summary
from lockstep.speed.child import Raw
from lockstep.speed.load import Disturbance, Load, between
from lockstep.speed.request import Request, of_config, timed
from lockstep.speed.rounds import TRIES, Run, Timed, interleaved
from lockstep.speed.timing import LOCK, alone, content

ROOT = Path(__file__).parents[1]
DEFAULT = configs.load(ROOT / "config/config.yaml")
QUIET = Disturbance(1.0, 0.5, 0.5, 0.0, 0.0)


def raw(step: float = 0.5, sgemm: float = 0.1, **facts: object) -> Raw:
    """What a process writes whose training calls took `step` seconds, but for one."""

    def benchmark(name: str, seconds: list[float], **info: object) -> dict[str, object]:
        return {"name": f"test_{name}", "stats": {"data": seconds}, "extra_info": info}

    return {
        "benchmarks": [
            benchmark("sgemm", [sgemm], flops=2e9),
            benchmark("import", [1.5]),
            benchmark("first_call", [8.0], steps=4),
            benchmark("train_step", [step, step, 9.0], steps=4, images=100),
            benchmark("epoch", [2 * step], images=100),
            benchmark("inference_1", [0.001 * n for n in range(1, 102)], percentiles=[50, 99]),
        ],
        "lockstep": {
            "flops_per_image": {"forward": 1e6, "training": 3e6},
            "memory": {"start_bytes": 10, "peak_bytes": 30, "device_bytes": None},
            "environment": {"made": "up"},
            **facts,
        },
    }


def run(name: str, number: int, step: float, *tries: Disturbance) -> Run:
    return Run(Timed(name), number, raw(step), list(tries or [QUIET]), 0)


def request(**changes: object) -> Request:
    settings = {"device": "cpu", "threads": 1, "batch_size": None, "rounds": 3, "peers": False}
    return Request(DEFAULT, ("numpy", "torch"), **(settings | changes))


def test_a_process_gives_the_median_of_its_calls():
    values = summary.values(raw())
    assert values["import"] == {"seconds": 1.5}
    assert values["first_call"] == {"seconds_per_step": 2.0}
    assert values["inference_1"] == {"p50_seconds": pytest.approx(0.051), "p99_seconds": pytest.approx(0.1)}
    assert values["memory"] == {"start_bytes": 10, "peak_bytes": 30}, "no device tells"
    step = values["train_step"]
    assert step["images_per_second"] == pytest.approx(200)
    assert step["seconds_per_step"] == pytest.approx(0.125)
    assert step["share_of_sgemm"] == pytest.approx(200 * 3e6 / 2e10)


def test_a_run_is_timed_to_each_goal_that_it_reaches():
    found = raw()
    epochs = [[3.0, 0.96], [6.1, 0.981], [9.0, 0.979]]
    learning = {"name": "test_accuracy", "stats": {"data": [9.1]}, "extra_info": {"learning": epochs}}
    found["benchmarks"].append(learning)
    assert summary.values(found)["accuracy"] == {
        "validation_accuracy": 0.981,
        **{"seconds_to_97": 6.1, "epochs_to_97": 2, "seconds_to_98": 6.1, "epochs_to_98": 2},
    }


def test_rounds_are_spread_by_quantiles_and_compared_within_a_round():
    steps = {"numpy": (1.0, 2.0, 4.0), "torch": (0.5, 1.0, 1.0)}
    rounds = {
        name: summary.by_round([run(name, n, step) for n, step in enumerate(times, 1)])
        for name, times in steps.items()
    }
    rates = summary.spread(rounds["numpy"]["train_step"]["images_per_second"])
    assert rates == {"median": 50, "q10": 30, "q90": 90, "n": 3, "values": [100, 50, 25]}
    ratio = summary.ratios(rounds["numpy"], rounds["torch"])["train_step"]["images_per_second"]
    back = summary.ratios(rounds["torch"], rounds["numpy"])["train_step"]["images_per_second"]
    assert ratio["ratio"] == pytest.approx((2 * 2 * 4) ** (1 / 3))
    assert back["ratio"] == pytest.approx(1 / ratio["ratio"])
    assert back["low"] == pytest.approx(1 / ratio["high"])
    half = 4.30265 * math.log(2) / 3  # t(0.975, 2) sd / sqrt(n) of log 2, log 2, log 4
    assert math.log(ratio["high"] / ratio["ratio"]) == pytest.approx(half, rel=1e-4)


def test_a_ratio_counts_only_rounds_that_both_have_and_one_round_has_no_interval():
    alone = summary.ratio({1: 2.0, 2: 3.0}, {2: 6.0, 3: 1.0})
    assert alone == {"ratio": pytest.approx(2), "low": None, "high": None, "n": 1}
    assert summary.ratio({1: 2.0}, {2: 6.0}) is None


def looks(*busy_and_steal: tuple[float, float]) -> Iterator[Load]:
    """A made-up clock: each timing takes ten seconds of wall and CPU time, beside what is given here."""
    at = busy = steal = 0.0
    for others, stolen in busy_and_steal:
        yield Load(at, 1.0, busy, steal, at)
        at, busy, steal = at + 10, busy + 10 + others, steal + stolen
        yield Load(at, 1.5, busy, steal, at)


def test_load_is_told_from_ours():
    before, after = looks((2.0, 3.0))
    found = between(before, after, cores=4)
    assert (found.seconds, found.load_before, found.load_after) == (10, 1.0, 1.5)
    assert found.others == pytest.approx(2 / 40)
    assert found.steal == pytest.approx(3 / 15)
    assert found.disturbed
    assert not between(*looks((0.0, 0.0)), cores=4).disturbed


def test_rounds_are_interleaved_and_a_disturbed_timing_is_repeated(monkeypatch):
    monkeypatch.setattr("psutil.cpu_count", lambda: 1)
    noisy, quiet = (5.0, 0.0), (0.0, 0.0)
    clock = looks(quiet, noisy, quiet, quiet, (9.0, 0.0), (5.0, 0.0), (7.0, 0.0))
    order: list[Timed] = []

    def measure(timed: Timed, number: int) -> Raw:
        order.append(timed)
        return raw(try_=len(order))

    a, b = Timed("a"), Timed("b")
    runs, failed = interleaved([a, b], 2, measure, lambda what: None, lambda: next(clock))
    assert not failed
    assert order == [a, b, b, a, *[b] * TRIES]
    assert [(each.timed, each.round) for each in runs] == [(a, 1), (b, 1), (a, 2), (b, 2)]
    assert [each.disturbance.disturbed for each in runs] == [False, False, False, True]
    assert runs[1].raw["lockstep"]["try_"] == 3, "the repeated one counts"
    assert (runs[3].kept, runs[3].raw["lockstep"]["try_"]) == (1, 6), "the least disturbed counts"


def test_what_fails_is_left_out_and_the_others_go_on():
    def measure(timed: Timed, number: int) -> Raw:
        if timed.backend == "a":
            raise LockstepError("out of order")
        return raw()

    clock = (Load(n, 1.0, 0.0, 0.0, 0.0) for n in count())
    everyone = [Timed("a"), Timed("b")]
    runs, failed = interleaved(everyone, 2, measure, lambda what: None, lambda: next(clock))
    assert [each.round for each in runs] == [1, 2]
    assert failed == {Timed("a"): "out of order"}


def test_a_second_timing_waits_for_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, said = FileLock(tmp_path / LOCK), threading.Event()

    def second() -> None:
        with alone(lambda line: said.set()):
            order.append("second")

    order: list[str] = []
    waiting = threading.Thread(target=second)
    with first:
        waiting.start()
        assert said.wait(timeout=60)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


SPREAD = {
    "type": "object",
    "required": ["median", "q10", "q90", "n", "values"],
    "additionalProperties": {"type": ["number", "array"]},
}
PHASES = {"type": "object", "additionalProperties": {"additionalProperties": SPREAD}}
SCHEMA = {
    "type": "object",
    "required": [
        *("hash", "made", "threads", "batch_size", "rounds", "machine", "switches", "first"),
        *("backends", "ratios", "peers", "load", "disturbed", "failed"),
    ],
    "properties": {
        "backends": {"type": "object", "additionalProperties": PHASES},
        "disturbed": {"items": {"type": "integer"}},
        "machine": {"required": ["cpu", "cores"]},
        "load": {"items": {"required": ["timed", "round", "kept", "tries"]}},
    },
}


def test_the_file_says_which_rounds_were_disturbed_and_what_failed():
    noisy = Disturbance(1.0, 2.0, 2.0, 0.5, 0.0)
    runs = [run("numpy", 1, 1.0), run("torch", 1, 0.5), run("numpy", 2, 1.0, noisy), run("torch", 2, 0.5)]
    runs.append(Run(Timed("torch", "pytorch"), 1, raw(1.0), [QUIET], 0))
    found = content(request(), runs, {Timed("jax"): "out of order"})
    jsonschema.validate(json.loads(json.dumps(found, allow_nan=False)), SCHEMA)
    assert found["disturbed"] == [2]
    assert found["failed"] == {"jax": "out of order"}
    assert found["ratios"]["torch"]["train_step"]["images_per_second"]["ratio"] == pytest.approx(2)
    assert found["peers"]["torch"]["peer"] == "pytorch"
    assert found["peers"]["torch"]["ratio"] == {"ratio": pytest.approx(2), "low": None, "high": None, "n": 1}


def test_the_machines_own_rate_is_measured_without_what_chooses_kernels(monkeypatch):
    for name in switches.KERNELS:
        monkeypatch.setenv(name, "another")
    monkeypatch.setenv("OPENBLAS_VERBOSE", "2")  # says which kernels it took, and that a name is unknown
    code = "from lockstep.speed import sgemm\nwith sgemm.product(1) as product: product(); product()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not switches.without_kernels().keys() & set(switches.KERNELS)
    assert "another" not in done.stdout + done.stderr


def test_the_hash_covers_what_times_depend_on():
    same, others = request().hash, [request(threads=2), request(batch_size=32), request(rounds=4)]
    assert same == request(batch_size=64).hash, "the experiment's own"
    assert len({same, *(other.hash for other in others), request(peers=True).hash}) == 5


def test_every_peer_has_a_script_and_refuses_another_network():
    for script in peers.SCRIPTS.values():
        assert (peers.folder() / f"{script}.py").is_file()
    with pytest.raises(LockstepError, match="batches of 64"):
        request(peers=True, batch_size=32)
    with pytest.raises(LockstepError, match="classroom's network"):
        peers.check(configs.load(ROOT / "config/smoke.yaml").experiments["baseline"], "cpu")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A config of a network that is trained in no time."""
    root = tmp_path_factory.mktemp("timed")
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": 10}]
    content = {
        "results": str(root / "results"),
        "reports": str(root / "reports"),
        "backends": ["numpy"],
        "seeds": [0],
        "base": {
            "data": {"train_size": 200},
            "model": {"layers": layers},
            "training": {"epochs": 1, "batch_size": 20},
        },
        "experiments": {"small": {}},
        "speed": {"rounds": 1},
    }
    (root / "config.yaml").write_text(yaml.safe_dump(content))
    return root / "config.yaml"


def command(config: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    full = [sys.executable, "-m", "lockstep", "time", "--config", config, *arguments]
    # A lock of its own: a timing that somebody runs meanwhile is not waited for.
    environment = os.environ | {"TMPDIR": str(config.parent)}
    return subprocess.run(list(map(str, full)), env=environment, capture_output=True, text=True, timeout=300)


def test_the_command_times_every_phase_by_pytest_benchmark(small, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")  # settings of other test runs do not reach it
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")  # chooses kernels: kept, and told
    file, kept = tmp_path / "figures.json", tmp_path / "kept"
    done = command(small, "numpy", "--rounds", 1, "--json", file, "--keep", kept)
    assert done.returncode == 0, done.stderr
    assert "whole epochs, images/s" in done.stdout
    found = json.loads(file.read_text())
    assert "OPENBLAS_CORETYPE=Prescott: the environment chooses the kernels of a library" in done.stdout
    assert found["switches"]["OPENBLAS_CORETYPE"] == "Prescott"
    assert found["environment"]["numpy"]["OPENBLAS_CORETYPE"] == "Prescott"
    jsonschema.validate(found, SCHEMA)
    phases = found["backends"]["numpy"]
    assert set(phases) == {
        *("sgemm", "import", "build", "first_call", "train_step", "epoch", "evaluation"),
        *("inference_1", "inference_1024", "memory", "accuracy"),
        *(f"batch_size[{size}]" for size in (1, 4, 16, 64)),  # and no more than the 200 images
    }
    spreads = [spread for quantities in phases.values() for spread in quantities.values()]
    assert all(spread["n"] == 1 and spread["median"] >= 0 for spread in spreads)
    assert (found["threads"], found["batch_size"], found["images"]) == (1, 20, 200)
    assert found["hash"] == of_config(configs.load(small), 1).hash, "the pipeline takes it for its own"
    (process,) = kept.iterdir()
    assert process.name == "numpy-round-1.json"
    assert len(json.loads(process.read_text())["benchmarks"]) == len(phases) - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nump"], "unknown backend 'nump'; known: numpy"),
        (["numpy", "--threads", "0"], "--threads 0: give 1 or more"),
        (["numpy", "--rounds", "0"], "--rounds 0: give 1 or more"),
        (["numpy", "--batch-size", "500"], "batches of 500: there are 200 training images"),
        pytest.param(["numpy", "--device", "gpu"], "none of numpy can run on gpu here", marks=NO_CUPY),
        (["numpy", "--peers"], "--peers: the scripts train the classroom's network"),
    ],
)
def test_a_mistake_is_one_line(small, arguments, message):
    done = command(small, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_backend_that_is_not_installed_is_said_and_one_that_fails_named(small, tmp_path, monkeypatch):
    for name, text in (("absent", "api = 1\n"), ("broken", "api = 1\nraise RuntimeError('out of order')\n")):
        folder = tmp_path / "backends" / name
        folder.mkdir(parents=True)
        (folder / "backend.py").write_text(text)
    (tmp_path / "backends/absent/requirements.txt").write_text("no-such-framework\n")
    monkeypatch.chdir(tmp_path)
    done = command(small, "absent", "broken", "--rounds", 1)
    assert done.returncode == 1
    assert "absent: not installed: no-such-framework; left out" in done.stdout
    assert done.stderr.startswith("lockstep: broken: ")
    assert "out of order" in done.stderr


def test_a_config_times_what_is_installed_in_its_own_order(small, tmp_path):
    assert of_config(replace(DEFAULT, speed=None), 1) is None
    text = small.read_text().replace("speed:", "speed:\n  threads: [1, 2]")
    (tmp_path / "config.yaml").write_text(text)
    found = of_config(configs.load(tmp_path / "config.yaml"), 2)
    assert (found.backends, found.threads, found.rounds) == (("numpy",), 2, 1)
    assert timed(configs.load(small), 2, None).training.threads == 2
    (tmp_path / "config.yaml").write_text(text.replace("threads: [1, 2]", "backends: [torch]"))
    with pytest.raises(LockstepError, match=r"speed\.backends: 'torch' is not one of this config's"):
        configs.load(tmp_path / "config.yaml")
