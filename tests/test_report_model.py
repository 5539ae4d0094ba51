"""The pages that take a trained network apart: numbers worked out by hand, a real run, and the viewer."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fake_results import Fake, plain, project, write_images

from lockstep import cell as cells
from lockstep import config as configs
from lockstep.config import Config
from lockstep.discovery import find, load
from lockstep.report import build, runs
from lockstep.report.model import confusion, doubts, features, mistakes, pages, walk, weights
from lockstep.report.model.features import example, follow
from lockstep.report.model.subject import Model, read_weights
from lockstep.report.runs import Side
from lockstep.results import read_npz, write_npz
from lockstep.training import Watcher

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
ALPHA = Side("alpha", "cpu")


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    """Of ten images, alpha gets 1, 2 and 3 wrong, the first ones; beta always 2.  Ghost is not installed."""
    with project(tmp_path_factory.mktemp("report"), CONFIG) as config:
        made = Fake(config)
        for seed in range(3):
            made.write(made.cell("plain", "alpha", seed), wrong=seed + 1)
            made.write(made.cell("plain", "beta", seed), wrong=2)
        made.write(made.cell("tanh", "beta", 0), wrong=9, outcome="diverged")
        write_images(config, np.zeros((10, 28, 28, 1), np.uint8))
        yield made


@pytest.fixture(scope="module")
def page(fake: Fake) -> Path:
    return build(runs.read(fake.config)).with_name("backend-alpha.html")


@pytest.fixture(scope="module")
def model(fake: Fake) -> Model:
    return Model(runs.read(fake.config), ALPHA)


REAL = {
    "seeds": [0],
    "backends": ["numpy"],
    "base": {
        "data": {"train_size": 150},
        "model": {
            "layers": [
                {"kind": "conv2d", "filters": 3, "kernel": 5, "stride": 2},
                {"kind": "activation"},
                {"kind": "max_pool", "size": 2},
                {"kind": "conv2d", "filters": 4, "kernel": 3},
                {"kind": "activation"},
                {"kind": "flatten"},
                {"kind": "dropout", "rate": 0.2},
                {"kind": "dense", "units": 12},
                {"kind": "dense", "units": 10},
            ]
        },
        "optimizer": {"learning_rate": 0.01},
        "training": {"epochs": 3, "batch_size": 16},
    },
    "experiments": {"tiny": {}},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A network that the reference has trained."""
    root = tmp_path_factory.mktemp("real")
    places = {"results": str(root / "results"), "reports": str(root / "reports")}
    (root / "config.yaml").write_text(yaml.safe_dump({**REAL, **places}))
    config = configs.load(root / "config.yaml")
    cells.run(config, config.cell("tiny", "numpy", "cpu", 0), Watcher())
    return config


@pytest.fixture(scope="module")
def real_page(real: Config) -> Path:
    return build(runs.read(real)).with_name("backend-numpy.html")


def contents(config: Config) -> Mapping[str, Any]:
    """What the first backend's page is filled with."""
    return pages.build(runs.read(config))[0][0].contents


def embedded(page: Path) -> dict:
    found = re.search(r'id="weights-data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_parameters_are_counted_with_their_formula(page: Path, model: Model):
    spec = model.run.cell.experiment.spec
    steps = {step.name: step for step in walk.steps(spec)}
    assert (steps["conv1"].formula, steps["conv1"].parameters) == ("5×5×1×2 + 2", 52)
    assert (steps["conv1"].takes, steps["conv1"].gives, steps["conv1"].sees) == ("28×28×1", "24×24×2", "5×5")
    assert "at every place it adds 25 products and a bias" in steps["conv1"].does
    assert (steps["conv1"].operations, steps["conv1"].mflop) == ("2×50×576", "0.06")
    assert steps["dense1"].operations == "2×720"
    assert steps["max_pool1"].sees == "8×8"
    assert steps["flatten1"].sees == "all"
    assert walk.total(spec) == "52 + 730 = 782"
    # 2 * 50 * 24 * 24 operations against 2 * 720.
    assert "dense1 holds 93 % of the parameters, but conv1 does 98 % of the arithmetic" in walk.shares(spec)
    assert "Together: 52 + 730 = 782." in plain(page)


def test_recall_and_precision_by_hand(model: Model):
    table = confusion.counts(model.runs[1])  # 0 is taken for 1 and 1 for 2
    assert (table[0, 1], table[1, 2], table[1, 1], table.sum()) == (1, 1, 0, 10)
    (group,) = confusion.classes(model).groups
    rows = [row[2:] for row in group.rows]
    assert rows[0] == ("0.00", "all equal: no interval", "3", "–", "n = 0: no interval", "0")
    assert rows[1][::3] == ("33.33", "16.67")  # recall 1, 0, 0; precision 1/2, 0, 0
    assert rows[3][::3] == ("100.00", "83.33")  # of what the third seed calls 3, half is
    assert rows[9][::3] == ("100.00", "100.00")


def test_a_mistake_is_looked_for_in_all_runs(model: Model):
    first, third = (mistakes.find(model, run) for run in (model.runs[0], model.runs[2]))
    (hard,) = first.found
    assert (hard.image, hard.label, hard.predicted) == (9, 0, 1)  # the fakes' images stand in reverse
    assert hard.probability == pytest.approx(1 / (1 + 9 * np.exp(-4)))
    assert (hard.seeds_same, first.seeds, hard.same, first.runs) == (3, 3, 6, 6)
    assert (hard.backends, first.backends) == (2, 2)
    assert first.is_hard(hard)
    told = [(each.label, each.same, each.backends) for each in third.found]
    assert told == [(0, 6, 2), (1, 5, 2), (2, 1, 1)]
    assert mistakes.sentences(third)[1] == (
        "All 6 completed runs, on 2 backends, are wrong on 1 of these; this run alone is wrong on 1 of them."
    )


def test_digits_are_chosen_by_rule():
    probabilities = np.full((20, 2), 0.5) + np.linspace(0.01, 0.4, 20)[:, None] * [1, -1]
    labels = np.where(np.arange(20) % 2, 1, 0)  # all are predicted 0, so the odd ones are wrong
    assert list(doubts.choose(probabilities, labels)) == [19, 17, 15, 13, 0, 2, 4, 6]


def test_runs_on_other_data_are_not_asked(fake: Fake, tmp_path: Path):
    made = Fake(replace(fake.config, results=tmp_path))
    for backend in ("alpha", "beta"):
        made.write(made.cell("plain", backend, 0), wrong=1)
    path = made.config.folder(made.cell("plain", "beta", 0)) / "provenance.json"
    path.write_text(path.read_text().replace("d" * 64, "e" * 64))
    model = Model(runs.read(made.config), ALPHA)
    found = mistakes.find(model, model.run)
    assert (found.runs, found.backends) == (1, 1)
    assert not found.is_hard(found.found[0])


def test_page_says_which_run_it_is_of(page: Path):
    text = plain(page)
    assert "plain, seed 0 , the first of 3 completed seeds, which classifies 90.00&nbsp;% of 10" in text
    assert "plain 80.00 55.16 to 104.84 3" in text
    assert "tanh – n = 0: no interval 0" in text
    assert "Expected calibration error:" in text
    assert "plain, alpha, 3 seeds pooled: 6 wrong of 30 predictions." in text


def test_pages_are_self_contained(page: Path):
    for name in ("alpha", "beta", "ghost"):
        text = page.with_name(f"backend-{name}.html").read_text()
        ids = re.findall(r'\bid="([^"]+)"', text)
        assert len(ids) == len(set(ids))
        files = [each for each in re.findall(r'(?:src|href)="([^"#]+)', text) if not each.startswith("data:")]
        assert all((page.parent / each).is_file() for each in files)
        assert not re.search(r"@import|<script src|<link rel=\"stylesheet", text)
        alts = re.findall(r'role="img" aria-label="([^"]*)"', text)
        assert all(len(alt) > 20 for alt in alts)
    drawn = {"confusion", "mistakes", "filters", "reliability", "probabilities"}
    assert drawn <= {
        path.stem.removesuffix("-alpha") for path in (page.parent / "figures").glob("*-alpha.svg")
    }


def test_a_backend_that_completed_nothing_says_why(page: Path, fake: Fake, tmp_path: Path):
    ghost = plain(page.with_name("backend-ghost.html"))
    assert "Nothing completed of plain, so there is no network" in ghost
    assert "not installed (seeds 0, 1 and 2): no-such-distribution" in ghost
    assert "Weights" not in ghost
    made = Fake(replace(fake.config, results=tmp_path / "results", reports=tmp_path / "reports"))
    made.write(made.cell("plain", "alpha", 0), wrong=9, outcome="diverged")
    diverged, missing = contents(made.config)["why_nothing"]
    assert diverged.startswith("diverged (seed 0): the loss became NaN or infinite at step 3")
    assert missing.startswith("missing (seeds 1 and 2): no result yet")


def test_images_of_other_data_are_not_drawn(page: Path, fake: Fake):
    # The fakes' checksum is not that of any real source, so their digits are shown but not followed.
    assert "Not drawn:" in plain(page)
    assert "wrong checksum: decoded from other data than mnist-5k is now" in plain(page)
    about = fake.config.data_path("mnist-5k") / "source.json"
    text = about.read_text()
    try:
        about.write_text(text.replace("d" * 64, "e" * 64))
        (first, *_), figures = pages.build(runs.read(fake.config))
    finally:
        about.write_text(text)
    assert first.contents["why"]["images"].startswith("the images of ")
    assert "mistakes-alpha" not in {figure.name for figure in figures}


def test_a_damaged_kernel_costs_two_sections(fake: Fake, tmp_path: Path):
    made = Fake(replace(fake.config, results=tmp_path / "results", reports=tmp_path / "reports"))
    cell = made.cell("plain", "alpha", 0)
    made.write(cell, wrong=1)
    path = made.config.folder(cell) / "weights.npz"
    content = bytearray(path.read_bytes())
    content[content.index(b"dense1/kernel") + 1000] ^= 1
    path.write_bytes(content)
    text = plain(build(runs.read(made.config)).with_name("backend-alpha.html"))
    assert f"The weights cannot be shown: {path}: damaged" in text
    assert f"Not drawn: {path}: damaged" in text
    assert "1 wrong of 10 predictions" in text


def test_devices_have_pages_of_their_own(fake: Fake):
    results = runs.Results(replace(fake.config, devices=("cpu", "gpu")), [])
    assert [Model(results, side).key for side in results.sides[:2]] == ["alpha-cpu", "alpha-gpu"]


def test_eight_bits_are_off_by_half_a_step_at_most(real: Config, real_page: Path):
    content = embedded(real_page)
    exact = read_npz(real.folder(real.cell("tiny", "numpy", "cpu", 0)) / "weights.npz")
    # A dense kernel behind maps is [height, width, channels, units]; dropout between them changes nothing.
    shapes = {"conv1": [5, 5, 1, 3], "conv2": [3, 3, 3, 4], "dense1": [4, 4, 4, 12], "dense2": [1, 1, 12, 10]}
    assert {layer["name"]: layer["shape"] for layer in content["layers"]} == shapes
    for layer in content["layers"]:
        kernel = exact[f"{layer['name']}/kernel"]
        shown = layer["scale"] * np.frombuffer(base64.b64decode(layer["values"]), np.int8)
        assert np.abs(shown - kernel.reshape(-1)).max() <= 0.5000001 * layer["scale"]
        assert layer["scale"] == pytest.approx(np.abs(kernel).max() / 127)
        assert np.allclose(layer["bias"], exact[f"{layer['name']}/bias"], rtol=1e-3)
    palette = np.frombuffer(base64.b64decode(content["palette"]), np.uint8).reshape(255, 3)
    assert palette[127].min() > 240
    assert palette[0, 2] > palette[0, 0]  # purple below 0
    assert palette[254, 0] > palette[254, 2]  # orange above


def test_kernels_too_large_for_a_page_are_named(real: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "MOST", 5 * 5 * 3 + 3 * 3 * 3 * 4 + 12 * 10)
    run = Model(runs.read(real), Side("numpy", "cpu")).run
    text, left_out = weights.embedded(run.cell.experiment.spec, read_weights(run))
    assert left_out == ["dense1"]
    assert [layer["name"] for layer in json.loads(text)["layers"]] == ["conv1", "conv2", "dense2"]


def test_a_digit_goes_through_the_layers_as_through_the_network(real: Config, real_page: Path):
    run = Model(runs.read(real), Side("numpy", "cpu")).run
    folder, place = real.data_path("mnist-5k"), example(run)
    journey = follow(run, read_weights(run), folder, place)
    assert journey.proven
    assert journey.far < 1e-4
    assert journey.checked in (100, 101)
    data, spec = cells.load_data(run.cell, folder), run.cell.experiment.spec
    image = data.transform(data.test.images[[place]], "float32")
    assert journey.label == data.test.labels[place] == run.predictions.predicted[place]
    for node in spec.nodes:
        network = cells.build(load(find("numpy")), run.cell, spec.until(node.name))
        network.load(read_weights(run))
        assert np.allclose(journey.outputs[node.name], network.logits(image)[0], atol=1e-4), node.name
    text = plain(real_page)
    assert "outputs are the logits that the run stored, but for" in text
    assert f"The label is {journey.label}." in text


def test_a_large_network_is_checked_on_fewer_images(real: Config, monkeypatch: pytest.MonkeyPatch):
    run = Model(runs.read(real), Side("numpy", "cpu")).run
    monkeypatch.setattr(features, "BUDGET", 5 * run.cell.experiment.spec.flops)
    journey = follow(run, read_weights(run), real.data_path("mnist-5k"), 7)
    assert journey.checked == 6
    assert journey.image == run.array("predictions.npz", "index")[7]


def test_a_reference_that_fails_is_told(real: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(features.discovery, "load", lambda plugin: 1 / 0)
    found = contents(real)
    assert found["journey"] is None
    assert found["why"]["journey"] == (
        "the reference cannot compute this network: ZeroDivisionError: division by zero"
    )


def test_other_weights_are_found_out(real: Config, tmp_path: Path):
    shutil.copytree(real.results, tmp_path / "results")
    config = replace(real, results=tmp_path / "results", reports=tmp_path / "reports")
    path = config.folder(config.cell("tiny", "numpy", "cpu", 0)) / "weights.npz"
    arrays = read_npz(path)
    arrays["dense2/bias"][3] += 0.01
    write_npz(path, arrays)
    found = contents(config)
    assert not found["journey"].proven
    assert "differ from the logits that the run stored by up to 0.01 (limit" in found["proof"]


def test_equal_results_give_equal_pages(real: Config):
    first, second = (pages.build(runs.read(real)) for _ in range(2))
    assert first[1] == second[1]
    assert [each.contents["weights"] for each in first[0]] == [each.contents["weights"] for each in second[0]]


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_the_viewer_shows_the_weights_that_are_chosen(real: Config, real_page: Path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    exact = read_npz(real.folder(real.cell("tiny", "numpy", "cpu", 0)) / "weights.npz")
    steps = {layer["name"]: layer["scale"] for layer in embedded(real_page)["layers"]}
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(real_page.as_uri())

        def picture() -> str:
            return page.evaluate("document.getElementById('weights-canvas').toDataURL()")

        def read(x: float, y: float) -> str:
            """What is said of the weight at shares of the canvas's width and height."""
            page.locator("#weights-canvas").scroll_into_view_if_needed()
            box = page.locator("#weights-canvas").bounding_box()
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            return page.inner_text("#weights-value").replace("\u2212", "-")

        def choose(**choices: str) -> None:
            for name, value in choices.items():
                page.select_option(
                    f"#weights-{name}", **({"index": value} if name == "layer" else {"value": value})
                )

        seen = [picture()]
        for choices in (
            {"layer": 1}, {"channel": "2"}, {"filter": "1"}, {"channel": "all"}, {"filter": "all"},
            {"layer": 2}, {"filter": "5"}, {"channel": "3"}, {"layer": 3}, {"filter": "2"},
        ):  # fmt: skip
            choose(**choices)
            seen.append(picture())
        assert len(set(seen)) == len(seen)
        page.check("#weights-stretch")
        assert picture() not in seen
        page.uncheck("#weights-stretch")

        def agrees(said: str, layer: str, place: tuple[int, ...], words: str) -> None:
            what, _, value = said.rpartition(": ")
            assert what == f"{layer}, {words}"
            # Half a step of rounding to 8 bits, and half a unit of the last digit that is written.
            written = 0.5 * 10.0 ** -len(value.partition(".")[2])
            assert abs(float(value) - exact[f"{layer}/kernel"][place]) <= 0.5 * steps[layer] + written

        choose(layer=1, channel="2", filter="1")
        agrees(read(0.9, 0.5), "conv2", (1, 2, 2, 1), "filter 1, channel 2, row 1, column 2")
        choose(
            channel="all", filter="all"
        )  # 3 rows and 4 columns of 3x3, with gaps of one: 15 across, 11 down
        agrees(read(9.5 / 15, 6.5 / 11), "conv2", (2, 1, 1, 2), "filter 2, channel 1, row 2, column 1")
        assert read(3.5 / 15, 0.1).strip() == ""
        page.focus("#weights-canvas")
        read(9.5 / 15, 6.5 / 11)
        page.keyboard.press("ArrowRight")
        said = page.inner_text("#weights-value").replace("\u2212", "-")
        agrees(said, "conv2", (2, 2, 1, 2), "filter 2, channel 1, row 2, column 2")
        page.keyboard.press("ArrowRight")  # over the gap
        said = page.inner_text("#weights-value").replace("\u2212", "-")
        agrees(said, "conv2", (2, 0, 1, 3), "filter 3, channel 1, row 2, column 0")
        choose(layer=2)  # a matrix: a row for each of 12 units, a column for each of 64 inputs
        agrees(read(30.5 / 64, 7.5 / 12), "dense1", (30, 7), "unit 7, feature map 2, row 1, column 3")
        choose(channel="3", filter="5")
        agrees(read(0.1, 0.9), "dense1", (12 * 4 + 3, 5), "unit 5, feature map 3, row 3, column 0")
        choose(layer=3, filter="9")
        agrees(read(0.1, 0.1), "dense2", (0, 9), "unit 9, input 0")
        assert "Its bias: " in page.inner_text("#weights-numbers")
        assert errors == []
        browser.close()
