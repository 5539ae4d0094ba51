"""The report, from small fake results: tables against numbers worked out by hand, and the page itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_results import REASON, Fake, project, table, write_images

from lockstep.check.judge import judge
from lockstep.config import Config
from lockstep.console import Console
from lockstep.data import copies
from lockstep.data.splits import Parts
from lockstep.identity import cell_hash
from lockstep.report import build, pictures, runs, summary, tables
from lockstep.report.certificates import read_all
from lockstep.report.findings import what_settings_do
from lockstep.report.overview import page as overview
from lockstep.report.overview import trust
from lockstep.report.overview.cards import Card
from lockstep.report.runs import Side
from lockstep.results import write_json
from lockstep.spec import Conv2D

CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [alpha, beta, ghost]
seeds: [0, 1, 2]
base:
  model:
    layers:
      - {{kind: conv2d, filters: 2, kernel: 5}}
      - {{kind: activation}}
      - {{kind: max_pool, size: 4}}
      - {{kind: flatten}}
      - {{kind: dense, units: 10}}
  training: {{epochs: 2}}
experiments:
  plain: {{}}
  tanh: {{model: {{activation: tanh}}}}
"""
PAGES = ("index", "effects", "conformance", "robustness", "speed", "environment")
PARAMETERS = 5 * 5 * 2 + 2 + 6 * 6 * 2 * 10 + 10


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """Three backends in a folder of their own, the last of them not installed; nothing has been run."""
    with project(tmp_path_factory.mktemp("report"), CONFIG) as config:
        yield config


COPIES = (
    "are copies of others, byte for byte (0 within one set); "
    "with split_seed 0 1 of 4 test images are in the training set too"
)


@pytest.fixture(scope="module")
def fake(empty: Config) -> Fake:
    """Accuracies 0.9, 0.8, 0.7 and 0.9, 0.9, 0.8, and one cell for everything that can go wrong."""
    made = Fake(empty)
    for seed, (alpha, beta) in enumerate([(1, 1), (2, 1), (3, 2)]):
        made.write(made.cell("plain", "alpha", seed), wrong=alpha)
        made.write(made.cell("plain", "beta", seed), wrong=beta)
    made.write(made.cell("tanh", "alpha", 0), wrong=0)
    made.write(made.cell("tanh", "alpha", 1), wrong=9, outcome="diverged")
    made.fail(made.cell("tanh", "alpha", 2))
    made.write(made.cell("tanh", "beta", 0), wrong=2)
    made.write(made.cell("tanh", "beta", 2), wrong=5, stale=True)
    damaged = [(f"{n}.png", "<damaged>") for n in range(7)]
    names, parts = [f"{n}.png" for n in range(10, 20)], Parts(np.arange(4), np.arange(4, 6), np.arange(6, 10))
    twice = copies.count(np.array([*range(9), 0]), names, np.arange(10), [*"0123456789"], parts)
    write_images(empty, np.zeros((10, 28, 28, 1), np.uint8), damaged, twice)
    return made


@pytest.fixture(scope="module")
def page(fake: Fake) -> Path:
    return build(runs.read(fake.config))


def test_every_cell_is_in_the_table_with_its_outcome(page: Path, fake: Fake):
    cells = table(page, "cells").set_index(["experiment", "backend", "seed"])
    assert len(cells) == 18
    assert list(cells.loc["plain", "alpha"].outcome) == ["completed"] * 3
    assert list(cells.loc["tanh", "alpha"].outcome) == ["completed", "diverged", "failed"]
    assert list(cells.loc["tanh", "beta"].outcome) == ["completed", "missing", "stale"]
    assert set(cells.loc["plain", "ghost"].outcome) == {"not installed"}
    assert cells.reason["plain", "ghost", 0] == "not installed: no-such-distribution"
    assert cells.reason["tanh", "alpha", 2] == REASON
    assert cells.reason["tanh", "beta", 2] == "results of another configuration; run snakemake again"
    assert "no result yet" in cells.reason["tanh", "beta", 1]
    assert cells.cell_hash["plain", "beta", 2] == cell_hash(fake.cell("plain", "beta", 2))
    assert set(cells.parameters) == {PARAMETERS}


def test_a_run_of_other_source_is_shown_and_marked(fake: Fake, tmp_path: Path):
    config = replace(fake.config, results=tmp_path / "results", reports=tmp_path / "reports")
    Fake(config).write(fake.cell("plain", "alpha", 0), wrong=1)
    Fake(config).write(fake.cell("plain", "alpha", 1), wrong=2)
    path = config.folder(fake.cell("plain", "alpha", 1)) / "provenance.json"
    write_json(path, json.loads(path.read_text()) | {"cell_hash": "of another source"})
    results = runs.read(config)
    assert [run.outdated for run in results.runs if run.usable] == [False, True]
    with (console := Console(width=200)).capture() as captured:
        summary.show(results, console)
    assert re.search(r"plain +│ alpha +│ +85.00 ± 7.07 │ 2, 1 stale", captured.get())
    assert "stale: of other source, versions, data or settings than are here now" in captured.get()
    said = trust.card(results, [], None, None).checks[0].sentence
    assert "2 of 18 training runs completed: 10 missing and 6 not installed. 1 run of 18 stale: of" in said
    (tmp_path / "claims.yaml").write_text(
        "claims:\n  - {kind: consistent, claim: Metrics are what the logits say, catches: others}\n"
    )
    (note,) = judge(results, tmp_path / "claims.yaml").notes[-1:]
    assert note.startswith("Judged too: plain/alpha/cpu/seed-1, stale: of other source")
    of_a_bundle = runs.read(replace(config, bundle="a bundle of another machine"))
    assert not any(run.outdated for run in of_a_bundle.runs)


def test_the_config_names_the_baseline(fake: Fake):
    means = {}
    for baseline in ("plain", "tanh"):
        effects = tables.build(runs.read(replace(fake.config, baseline=baseline)))["effects"]
        (other,) = {"plain", "tanh"} - {baseline}
        assert set(effects.baseline) == {baseline}
        assert set(effects.experiment) == {other}
        row = effects[(effects.metric == "accuracy") & (effects.backend == "alpha")].iloc[0]
        means[baseline] = row["mean"]
    assert means["plain"] == -means["tanh"] != 0


def test_markdown_holds_what_csv_does(page: Path, fake: Fake):
    cells = table(page, "cells")
    head, rule, *rows = (page.parent / "tables/cells.md").read_text().splitlines()
    assert head == f"| {' | '.join(cells.columns)} |"
    assert set(rule) == {"|", "-", " "}
    assert len(rows) == len(cells)
    assert rows[0].startswith(
        f"| plain | alpha | cpu | 0 | completed |  | {cell_hash(fake.cell('plain', 'alpha', 0))} | 2 | "
    )
    assert any("MemoryError: [Errno 12] &lt;not enough> & more" in row for row in rows)
    frame = pd.DataFrame({"a": ["x|y\nz", None], "b": [0.25, float("nan")], "c": [1, 2]})
    assert (
        tables.markdown(frame) == "| a | b | c |\n| --- | --- | --- |\n| x\\|y z | 0.25 | 1 |\n|  |  | 2 |\n"
    )


def test_accuracy(page: Path):
    frame = table(page, "accuracy").set_index(["experiment", "backend"])
    alpha, half = frame.loc["plain", "alpha"], 4.302652729911275 * 0.1 / np.sqrt(3)
    assert (alpha["mean"], alpha.sd, alpha.low, alpha.high) == pytest.approx(
        (0.8, 0.1, 0.8 - half, 0.8 + half)
    )
    assert alpha.n == 3
    assert alpha.seed_churn == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    # Right: log(1 + 9 e^-4); wrong: 4 more.  Two of ten images are wrong on average.
    assert alpha.cross_entropy == pytest.approx(np.log1p(9 * np.exp(-4)) + 0.2 * 4)
    one, none = frame.loc["tanh", "alpha"], frame.loc["plain", "ghost"]
    assert (one["mean"], one.n) == (1.0, 1)
    assert np.isnan([one.sd, one.low, one.high, none["mean"]]).all()
    assert none.n == 0


def test_differences_are_paired_by_seed(page: Path):
    frame = table(page, "differences").set_index(["experiment", "backend", "minus_backend"])
    assert len(frame) == 2 * 3
    row = frame.loc["plain", "beta", "alpha"]  # 0, 0.1, 0.1
    half = 4.302652729911275 * 10 / np.sqrt(3) / np.sqrt(3)
    expected = (20 / 3, 10 / np.sqrt(3), 20 / 3 - half, 20 / 3 + half)
    assert (row.mean_points, row.sd_points, row.low_points, row.high_points) == pytest.approx(expected)
    assert row.n == 3
    assert row.churn == pytest.approx(0.2 / 3)
    assert row.seed_churn == pytest.approx((0.4 / 3 + 0.2 / 3) / 2)
    assert frame.n["tanh", "beta", "alpha"] == 1
    assert frame.n["plain", "ghost", "alpha"] == 0


def test_effects_average_backends_within_a_seed(page: Path):
    frame = table(page, "effects").set_index(["metric", "experiment", "backend"])
    assert frame["mean"]["accuracy", "tanh", "alpha"] == pytest.approx(10)
    assert frame["mean"]["accuracy", "tanh", "beta"] == pytest.approx(-10)
    everything = frame.loc["accuracy", "tanh", "all"]
    assert everything["mean"] == pytest.approx(0)
    assert everything.n == 1  # one seed, though two backends
    assert np.isnan(everything.low)


def test_measurements_and_history_leave_out_what_is_not_a_result(page: Path):
    measurements, history = table(page, "measurements"), table(page, "history")
    whole = measurements[(measurements.metric == "accuracy") & (measurements.condition == "")]
    assert sorted(whole.value) == pytest.approx([0.7, 0.8, 0.8, 0.8, 0.9, 0.9, 0.9, 1.0])
    assert len(history) == 8 * 2
    assert list(history.columns) == tables.COLUMNS["history"]


class Reader(HTMLParser):
    """What a page refers to, and the ids that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.references += re.findall(r"url\(([^)]*)\)", text) + re.findall(r"@import[^;]*", text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        self.references += [
            found[key] or "" for key in ("src", "href", "xlink:href", "srcset", "data") if key in found
        ]
        self.ids += [found["id"] or ""] if "id" in found else []


def test_page_is_self_contained(page: Path):
    pages = {name: page.with_name(f"{name}.html") for name in PAGES}
    for each in pages.values():
        reader = Reader(each.read_text())
        assert not reader.tags & {"iframe", "object", "img"}
        assert "<script " not in each.read_text()  # none has a source
        assert len(reader.ids) == len(set(reader.ids))
        for reference in reader.references:
            file, _, place = reference.partition("#")
            if not reference.startswith("data:"):
                assert (page.parent / file).is_file() if file else place in reader.ids, reference
            if file.endswith(".html") and place:
                assert f'id="{place}"' in (page.parent / file).read_text(), reference
    results = {"accuracies", "differences", "curves", "filters"}
    effects = {"effects", "effects_by_backend", "functions", "dead", "padding"}
    drawn = {path.stem for path in (page.parent / "figures").glob("*.svg")}
    assert {name for name in drawn if not name.endswith(("-alpha", "-beta"))} == results | effects
    for name, figures in (("index", results), ("effects", effects)):
        alts = re.findall(r'role="img" aria-label="([^"]*)"', pages[name].read_text())
        assert len(alts) == len(figures)
        assert all(len(alt) > 20 for alt in alts)


def test_page_tells_reasons_and_hedges(page: Path):
    text = page.read_text()
    for reason in ("no-such-distribution", "the loss became NaN", "another configuration", "no result yet"):
        assert reason in text
    assert "MemoryError: [Errno 12] &lt;not enough&gt; &amp; more" in text
    assert "Traceback: &lt;deep&gt;" in text
    assert "<not enough>" not in text
    assert "8 of 18 training runs completed" in text
    assert "1 to 3 seeds: intervals are wide, or there is none" in text
    assert "n = 1: no interval" in text
    assert "cannot tell" in text
    assert f"{PARAMETERS:,} parameters" in text


def cards(config: Config) -> list[Card]:
    results = runs.read(config)
    return overview.contents(results, read_all(config), tables.build(results), None, None, None)["cards"]


def test_cards_hedge(fake: Fake):
    agree, best, fastest, trust = cards(fake.config)
    assert (agree.tone, agree.answer) == ("unsure", "Not measured yet.")
    assert agree.grid.groups[0].rows == [
        (
            "float32: largest difference in accuracy, beta − alpha (tanh)",
            "−20.00 points",
            "n = 1: no interval",
            "1 seed",
        ),
        ("float32: images classified differently", "13.33 %", "between seeds 10.00 %", "2 pairs"),
    ]
    assert "no difference can be told from 0; the only interval includes it" in agree.notes[0]
    # tanh alone has a mean of 0.9 where plain has 0.83, but on the seed they share both have 0.9.
    assert (best.tone, best.answer) == ("unsure", "Cannot tell which of 2 (of 2): plain and tanh.")
    assert [row[:3] for row in best.grid.groups[0].rows] == [
        ("1–2", "plain", "90.00"),
        ("1–2", "tanh", "90.00"),
    ]
    assert best.notes == ("No paired difference has a 95 % interval yet, so every place is a tie.",)
    assert fastest.tone == "none"
    assert "not a benchmark" in fastest.answer
    assert "<code>lockstep time alpha beta ghost --config" in fastest.notes[0]
    assert trust.tone == "bad"
    assert [(check.tone, check.sentence) for check in trust.checks] == [
        (
            "bad",
            "8 of 18 training runs completed: 6 not installed, 1 diverged, 1 failed, 1 missing and 1 stale.",
        ),
        ("good", "All results come from one machine and one version of the harness."),
        ("unsure", "7 of 17 images of mnist-5k were skipped."),
        ("unsure", f"1 of 10 images of mnist-5k {COPIES}."),
        ("unsure", "1 different image is there in mnist-5k under more than one label."),
        ("unsure", "0 of 3 backends proved in step with numpy."),
    ]


def test_cards_say_what_an_interval_shows(fake: Fake, tmp_path: Path):
    made = Fake(replace(fake.config, results=tmp_path, backends=("alpha", "beta")))
    for seed in range(3):
        for name, wrong in (("plain", 5 + (seed == 2)), ("tanh", seed == 0)):
            made.write(made.cell(name, "alpha", seed), wrong)
            made.write(made.cell(name, "beta", seed), wrong)
    agree, best, _, trust = cards(made.config)
    assert (best.tone, best.answer) == ("good", "tanh, ahead of the other.")
    assert [row[0] for row in best.grid.groups[0].rows] == ["1", "2"]
    assert "Of 1 paired difference the intervals of 1 exclude 0; about 0.1 would by chance" in best.notes[0]
    assert best.notes[0].endswith("if nothing differed. Other seeds were not asked.")
    assert "none of 2 pairs has a 95 % interval yet" in agree.notes[0]  # all differ by 0
    assert (trust.checks[0].tone, trust.checks[0].sentence) == ("good", "12 of 12 training runs completed.")
    results = runs.read(made.config)
    assert what_settings_do(results, tables.build(results)["effects"]).answer == (
        "Test accuracy is higher with tanh."
    )


def test_building_imports_no_framework(page: Path):
    """In a process of its own, and twice alike: the same results give the same files."""
    before = {path: path.read_bytes() for path in page.parent.glob("*/*.*")}
    code = (
        "import sys; from pathlib import Path; from lockstep.config import load;"
        "from lockstep.report import build, runs; build(runs.read(load(Path('config.yaml'))));"
        "print([name for name in ('torch', 'jax', 'tensorflow', 'keras') if name in sys.modules])"
    )
    root = page.parents[1]
    child = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("names", [["alpha"], ["ghost"]])
def test_one_backend_or_none_with_results_still_makes_a_page(fake: Fake, tmp_path: Path, names: list[str]):
    text = build(runs.read(replace(fake.config, reports=tmp_path, backends=tuple(names)))).read_text()
    assert "No two backends were to train the same experiment" in text


def test_skipped_images_and_copies_are_told(page: Path):
    assert "7 of 17 images of mnist-5k were skipped." in page.read_text()
    text = page.with_name("environment.html").read_text()
    assert "7 of 17 images of mnist-5k were skipped: 0.png and 6 more (&lt;damaged&gt;)" in text
    assert f"1 of 10 images of mnist-5k {COPIES}: 10.png = 19.png" in text
    assert "under more than one label: 10.png (class &#39;0&#39;) = 19.png (class &#39;9&#39;)" in text


def test_nothing_has_been_run(empty: Config, tmp_path: Path):
    config = replace(empty, results=tmp_path / "nowhere", reports=tmp_path / "reports")
    assert "No report yet: lockstep report --config" in shown(config)
    text = build(runs.read(config)).read_text()
    assert "0 of 18 training runs completed" in text
    assert "No run has completed yet" in text
    assert [path.stem for path in (tmp_path / "reports/figures").glob("*.svg")] == ["padding"]
    assert table(tmp_path / "reports" / "index.html", "history").empty
    assert f"Report: {tmp_path}" in shown(config)


def test_summary(page: Path, fake: Fake):
    text = shown(fake.config)
    assert re.search(r"plain +│ alpha +│ +80.00 ± 10.00 │ +3 │", text)
    assert REASON in text  # brackets are no markup
    assert "not installed: no-such-distribution" in text
    assert "8 of 18 runs completed" in text
    assert str(page) in text


def shown(config: Config) -> str:
    out = StringIO()
    summary.show(runs.read(config), Console(file=out, width=250))
    return out.getvalue()


def test_incomplete_and_retried_cells(fake: Fake, tmp_path: Path):
    config = replace(fake.config, results=tmp_path)
    made = Fake(config)
    half, retried = made.cell("plain", "alpha", 0), made.cell("plain", "alpha", 1)
    made.write(half, wrong=0)
    (config.folder(half) / "predictions.npz").unlink()
    made.write(retried, wrong=0)
    made.fail(retried)
    first, second, *_ = runs.read(config).runs
    assert first.outcome == "missing"
    assert first.reason == (
        "damaged or incomplete results: ValueError no predictions.npz; "
        f"delete {config.folder(half)} and run snakemake"
    )
    assert (second.outcome, second.reason) == ("completed", f"a later try failed: {REASON}")


DAMAGE = {
    "predictions.npz": [b"", b"no zip", b"PK\x03\x04 half"],
    "weights.npz": [b""],
    "history.csv": [b"", b"\xff\xfe", b"epoch\nx\n"],
    "units.csv": [b"", b"epoch,layer\n1,activation1\n"],
    "functions.npz": [b"", b"no zip"],
    "metrics.json": [b"", b"{}", b'{"schema": 99}', b'{"schema": 1, "outcome": "completed"}'],
    "provenance.json": [b"[]", b'{"schema": 1, "identity": 3}'],
}


@pytest.mark.parametrize(("name", "content"), [(n, c) for n, contents in DAMAGE.items() for c in contents])
def test_one_damaged_file_costs_one_cell(fake: Fake, tmp_path: Path, name: str, content: bytes):
    config = replace(fake.config, results=tmp_path)
    made = Fake(config)
    damaged, sound = made.cell("plain", "alpha", 0), made.cell("plain", "alpha", 1)
    for cell in (damaged, sound):
        made.write(cell, wrong=0)
    (config.folder(damaged) / name).write_bytes(content)
    first, second, *_ = runs.read(config).runs
    assert first.outcome == "missing"
    assert first.reason.startswith("damaged or incomplete results: ")
    assert first.reason.endswith(f"delete {config.folder(damaged)} and run snakemake")
    assert second.outcome == "completed"


def test_pairs_differ_in_backend_or_in_device(fake: Fake):
    results = runs.Results(replace(fake.config, backends=("alpha", "beta"), devices=("cpu", "gpu")), [])
    assert runs.pairs(results.sides) == [
        (Side("alpha", "cpu"), Side("alpha", "gpu")),
        (Side("alpha", "cpu"), Side("beta", "cpu")),
        (Side("alpha", "gpu"), Side("beta", "gpu")),
        (Side("beta", "cpu"), Side("beta", "gpu")),
    ]
    assert results.label(Side("beta", "gpu")) == "beta on gpu"


def test_uses_counts_windows():
    counts = {
        kind: list(pictures.uses(Conv2D(filters=1, kernel=3, padding=kind), 8))
        for kind in ("full", "same", "valid")
    }
    assert counts == {
        "full": [3] * 8,
        "same": [2, 3, 3, 3, 3, 3, 3, 2],
        "valid": [1, 2, 3, 3, 3, 3, 2, 1],
    }
    assert list(pictures.uses(Conv2D(filters=1, kernel=3, stride=3, padding="valid"), 8)) == [1] * 6 + [0] * 2
