"""`lockstep compare`, from results written by hand, so that what it says of them can be worked out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_results import REASON, Fake, plain, project
from scipy import stats
from typer.testing import CliRunner, Result

from lockstep import bundle
from lockstep.cli import app
from lockstep.compare import page
from lockstep.compare.comparison import Comparison, Pair, compare
from lockstep.compare.contrast import contrast, welch
from lockstep.compare.differences import concerned
from lockstep.compare.limits import Limits, failures
from lockstep.compare.metrics import Row
from lockstep.compare.read import opened
from lockstep.config import Config
from lockstep.errors import LockstepError
from lockstep.results import write_json, write_text

CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [alpha, beta]
seeds: [0, 1, 2]
base:
  model:
    layers:
      - {{kind: flatten}}
      - {{kind: dense, units: 10}}
  training: {{epochs: 2}}
experiments:
  plain: {{}}
  other: {{training: {{batch_size: 32}}}}
attacks:
  images: 10
  names: [fgsm, pgd]
  eps: [0.1, 0.3]
  shown: 0.3
  steps: 2
  runs: [{{experiments: [plain], backends: [alpha]}}]
"""
T95, T90 = 4.302652729911275, 2.919985580353726
"""Student's t with two degrees of freedom."""
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    with project(tmp_path, CONFIG) as made:
        yield made


def results(config: Config, name: str, wrong: dict[tuple[str, str], Sequence[int]]) -> Fake:
    """A results folder of its own; of each run of (experiment, backend), how many of ten images are wrong."""
    fake = Fake(replace(config, results=config.results.with_name(name)))
    for (experiment, backend), counts in wrong.items():
        for seed, count in enumerate(counts):
            fake.write(fake.cell(experiment, backend, seed), wrong=count)
    return fake


def edit(fake: Fake, file: str, change: Edit, cells: str = "*/*/*/*") -> None:
    pattern = file if "attacks/" in file else f"cells/{cells}/{file}"
    paths = list(fake.config.results.glob(pattern))
    assert paths
    for path in paths:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))


def compared(*fakes: Fake, margin: float = 0.5) -> Comparison:
    with opened([fake.config.results for fake in fakes]) as sources:
        return compare(sources, margin, across_machines=False)


def pair_of(*fakes: Fake, margin: float = 0.5) -> Pair:
    (pair,) = compared(*fakes, margin=margin).pairs
    return pair


def row_of(pair: Pair, metric: str = "accuracy", experiment: str = "plain", backend: str = "alpha") -> Row:
    (row,) = (r for r in pair.metrics if (*r.group, r.metric) == (experiment, backend, "cpu", metric))
    return row


def told(pair: Pair) -> set[tuple[str, ...]]:
    return {
        (d.kind, d.what, d.first, d.second, concerned(d, pair.first, pair.second)) for d in pair.differences
    }


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_intervals_are_those_of_the_t_tests_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.9, 0.02, 5), rng.normal(0.91, 0.04, 7)
    ours = contrast(dict(enumerate(first)), dict(enumerate(second[:5])))
    theirs = stats.ttest_rel(second[:5], first).confidence_interval(0.95)
    assert ours.paired
    assert ours.interval() == pytest.approx((theirs.low, theirs.high))
    unpaired = contrast(dict(enumerate(first)), dict(enumerate(second, 4)))  # one shared seed is no pairing
    theirs = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert not unpaired.paired
    assert unpaired.n == (5, 7)
    assert unpaired.interval() == pytest.approx((theirs.low, theirs.high))
    assert unpaired == welch(list(first), list(second))


@pytest.mark.parametrize(
    ("values", "grain", "verdict"),
    [
        ([0.001, -0.001, 0.002], 0, "same"),  # 90 %: -0.0019 to 0.0032
        ([0.001, -0.001, 0.006], 0, "cannot tell"),
        (
            [0.001, 0.002, 0.003],
            0,
            "same",
        ),  # surely not 0, but surely within the margin too: 0.0003 to 0.0037
        ([0.004, 0.005, 0.006], 0, "different"),
        ([-0.3, -0.4, -0.3], 0, "different"),
        ([0.0, 0.0, 0.0], 0, "same"),  # to the last digit, of what is no count
        ([0.1, 0.1, 0.1], 0, "cannot tell"),  # no spread, so no interval
        ([0.0, 0.0, 0.0], 0.001, "same"),  # of 1,000 images: 90 % +- 0.0017
        ([0.0, 0.0, 0.0], 0.01, "cannot tell"),  # of 100 images
        ([-0.3, -0.3, -0.3], 0.001, "different"),
        ([-0.3], 0.001, "cannot tell"),
    ],
)
def test_verdicts(values: list[float], grain: float, verdict: str):
    found = contrast(dict.fromkeys(range(len(values)), 0.0), dict(enumerate(values)), grain)
    assert found.verdict(0.005) == verdict


@pytest.mark.parametrize("n", [3, 5, 8])
def test_few_seeds_are_wrong_no_more_often_than_they_may(n: int):
    """Accuracies of 1,000 images: 5 % of "same" at the margin, 5 % of "different" where nothing differs."""
    rng = np.random.default_rng(n)
    zero = dict.fromkeys(range(n), 0.0)
    accuracies = np.round(rng.normal(0, 0.001, (4000, n)), 3)
    nothing, margin = (
        [contrast(zero, dict(enumerate(row + shift)), 0.001).verdict(0.005) for row in accuracies]
        for shift in (0.0, 0.005)
    )
    assert nothing.count("different") < 0.06 * 4000
    assert margin.count("same") < 0.06 * 4000


def test_metrics_by_hand(config: Config):
    """0, 10 and 10 points: their spread of 5.8 points is less than one image of ten, which counts instead."""
    a = results(config, "a", {("plain", "alpha"): (1, 2, 3)})
    b = results(config, "b", {("plain", "alpha"): (1, 1, 2)})
    pair = pair_of(a, b)
    row = row_of(pair)
    assert (row.first, row.second, row.contrast.mean) == pytest.approx((0.8, 0.8 + 0.2 / 3, 0.2 / 3))
    half = T95 * 0.1 / np.sqrt(3)
    assert row.contrast.interval() == pytest.approx((0.2 / 3 - half, 0.2 / 3 + half))
    assert row.contrast.n == (3, 3)
    assert row.churn == pytest.approx(0.2 / 3)  # one image of ten in two of three pairs
    assert pair.verdict(row) == "cannot tell"
    losses = row_of(pair, "cross_entropy").contrast  # a wrong image costs 4 nats more
    assert losses.mean == pytest.approx(-4 * 0.2 / 3)
    half = T95 * 4 * np.std([0, 0.1, 0.1], ddof=1) / np.sqrt(3)
    assert losses.interval() == pytest.approx((losses.mean - half, losses.mean + half))


def test_margin_decides_what_is_the_same(config: Config):
    """90 %: 6.7 +- 16.9 points."""
    fakes = [
        results(config, name, {("plain", "alpha"): counts})
        for name, counts in zip("ab", ((1, 2, 3), (1, 1, 2)), strict=True)
    ]
    edge = 100 * (0.2 / 3 + T90 * 0.1 / np.sqrt(3))
    assert [pair_of(*fakes, margin=edge + by).counts["accuracy"] for by in (-0.01, 0.01)] == [
        {"cannot tell": 1}, {"same": 1},
    ]  # fmt: skip


def test_seeds_that_only_one_has_are_left_out_of_pairs(config: Config):
    first = results(config, "a", {("plain", "alpha"): (1, 2, 9)})
    pair = pair_of(first, results(config, "b", {("plain", "alpha"): (1, 3)}))
    row = row_of(pair)
    assert (row.first, row.second, row.contrast.mean) == pytest.approx((0.6, 0.8, -0.05))
    assert ("cells", "cell", "there", "not there", "1 cell: seed 2") in told(pair)


def test_unshared_seeds_are_compared_without_pairs(config: Config):
    first = results(config, "a", {("plain", "alpha"): (1, 3), ("plain", "beta"): (1,)})
    second = results(config, "b", {("plain", "alpha"): (1, 2, 2), ("plain", "beta"): (1,)})
    for seed in range(3):
        folder = second.config.folder(second.cell("plain", "alpha", seed))
        folder.rename(folder.with_name(f"seed-{seed + 10}"))
    pair = pair_of(first, second)
    row = row_of(pair)
    assert (row.contrast.paired, row.contrast.n, row.churn) == (False, (2, 3), None)
    assert row.contrast.mean == pytest.approx(0.1 / 3)
    assert (row.first, row.second) == pytest.approx((0.8, 0.8 + 0.1 / 3))
    assert ("cells", "cell", "there", "not there", "2 cells: alpha, seeds 0 and 1") in told(pair)


def test_identical_runs(config: Config, tmp_path: Path):
    a, b = (results(config, name, {("plain", "alpha"): (1, 2), ("other", "beta"): (3,)}) for name in "ab")
    edit(
        b, "provenance.json", lambda content: content["times"].update(import_s=99.0)
    )  # times are no difference
    pair = pair_of(a, b)
    assert pair.differences == []
    assert {pair.verdict(row) for row in pair.metrics} == {"same"}
    assert all(row.contrast.identical and row.contrast.mean == 0 for row in pair.metrics)
    ended = command(
        a.config.results,
        b.config.results,
        "--max-drop",
        0,
        "--fail-on",
        "different",
        "--html",
        tmp_path / "x.html",
    )
    assert ended.exit_code == 0
    assert "has the same environment, data, code, settings and cells" in ended.stdout
    assert "0.00, 2 pairs: same, to the last digit" in ended.stdout
    assert "Nothing: environment, data" in plain(tmp_path / "x.html")


def test_newer_code_that_measures_more_may_be_identical_in_what_both_measured(config: Config):
    a, b = (results(config, name, {("plain", "alpha"): (1, 2)}) for name in "ab")
    more = {"split": "test", "metric": "accuracy", "condition": "upside_down", "value": 0.3, "n": 10}
    edit(b, "metrics.json", lambda content: content["measurements"].append(more))
    assert row_of(pair_of(a, b)).contrast.identical
    edit(b, "metrics.json", lambda content: content["measurements"][0].update(value=0.123))
    assert not row_of(pair_of(a, b)).contrast.identical


def test_what_differs(config: Config):
    runs = {("plain", "alpha"): (1, 2, 3), ("plain", "beta"): (1, 2, 3), ("other", "beta"): (2, 2, 2)}
    a, b = results(config, "a", runs), results(config, "b", runs)

    def everywhere(content: dict[str, Any]) -> None:
        content["machine"] |= {"cpu": "another <cpu>", "lockstep": "1"}
        content["identity"]["harness"] = "h2"

    edit(b, "provenance.json", everywhere)
    edit(b, "provenance.json", lambda c: c["environment"].update(blas="other"), "*/beta/*/*")
    edit(b, "provenance.json", lambda c: c["identity"].update(data="e" * 64), "plain/beta/*/seed-1")
    edit(
        b,
        "provenance.json",
        lambda c: c["identity"]["experiment"]["training"].update(batch_size=1),
        "other/*/*/*",
    )
    edit(
        b,
        "provenance.json",
        lambda c: c["identity"]["experiment"]["spec"]["layers"][1].update(units=3),
        "other/*/*/*",
    )
    edit(b, "provenance.json", lambda c: c["identity"]["versions"].update(new="1"), "*/*/*/seed-[01]")
    pair = pair_of(a, b)
    assert told(pair) == {
        ("environment", "machine: cpu", "a cpu", "another <cpu>", "all 9 cells"),
        ("environment", "blas", "some", "other", "6 cells: beta"),
        ("environment", "new", "not there", "1", "6 cells: seeds 0 and 1"),
        ("data", "sha256", "d" * 16, "e" * 16, "1 cell: plain on beta, seed 1"),
        ("code", "lockstep", "0", "1", "all 9 cells"),
        ("code", "harness, hash", "h", "h2", "all 9 cells"),
        ("settings", "training.batch_size", "32", "1", "3 cells: other on beta"),
        ("settings", "spec.layers[1].units", "10", "3", "3 cells: other on beta"),
    }
    assert [row.other_settings for row in pair.metrics if row.metric == "accuracy"] == [True, False, False]
    ended = command(a.config.results, b.config.results)
    assert ended.exit_code == 0
    said = " ".join(ended.stdout.split())
    assert "B differs from A in environment, data, code and settings." in said
    assert "warning: B − A: other on beta: the same name, but other settings" in said
    assert "warning: B − A: the data are not the same" in said


def broken(config: Config) -> tuple[Fake, Fake]:
    """B has a run less, and three that ended otherwise."""
    runs = {("plain", "alpha"): (1, 2, 3), ("plain", "beta"): (1, 2, 3)}
    a, b = results(config, "a", runs), results(config, "b", runs)
    folder = b.config.results / "cells/plain"
    b.write(b.cell("plain", "alpha", 0), wrong=1, outcome="diverged")
    (folder / "alpha/cpu/seed-1/metrics.json").write_text('{"schema": 1, "outco')
    shutil.rmtree(folder / "beta/cpu/seed-0")
    b.fail(b.cell("plain", "beta", 1))
    (folder / "beta/cpu/seed-1/metrics.json").unlink()
    edit(b, "metrics.json", lambda c: c["measurements"][1].update(value=float("nan")), "plain/beta/*/seed-2")
    return a, b


def test_cells_that_are_missing_diverged_failed_or_damaged_are_rows(config: Config):
    a, b = broken(config)
    pair = pair_of(a, b)
    diverged = "diverged: the loss became NaN or infinite at step 3, in epoch 1"
    assert told(pair) == {
        ("cells", "cell", "there", "not there", "1 cell: beta, seed 0"),
        ("cells", "outcome", "completed", diverged, "1 cell: alpha, seed 0"),
        ("cells", "outcome", "completed", "damaged: metrics.json is not JSON", "1 cell: alpha, seed 1"),
        ("cells", "outcome", "completed", f"failed: {REASON}", "1 cell: beta, seed 1"),
        (
            "cells",
            "outcome",
            "completed",
            "damaged: test cross_entropy is not a number",
            "1 cell: beta, seed 2",
        ),
    }
    assert {row.group.backend for row in pair.metrics} == {"alpha"}  # beta completed nothing
    row = row_of(pair)
    assert row.contrast.n == (1, 1)
    assert pair.verdict(row) == "same"
    assert row.contrast.identical


def test_runs_that_no_longer_complete_fail_a_limit(config: Config):
    pair = compared(*broken(config))
    lines = failures(pair, Limits(max_drop=0))
    assert len(lines) == 4
    assert "plain/beta/cpu/seed-1: failed: MemoryError" in lines[2]
    (line,) = failures(pair, Limits(fail_on=["cells"]))
    assert line == "--fail-on cells: B − A: 5 differences in cells"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--max-drop", 30], None),
        (["--max-drop", 29.9], "--max-drop 29.9: B − A: plain on alpha, cpu: test accuracy −30.00 points"),
        (["--max-drop", 1], "(−54.84 to −5.16)"),
        (["--fail-on", "different"], "--fail-on different: B − A: 1 metric: different"),
        (["--fail-on", "cannot-tell"], "--fail-on cannot-tell: B − A: 2 metrics: cannot tell"),
        (["--fail-on", "cells", "--fail-on", "data"], None),
        (["--max-slowdown", 2], "--max-slowdown 2: B − A: not compared: any backend (not both have times)"),
    ],
)
def test_limits_and_exit_codes(config: Config, options: list[object], line: str | None):
    """30 points lower for every seed, and by 1.2 nats: these have no spread and so no interval."""
    a = results(config, "a", {("plain", "alpha"): (0, 1, 2)})
    b = results(config, "b", {("plain", "alpha"): (3, 4, 5)})
    ended = command(a.config.results, b.config.results, *options)
    assert ended.exit_code == (1 if line else 0)
    said = " ".join(ended.stdout.split())
    assert said.count("failed: ") == (1 if line else 0)
    assert (line or "") in said


def test_a_drop_that_may_be_chance_fails_too_and_says_so(config: Config):
    a = results(config, "a", {("plain", "alpha"): (1, 2, 2)})
    b = results(config, "b", {("plain", "alpha"): (1, 2, 4)})
    (line,) = failures(compared(a, b), Limits(max_drop=5))
    assert line.endswith("it may be chance")
    assert failures(compared(b, a), Limits(max_drop=5)) == []  # the other way round it is a gain


def test_three_results(config: Config, tmp_path: Path):
    a, b, c = (
        results(config, name, {("plain", "alpha"): counts})
        for name, counts in (("a", (1, 2)), ("b", (6, 7)), ("c", (1, 2)))
    )
    results(config, "c", {("other", "alpha"): (1, 2)})
    json_file = tmp_path / "out" / "found.json"
    ended = command(*(fake.config.results for fake in (a, b, c)), "--json", json_file, "--max-drop", 1)
    assert ended.exit_code == 1
    assert "B − A (95 % interval)" in ended.stdout
    assert "C − A (95 % interval)" in ended.stdout
    found = json.loads(json_file.read_text())
    assert found["schema"] == 1
    assert [each["completed"] for each in found["results"]] == [2, 2, 4]
    assert [(each["first"], each["second"]) for each in found["comparisons"]] == [("A", "B"), ("A", "C")]
    first, second = (
        next(row for row in each["metrics"] if row["metric"] == "accuracy") for each in found["comparisons"]
    )
    assert (first["difference"], second["difference"]) == pytest.approx((-0.5, 0))
    assert (first["verdict"], second["identical"]) == (
        "cannot tell",
        True,
    )  # two pairs are no match for t = 12.7
    assert len(found["failed"]) == 1
    (extra,) = found["comparisons"][1]["differences"]
    assert extra["cells"] == ["other/alpha/cpu/seed-0", "other/alpha/cpu/seed-1"]


def test_attacks_are_compared_where_both_have_them(config: Config):
    a, b = (
        results(config, name, {("plain", "alpha"): (1, 2, 3), ("plain", "beta"): (1, 1, 1)}) for name in "ab"
    )
    for fake, accuracies in ((a, (0.5, 0.6, 0.7)), (b, (0.1, 0.2, 0.3))):
        for seed, accuracy in enumerate(accuracies):
            fake.attack(fake.cell("plain", "alpha", seed), {"fgsm=0.1": accuracy})
    pair = pair_of(a, b)
    assert pair.differences == []
    conditions = {row.metric for row in pair.metrics if row.attack}
    known = {f"{name}={eps}" for name in ("fgsm", "pgd", "worst") for eps in (0.1, 0.3)}
    assert conditions == known | {f"{name}=0.3" for name in ("apgd", "apgd_targeted", "autoattack_fast")}
    row = row_of(pair, "fgsm=0.1")
    assert row.contrast.mean == pytest.approx(-0.4)
    assert (pair.verdict(row), row.contrast.identical) == ("different", False)
    assert pair.verdict(row_of(pair)) == "same"  # not attacked, it is the same run
    edit(b, "attacks/*/*/*/seed-0/attacks.json", lambda c: c["settings"].update(steps=9))
    pair = pair_of(a, b)
    assert told(pair) == {("attacks", "steps", "2", "9", "1 cell: alpha, seed 0")}
    assert (row_of(pair, "fgsm=0.1").other_settings, row_of(pair).other_settings) == (True, False)
    edit(b, "attacks/*/*/*/seed-0/attacks.json", lambda c: c.update(cell_hash="of another run"))
    pair = pair_of(a, b)
    assert told(pair) == {("cells", "attacked", "yes", "yes, but an earlier run", "1 cell: alpha, seed 0")}
    assert row_of(pair, "fgsm=0.1").contrast.n == (2, 2)
    b.config.attack_folder(b.cell("plain", "alpha", 0)).joinpath("attacks.json").write_text("{")
    pair = pair_of(a, b)
    damaged = "damaged: attacks.json is not JSON"
    assert told(pair) == {("cells", "attacked", "yes", damaged, "1 cell: alpha, seed 0")}
    assert row_of(pair).contrast.n == (3, 3)  # its own metrics are there


def timed(config: Config, name: str, rates: Sequence[float], cpu: str = "a cpu", **more: object) -> Path:
    """What `lockstep time` leaves, as far as it is compared: images a second in whole epochs."""
    epoch = {"images_per_second": {"median": 1.0, "q10": 1.0, "q90": 1.0, "n": len(rates), "values": rates}}
    content = {
        "hash": "h",
        "experiment": "plain",
        "device": "cpu",
        "threads": 1,
        "batch_size": 64,
        "rounds": len(rates),
        "images": 500,
        "flops_per_image": {"forward": 10, "training": 30},
        "machine": {"cpu": cpu, "cores": 2, "system": "Linux", "python": "3.11", "lockstep": "0"},
        "environment": {"alpha": {"blas": "some"}},
        "disturbed": [],
        "backends": {"alpha": {"epoch": epoch}},
    }
    folder = config.results.with_name(name)
    write_json(folder / "speed/threads-1.json", content | more)
    return folder


def test_times_are_ratios(config: Config):
    """Half the speed: a Welch interval of logarithms, as by SciPy."""
    first, second = (1000, 1100, 900), (500, 560, 450)
    a, b = timed(config, "a", first), timed(config, "b", second, disturbed=[1, 3])
    with opened([a, b]) as sources:
        found = compare(sources, 0.5, across_machines=False)
    (row,) = found.pairs[0].times
    assert found.pairs[0].remarks == ["B, threads-1: 2 of 3 rounds disturbed by other programs"]
    theirs = stats.ttest_ind(np.log(second), np.log(first), equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert (row.ratio["low"], row.ratio["high"]) == pytest.approx(
        (np.exp(interval.low), np.exp(interval.high))
    )
    assert row.ratio["ratio"] == pytest.approx((500 * 560 * 450 / 1000 / 1100 / 900) ** (1 / 3))
    assert failures(found, Limits(max_slowdown=2.1)) == []
    (line,) = failures(found, Limits(max_slowdown=1.9))
    assert line.startswith("--max-slowdown 1.9: B − A: alpha, threads-1: whole epochs at 0.503 (")
    assert line.endswith("it may be chance")  # half the speed at best is not shown by three rounds
    assert not failures(found, Limits(max_slowdown=1.5))[0].endswith("chance")


def test_a_limit_that_was_not_checked_for_every_time_is_not_kept(config: Config):
    a, b = (timed(config, name, (1000, 1100, 900)) for name in "ab")
    for folder, content in ((a, (a / "speed/threads-1.json").read_text()), (b, "damaged")):
        write_text(folder / "speed/threads-2.json", content)
    with opened([a, b]) as sources:
        lines = failures(compare(sources, 0.5, across_machines=False), Limits(max_slowdown=2))
    assert lines[0].startswith("--max-slowdown 2: B − A: not compared: alpha in threads-2")
    assert "damaged times" in lines[1]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"cpu": "another"}, "timed on a cpu, 2 cores and on another, 2 cores; --across-machines"),
        ({"batch_size": 32}, "batch size 64 and 32"),
        ({"flops_per_image": {"forward": 11, "training": 33}}, "not the same network"),
        ({"backends": {"alpha": {"epoch": {"images_per_second": {"values": [0.0]}}}}}, "damaged times"),
    ],
)
def test_times_that_cannot_be_compared_are_named(config: Config, more: dict[str, Any], reason: str):
    a, b = (results(config, name, {("plain", "alpha"): (1,)}).config.results for name in "ab")
    timed(config, "a", (1000, 1100))
    timed(config, "b", (1000, 1100), **more)
    ended = command(a, b, "--max-slowdown", 9)
    assert ended.exit_code == 1
    assert reason in " ".join(ended.stdout.split())
    across = command(a, b, "--max-slowdown", 9, "--across-machines")
    assert across.exit_code == (0 if "cpu" in more else 1)


def test_a_config_stands_for_its_results(config: Config):
    fake = results(config, "results", {("plain", "alpha"): (1, 2)})
    ended = command(config.path, fake.config.results)
    assert ended.exit_code == 0
    assert "2 of 2 cells completed" in ended.stdout


def test_a_bundle_stands_for_its_results(config: Config, tmp_path: Path):
    a, b = (results(config, name, {("plain", "alpha"): (1, 2)}) for name in ("results", "b"))
    bundle.write(a.config, tmp_path / "a.zip")
    ended = command(tmp_path / "a.zip", b.config.results)
    assert ended.exit_code == 0
    assert "same, to the last digit" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "give 2 to 26 results, not 1"),
        (["a", "nowhere"], "nowhere: No such file"),
        (["a", "backends"], "backends: no results in backends"),
        (["a", "plain.yaml"], "plain.yaml: no `results:` folder in it"),
        (["a", "b"], "have no cell in common"),
        *(
            (["a", "a", f"{option}={value}"], f"{option} {value}: give")
            for option, values in {
                "--margin": "0 -1 nan inf 101",
                "--max-drop": "-1 nan inf 101",
                "--max-slowdown": "0 -1 nan inf",
            }.items()
            for value in values.split()
        ),
        (["a", "a", "--fail-on", "everything"], "--fail-on everything: unknown; give one of different"),
    ],
)
def test_mistakes_are_one_line(config: Config, arguments: list[str], message: str):
    results(config, "a", {("plain", "alpha"): (1,)})
    results(config, "b", {("plain", "beta"): (1,)})
    Path("plain.yaml").write_text("seeds: [0]\n")
    error = command(*arguments).exception
    assert isinstance(error, LockstepError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_the_page(config: Config, tmp_path: Path):
    """Self-contained, whatever is in the results; every metric is on it."""
    a, b = broken(config)
    edit(b, "provenance.json", lambda content: content["machine"].update(cpu="<b>&"), "plain/alpha/*/seed-2")
    c = results(config, "c", {("plain", "alpha"): (6, 7, 7), ("other", "beta"): (1,)})
    file = tmp_path / "pages" / "compared.html"
    page.write(compared(a, b, c), file)
    text, said = file.read_text(), plain(file)
    assert not re.search(r"<(script |img|iframe|link(?! rel=\"icon\"))|url\(h|https?://(?!www.w3.org)", text)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {*re.findall(r'href="#([^"]+)"', text)} <= {*ids}
    assert "<b>&" not in text
    for expected in (
        "B differs from A in environment and cells.",
        "completed damaged: metrics.json is not JSON 1 cell",
        "C − A 95 % interval seeds verdict churn, %",
        "plain alpha 80.00",
        "different: lower",
        "test calibration error, %",
    ):
        assert expected in said, expected
    assert 'aria-label="Forest plot' in text


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_the_page_opens_in_a_browser(config: Config, tmp_path: Path):
    page.write(compared(*broken(config)), tmp_path / "page.html")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = ["chromium", *flags, "--enable-logging=stderr", "--dump-dom", (tmp_path / "page.html").as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    headings = re.findall(r"<h[12][^>]*>([^<]+)</h", seen.stdout)
    assert headings == ["Comparison", "What differs", "Metrics", "How to read this"]
    assert "CONSOLE" not in seen.stderr


def test_no_plugin_no_framework_and_no_pandas_is_imported(config: Config):
    """Results may come from a machine with other backends."""
    a = results(config, "a", {("plain", "alpha"): (1, 2)})
    code = (
        "import sys; from lockstep.cli import app; app(['compare', 'a', 'a'], standalone_mode=False);"
        "heavy = ('torch', 'jax', 'tensorflow', 'pandas', 'matplotlib');"
        "print([name for name in heavy if name in sys.modules])"
    )
    shutil.rmtree(a.config.results.with_name("backends"))
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, cwd=a.config.results.parent, capture_output=True, text=True, check=True)
    assert child.stdout.endswith("[]\n")
