"""The page of times: what it says of files that `lockstep time` would have written of made-up processes."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_results import plain, project, table

from lockstep.config import Config
from lockstep.report import build, runs
from lockstep.report.speed import (
    accuracy,
    batch_sizes,
    dots,
    files,
    lead,
    peers,
    scaling,
    setting,
    share,
    values,
)
from lockstep.report.speed.timings import Timing, Timings
from lockstep.results import write_json
from lockstep.speed import rows, summary
from lockstep.speed.child import Raw
from lockstep.speed.load import Disturbance
from lockstep.speed.request import Request, of_config
from lockstep.speed.rounds import Run, Timed
from lockstep.speed.timing import content

CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [alpha, beta, ghost]
seeds: [0]
base:
  data: {{train_size: 500}}
  model:
    layers:
      - {{kind: flatten}}
      - {{kind: dense, units: 10}}
  training: {{epochs: 1, batch_size: 20}}
experiments:
  plain: {{}}
speed: {{threads: [1, 2], rounds: 3}}
"""
SIZES = (1, 4, 16, 64, 256)
QUIET = Disturbance(9.0, 0.5, 1.0, 0.0, 0.01)
NOISY = Disturbance(9.0, 0.5, 2.0, 0.031, 0.4)
CPU = "Made <up> & Sons CPU"
MACHINE = {"cpu": CPU, "cores": 2, "system": "Linux 6", "machine": "x", "python": "3.11", "lockstep": "1"}
Rates = Mapping[str, Sequence[float]]
"""{backend: images a second in whole epochs, round by round}."""
CLEAR = {"alpha": (1000, 1100, 900), "beta": (1400, 1500, 1300)}
CLOSE = {"alpha": (1000, 1100, 900), "beta": (1010, 1080, 930)}


def raw(rate: float, batch_sizes: bool = True) -> Raw:
    """What a process writes that trains so many images a second in whole epochs, and half as many more in
    steps."""

    def benchmark(name: str, seconds: float, **info: object) -> dict[str, object]:
        return {"name": f"test_{name}", "stats": {"data": [seconds]}, "extra_info": info}

    step = 1.5 * rate
    return {
        "benchmarks": [
            benchmark("sgemm", 0.1, flops=2e9),
            benchmark("import", 1.5),
            benchmark("build", 0.02),
            benchmark("first_call", 8.0, steps=16),
            benchmark("train_step", 320 / step, steps=16, images=320, cores=0.97),
            benchmark("epoch", 1500 / rate, images=1500, cores=1.2),
            benchmark("evaluation", 1000 / (3 * rate), images=1000),
            benchmark("inference_1", 1.5e-3, percentiles=[50]),
            benchmark("inference_1024", 1024 / (4 * rate), images=1024),
            *(
                benchmark(f"batch_size[{size}]", 16 * (0.001 + size / step), steps=16, images=16 * size)
                for size in SIZES
                if batch_sizes
            ),
        ],
        "lockstep": {
            "flops_per_image": {"forward": 1e6, "training": 3e6},
            "memory": {"start_bytes": 10e6, "peak_bytes": 30e6, "device_bytes": None},
            "environment": {"made": "up"},
        },
    }


def request(config: Config, threads: int, rounds: int = 3) -> Request:
    made = of_config(config, threads)
    assert made
    return replace(made, rounds=rounds)


def timed(
    config: Config,
    threads: int,
    rates: Rates,
    scripts: Rates | None = None,
    noisy: Sequence[tuple[str, int]] = (),
    failed: Mapping[str, str] = {},
    newer: bool = True,
) -> dict[str, Any]:
    """What `lockstep time` writes.  noisy: (backend, round); newer: with batch sizes and accuracies."""
    made = [
        Run(Timed(name, script), number, raw(rate, newer), tries, 0)
        for script, everyone in ((None, rates), ("pytorch", scripts or {}))
        for name, each in everyone.items()
        for number, rate in enumerate(each, 1)
        for tries in [[NOISY] * 3 if (name, number) in noisy else [QUIET]]
    ]
    gone = {Timed(name): reason for name, reason in (failed or {}).items()}
    found = content(request(config, threads, max(map(len, rates.values()))), made, gone)
    found |= {"schema": 1, "machine": MACHINE}
    for place, (name, phases) in enumerate(found["backends"].items() if newer else ()):
        reached = {"seconds_to_97": 2.5, "epochs_to_97": 1, "validation_accuracy": 0.9812}
        reached |= {"seconds_to_98": 12.27, "epochs_to_98": 2} if place else {}
        phases["accuracy"] = {quantity: summary.spread({1: value}) for quantity, value in reached.items()}
        if place:
            ratio = summary.ratio({1: 2.5}, {1: 2.5})
            found["ratios"][name]["accuracy"] = {"seconds_to_97": ratio}
    return json.loads(json.dumps(found, allow_nan=False))


def timings(config: Config, *contents: dict[str, Any]) -> Timings:
    every = [Timing(each["threads"], Path("file"), each) for each in contents]
    return Timings(runs.read(config), every)


def said(config: Config, *contents: dict[str, Any]) -> tuple[str, str]:
    answer, details = lead.answer(timings(config, *contents))
    return answer, " ".join(details)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """With two threads a round was disturbed and beta failed in the last one; ghost is not installed."""
    with project(tmp_path_factory.mktemp("speed"), CONFIG) as config:
        scripts = {"beta": (1000, 1050, 1010)}
        write_json(config.speed_file(1), timed(config, 1, CLEAR, scripts))
        half = {"alpha": (1900, 2000, 1800), "beta": (2100, 2300)}
        content = timed(config, 2, half, noisy=[("beta", 2)], failed={"beta": "out of <order>"})
        write_json(config.speed_file(2), content)
        yield config


@pytest.fixture(scope="module")
def index(config: Config) -> Path:
    return build(runs.read(config))


@pytest.fixture(scope="module")
def page(index: Path) -> str:
    return plain(index.with_name("speed.html"))


def test_the_fastest_is_named_only_where_intervals_say_so(config: Config):
    clear, _ = said(config, timed(config, 1, CLEAR))
    ratio = summary.ratio(*(dict(enumerate(rates)) for rates in CLEAR.values()))
    assert clear == (
        f"With 1 thread beta trains fastest: {rows.ratio(ratio)} times as many images a second as alpha."
    )
    close, _ = said(config, timed(config, 2, CLOSE))
    assert close.startswith(
        "With 2 threads it cannot be told which of beta and alpha trains fastest: beta / alpha is 1.01 (0."
    )
    back, _ = said(config, timed(config, 1, {name: CLEAR[name] for name in ("beta", "alpha")}))
    assert "beta trains fastest" in back
    assert "times as many images a second as alpha" in back, "where the first is the fastest: the next"
    three = CLOSE | {"gamma": (500, 510, 505)}
    first = {name: three[name] for name in ("gamma", "alpha", "beta")}
    answer, _ = said(config, timed(config, 1, first))
    assert "which of beta and alpha" in answer
    assert re.search(
        r"; beta trains 1\.9\d \(1\.\S+ to 2\.\d+\) times as many images a second as gamma", answer
    )


def test_one_round_and_equal_rounds_have_no_interval_and_claim_nothing(config: Config):
    once, _ = said(config, timed(config, 1, {"alpha": [1000], "beta": [2000]}))
    assert once == (
        "With 1 thread beta had the highest rate, 2.00 (one round: no interval) times as many images a "
        "second as alpha."
    )
    equal, _ = said(config, timed(config, 1, {"alpha": (100, 110), "beta": (200, 220)}))
    assert "it cannot be told which of beta and alpha" in equal
    assert "2.00 (all rounds equal: no interval)" in equal
    alone, _ = said(config, timed(config, 1, {"alpha": (1000, 1100)}))
    assert alone == "With 1 thread only alpha was timed: 1,050 images a second."


def test_peers_disturbed_rounds_and_the_machine_are_told(config: Config):
    scripts = {"alpha": (1010, 1000, 1000), "beta": (1000, 1000, 950)}
    made = timed(config, 1, CLEAR, scripts, noisy=[("alpha", 2), ("beta", 3)])
    (beside,) = lead.peers(timings(config, made))
    assert re.search(r"with 1 thread: alpha \S+ \(0\.\d+ to 1\.\d+\), cannot be told; beta 1", beside)
    assert re.search(r"; beta 1\.4\d \(1\.\d+ to \S+\), faster\.", beside)
    _, details = said(config, made)
    assert "2 of 3 rounds with 1 thread were disturbed." in details
    assert "Whole epochs, on Made <up> & Sons CPU, 2 cores" in details
    assert "No time here is a property of a framework." in details


def test_what_chose_kernels_is_named(config: Config):
    made = timed(config, 1, CLEAR) | {"switches": {"OPENBLAS_CORETYPE": "Haswell", "MKL_CBWR": "AVX2"}}
    both = "OPENBLAS_CORETYPE=Haswell, MKL_CBWR=AVX2"
    assert f"the kernels of some libraries, which changes their speed: {both}." in said(config, made)[1]
    found = setting.grid(timings(config, made))
    assert ("switches of the environment", both) in found.groups[0].rows
    assert "the kernels of this processor" in share.figure(timings(config, made)).caption
    assert "switches" not in said(config, made | {"switches": {}})[1]


def test_the_page_says_what_disturbed_and_what_is_absent(page: str):
    assert "⚠ Disturbed." in page
    assert "2 threads, round 2, beta: steal 3.1 %, other processes 40.0 % (tries: 3)." in page
    assert "(steal above 2 %, other processes above 5 %)" in page
    assert html.escape("2 threads: beta was left out: out of <order>.") in page
    assert "1 thread: ghost was not timed: not installed: no-such-distribution." in page
    assert "load average 0.5 before and 1.0 after a process, steal 0.0 %, other processes 1.0 %; 0 of" in page
    assert html.escape(f"{CPU}, 2 cores") in page


def test_the_tables_hold_every_number_of_the_files(index: Path, config: Config):
    frame, written = table(index, "speed"), json.loads(config.speed_file(1).read_text())
    mine = frame[frame.threads == 1].set_index(["phase", "quantity", "backend"])
    assert len(mine) == sum(len(each) for phases in written["backends"].values() for each in phases.values())
    row = mine.loc["epoch", "images_per_second", "beta"]
    spread, ratio = (written[key]["beta"]["epoch"]["images_per_second"] for key in ("backends", "ratios"))
    for name in ("median", "q10", "q90", "n"):
        assert row[name] == spread[name]
    for name in ("ratio", "low", "high"):
        assert row[name] == ratio[name]
    assert np.isnan(mine.ratio["epoch", "images_per_second", "alpha"]), "the first is compared with nothing"
    assert np.isnan(mine.low["accuracy", "seconds_to_97", "beta"])
    beside = table(index, "speed_peers").set_index(["threads", "quantity"]).loc[1, "images_per_second"]
    assert (beside.backend, beside.peer, beside["median"]) == ("beta", "pytorch", 1010)
    assert beside.ratio == written["peers"]["beta"]["ratio"]["ratio"]


def test_tables_of_the_page(config: Config):
    found = timings(config, timed(config, 1, CLEAR), timed(config, 2, {"alpha": (1900, 2000, 1800)}))
    one, two = found.usable
    shown = {row[0]: row for row in values.ratios(found, one).groups[0].rows}
    assert shown["whole epochs"][1].startswith("<strong>1.4")
    assert shown["import"][1] == "1.00 (no interval)"
    assert values.ratios(found, two) is None
    whole = {row[0]: row for row in values.values(found, one).groups[0].rows}
    assert whole["whole epochs, images/s"][1:] == ("1,000 (920 to 1,080)", "1,400 (1,320 to 1,480)", "3")
    assert whole["inference, 1 image: p50, ms"][1] == "1.50 (1.50 to 1.50)"
    steps, epochs = scaling.grid(found).groups
    assert epochs.rows[0][1:4] == ("1,000", "1,900", "1.90")
    assert epochs.rows[1][1:] == ("1,400", "–", "–", "1.20", "–"), "beta has no second file"
    assert steps.rows[0][4] == "0.970"
    (group,) = accuracy.grid(timings(config, timed(config, 1, CLEAR))).groups
    assert group.rows[0][1:] == ("2.50 s (1 epoch)", "not reached", "not reached", "98.12")
    assert group.rows[1][2] == "12.3 s (2 epochs)"


def test_threads_are_not_compared_across_machines(config: Config):
    other = timed(config, 2, CLEAR) | {"machine": MACHINE | {"cpu": "Another"}}
    found = timings(config, timed(config, 1, CLEAR), other)
    assert scaling.grid(found) is None
    assert found.machine == f"1 thread: {CPU}, 2 cores; 2 threads: Another, 2 cores"


def test_batch_sizes_and_older_files(config: Config, tmp_path: Path):
    made = timings(config, timed(config, 1, CLEAR))
    points = batch_sizes.curve(made.usable[0], "alpha")
    assert list(points) == list(SIZES)
    assert points[4]["median"] == pytest.approx(4 / (0.001 + 4 / 1500))
    older = replace(config, results=tmp_path / "results", reports=tmp_path / "reports")
    for threads in (1, 2):
        write_json(older.speed_file(threads), timed(config, threads, CLEAR, newer=False))
    text = plain(build(runs.read(older)).with_name("speed.html"))
    for section in ("Batch size", "Time to an accuracy", "Beside plain scripts"):
        assert section not in text
    assert "beta trains fastest" in text
    assert "Disturbed. While" not in text


def test_times_of_a_gpu_stand_beside_those_of_the_cpu(config: Config, tmp_path: Path):
    both = replace(config, devices=("cpu", "gpu"), results=tmp_path / "results", reports=tmp_path / "reports")
    write_json(both.speed_file(1), timed(config, 1, CLEAR))
    on_gpu = timed(config, 1, {"alpha": (9000, 9100, 9050), "beta": (4000, 4100, 4050)})
    on_gpu |= {"device": "gpu", "machine": MACHINE | {"gpu": {"index": "0", "name": "Some GPU"}}}
    write_json(both.speed_file(1, "gpu"), on_gpu)
    assert both.speed_file(1, "gpu").name == "gpu-threads-1.json"
    made = build(runs.read(both))
    text = plain(made.with_name("speed.html"))
    assert re.search(r"With 1 thread beta trains .* With 1 thread and a GPU alpha trains fastest", text)
    assert "Some GPU" in text
    assert "2 threads and a GPU: not timed: none of the backends can run here" in text
    frame = table(made, "speed")
    assert set(frame.device) == {"cpu", "gpu"}
    assert (made.parent / "tables/speed_gpu_threads_1.tex").is_file()
    assert "1 thread and a GPU" not in plain(made.with_name("speed.html")).partition("What more threads")[2]
    write_json(both.speed_file(1, "gpu"), on_gpu | {"device": "cpu"})
    (wrong,) = (each for each in files.read(runs.read(both)).every if each.path == both.speed_file(1, "gpu"))
    assert wrong.reason == "stale: timed with device cpu, not the config's gpu; run snakemake again"


def test_a_far_interval_ends_in_an_arrow(config: Config):
    made = timings(config, timed(config, 1, CLEAR, {"beta": (1000, 4000)}))
    (beside,) = peers._dots(made, made.usable[0])
    low, high = dots._limits([beside])
    assert beside.low < low < min(1, beside.middle)
    assert max(1, beside.middle) < high < beside.high
    several = timings(config, *(timed(config, threads, CLEAR, CLEAR) for threads in (1, 2, 4)))
    assert "4 threads" in peers.figure(several).svg, "panels go on in the next line"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 5}, "stale: timed with rounds 5, not the config's 3; run snakemake again"),
        ({"batch_size": 64}, "stale: timed with batch size 64, not the config's 20"),
        ({"experiment": "other"}, "stale: timed with experiment other, not the config's plain"),
        ({"flops_per_image": {"forward": 1, "training": 3}}, "stale: timed with FLOPs an image 1, not"),
        ({"schema": 99}, "damaged: ValueError not of schema 1; delete"),
        ({"first": "nobody"}, "damaged: ValueError its first backend has no times; delete"),
        ({"backends": {"alpha": {}}}, "damaged: KeyError 'epoch'; delete"),
        ({"hash": "another"}, ""),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    config: Config, tmp_path: Path, change: dict[str, Any], message: str
):
    moved = replace(config, results=tmp_path)
    write_json(moved.speed_file(1), timed(config, 1, CLEAR) | change)
    one, two = files.read(runs.read(moved)).every
    assert (one.reason.startswith(message), one.usable) == (True, not message)
    assert one.remark.startswith("stale: of other source, versions" if "hash" in change else "")
    assert not (one.remark and "hash" not in change)
    assert two.reason == f"not timed yet: run snakemake, or see {tmp_path / 'logs/speed/threads-2.log'}"


def test_nothing_is_timed_yet(config: Config, tmp_path: Path):
    made = build(runs.read(replace(config, results=tmp_path / "nowhere", reports=tmp_path / "reports")))
    text = plain(made.with_name("speed.html"))
    assert "How fast are the backends? Not measured yet." in text
    assert "1 thread: not timed yet: run snakemake" in text
    assert "2 threads: not timed yet" in text
    assert "Not measured: training runs share the machine" in made.read_text()
    assert table(made, "speed").empty


def test_a_config_that_times_nothing_says_how_to_ask(config: Config, tmp_path: Path):
    made = build(runs.read(replace(config, speed=None, reports=tmp_path)))
    text = plain(made.with_name("speed.html"))
    assert "This config times nothing. With a section speed: {}" in text
    assert "Not measured: training runs share the machine" in made.read_text()
    assert table(made, "speed_peers").empty


def test_the_page_hangs_together(index: Path):
    source = index.with_name("speed.html").read_text()
    names = {"speed_peers", "speed_batch_sizes", "speed_share"}
    assert set(re.findall(r'<figure id="figure-(\w+)"', source)) == names
    assert all(len(alt) > 20 for alt in re.findall(r'role="img" aria-label="([^"]*)"', source))
    captions = re.findall(r"<figcaption>(.*?)<a", source, re.DOTALL)
    assert all(html.escape(CPU) in caption for caption in captions)
    assert "<up>" not in source
    ids = re.findall(r'\bid="([^"]*)"', source)
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'href="([^"]*)"', source):
        if reference.startswith("#"):
            assert reference[1:] in ids, reference
        elif not reference.startswith(("data:", "https://")):
            assert (index.parent / reference).is_file(), reference
    assert "With 1 thread: beta." in index.read_text()
    for name in ("index", "conformance", "effects", "robustness"):
        assert 'href="speed.html"' in index.with_name(f"{name}.html").read_text()


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_the_page_opens_in_a_browser(index: Path, tmp_path: Path):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = ["chromium", *flags, "--dump-dom", index.with_name("speed.html").as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    headings = re.findall(r"<h[12][^>]*>([^<]+)</h", seen.stdout)
    assert headings[:4] == ["Speed", "Where it was timed", "Ratios", "Values"]
