"""What the settings do: the page of effects, for a config whose blocks of runs are no full product."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from fake_results import Fake, plain, project, table, write_images

from lockstep import cell
from lockstep.check import REFERENCES, reference
from lockstep.config import Config
from lockstep.data.draws import augmentation
from lockstep.evaluation import row
from lockstep.inside import GRID, SAMPLES, looked_at
from lockstep.report import build, runs, tables, text
from lockstep.report.effects import augmented, dropout
from lockstep.report.effects.compare import agreement
from lockstep.report.effects.functions import formula
from lockstep.report.effects.inside import inside
from lockstep.report.environment import sameness
from lockstep.report.findings import what_settings_do
from lockstep.report.overview import best
from lockstep.report.overview.ranking import rank
from lockstep.report.runs import Side
from lockstep.results import write_npz
from lockstep.statistics import estimate

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
      - {{kind: dropout}}
      - {{kind: dense, units: 10}}
  training: {{epochs: 2, batch_size: 8}}
experiments:
  plain: {{}}
  dropped: {{model: {{dropout: 0.5}}}}
  moved: {{augmentation: {{}}}}
  same: {{model: {{padding: same}}}}
  tanh: {{model: {{activation: tanh}}}}
  never: {{model: {{activation: swish}}}}
runs:
  - {{experiments: [plain, dropped], backends: [alpha, beta]}}
  - {{experiments: [plain, dropped, moved, same, tanh], backends: [beta], seeds: [0, 1, 2, 3]}}
  - experiments: [plain, moved]
    backends: [beta]
    train_sizes: {{"100": {{}}, "400": {{training: {{epochs: 3}}}}}}
"""
T2 = 4.302652729911275
"""t(0.975) with two degrees of freedom."""
WRONG = {
    ("plain", "alpha"): [2, 2, 2],
    ("plain", "beta"): [2, 2, 3, 2],
    ("dropped", "alpha"): [1, 1, 0],
    ("dropped", "beta"): [1, 1, 1, None],
    ("moved", "beta"): [2, 2, 2, 3],
    ("same", "beta"): [5, 5, 5, None],
    ("tanh", "beta"): [None] * 4,
    ("plain@100", "beta"): [6, 6, 6],
    ("plain@400", "beta"): [4, 4, 4],
    ("moved@100", "beta"): [4, 5, 5],
    ("moved@400", "beta"): [4, 3, None],
}
"""Of ten test images; None failed."""


def look(name: str, wrong: int, seed: int) -> list:
    """Half of the units knocked out cost 0.3 of the accuracy, with dropout 0.1; 50 subnetworks cost 0.1."""
    right = (10 - wrong) / 10
    cost = 0.1 if name == "dropped" else 0.3 + 0.1 * (seed == 1)
    rows = [row("test", "accuracy", right - cost, 10, "knocked_out=0.5")]
    for samples in SAMPLES if name == "dropped" else ():
        condition = f"subnetworks={samples}"
        values = {"accuracy": right - 0.1 * (samples == 50), "cross_entropy": 0.5, "calibration_error": 0.1}
        rows += [row("test", metric, value, 10, condition) for metric, value in values.items()]
        rows.append(row("test", "expectation_error", 0.8 * samples ** (-0.49 - 0.01 * seed), 10, condition))
    return rows


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with project(tmp_path_factory.mktemp("effects"), CONFIG) as config:
        made = Fake(config)
        for (name, backend), counts in WRONG.items():
            for seed, wrong in enumerate(counts):
                if wrong is None:
                    made.fail(made.cell(name, backend, seed))
                    continue
                first = 0.65 if name == "dropped" else 0.75
                where, dead = made.cell(name, backend, seed), 0.25 * (name == "plain" and seed == 0)
                made.write(where, wrong, first_epoch=first, inside=look(name, wrong, seed), dead=dead)
        images = np.zeros((12, 28, 28, 1), np.uint8)
        images[:, 10:18, 12:16] = 255
        write_images(config, images)
        yield config


@pytest.fixture(scope="module")
def results(config: Config) -> runs.Results:
    return runs.read(config)


@pytest.fixture(scope="module")
def index(config: Config) -> Path:
    return build(runs.read(config))


@pytest.fixture(scope="module")
def page(index: Path) -> str:
    return plain(index.with_name("effects.html"))


@pytest.fixture
def only(config: Config, tmp_path: Path) -> Callable[..., str]:
    """Build the page of some of the wanted runs alone, given as conditions on (experiment, ..., seed)."""

    def built(wanted: Callable[[tuple], bool]) -> str:
        keys = frozenset(filter(wanted, config.wanted))
        return plain(
            build(runs.read(replace(config, wanted=keys, reports=tmp_path))).with_name("effects.html")
        )

    return built


def effects(index: Path) -> pd.DataFrame:
    return table(index, "effects").set_index(["metric", "experiment", "backend"])


def test_groups_that_no_block_asks_for_are_no_rows(index: Path, results: runs.Results):
    assert list(results.experiments) == ["plain", "dropped", "moved", "same", "tanh"]
    wanted = [("plain", "alpha"), ("plain", "beta"), ("dropped", "alpha"), ("dropped", "beta")]
    wanted += [("moved", "beta"), ("same", "beta"), ("tanh", "beta")]
    accuracy = table(index, "accuracy")
    assert list(zip(accuracy.experiment, accuracy.backend, strict=True)) == wanted
    assert list(accuracy.n) == [3, 4, 3, 3, 4, 3, 0]  # tanh was to run, and failed
    differences = table(index, "differences")
    assert list(differences.experiment) == ["plain", "dropped"]
    keys = zip(*(effects(index).index.get_level_values(level) for level in (1, 2)), strict=True)
    assert list(dict.fromkeys(keys)) == [
        *[("dropped", backend) for backend in ("alpha", "beta", "all")],
        *[(name, backend) for name in ("moved", "same", "tanh") for backend in ("beta", "all")],
    ]
    assert results.trained == [Side("alpha", "cpu"), Side("beta", "cpu")]


def test_points_of_learning_curves_are_no_experiments_but_their_failures_are_told(index: Path):
    text = plain(index)
    accuracy, unfinished = text.split("Differences between backends")[0], text.split("Not completed")[-1]
    assert "@" not in accuracy.split("Accuracy On the test images")[1]
    assert "moved@400 beta 2 failed" in unfinished
    assert "3 to 4 seeds: intervals are wide" in text
    for name in ("accuracy", "differences", "effects"):
        assert not table(index, name).experiment.str.contains("@").any()


def test_effect_on_accuracy_by_hand(index: Path):
    frame = effects(index)
    mean = frame.loc["accuracy", "dropped", "all"]  # 10, 10, 20 on either backend
    sd, expected = 10 / np.sqrt(3), 40 / 3
    half = T2 * sd / np.sqrt(3)
    found = (mean["mean"], mean.sd, mean.low, mean.high)
    assert found == pytest.approx((expected, sd, expected - half, expected + half))
    assert (mean.n, mean.unit, mean.verdict, mean.agreement) == (3, "points", "cannot tell", "agree")
    assert mean.largest_difference == pytest.approx(0)
    assert mean.effect_size == pytest.approx(expected / sd * (1 - 3 / 7))
    assert 1.96 * sd / np.sqrt(mean.seeds_needed) <= 0.25 < 1.97 * sd / np.sqrt(mean.seeds_needed - 10)
    assert frame.loc["accuracy", "same", "all"].verdict == "lower"  # -30, -30, -20
    one, none = frame.loc["accuracy", "moved", "all"], frame.loc["accuracy", "tanh", "all"]  # 0, 0, 10, -10
    assert (one["mean"], one.n, one.verdict, one.agreement) == (
        pytest.approx(0, abs=1e-9), 4, "cannot tell", "one backend",
    )  # fmt: skip
    assert (none.n, none.verdict, none.agreement) == (0, "no pair", "")


def test_effects_on_other_quantities(index: Path):
    frame = effects(index)
    entropy = frame.loc["cross_entropy", "dropped", "beta"]  # a wrong answer costs 4 nats: -0.4, -0.4, -0.8
    assert (entropy["mean"], entropy.unit) == (pytest.approx(-1.6 / 3), "nats")
    start = frame.loc["convergence", "dropped", "all"]  # 0.65 against 0.75, for every seed
    assert (start["mean"], start.n, start.sd) == (pytest.approx(-10), 3, 0)
    assert np.isnan([start.low, start.effect_size, start.seeds_needed]).all()
    confidence = 1 / (1 + 9 * np.exp(-4))  # of every answer, so the error is |share right - confidence|
    calibration = frame.loc["calibration_error", "same", "all"]
    shares = [(0.8, 0.5), (0.8, 0.5), (0.7, 0.5)]
    expected = [100 * (abs(new - confidence) - abs(old - confidence)) for old, new in shares]
    assert calibration["mean"] == pytest.approx(np.mean(expected))


def test_costs_stand_beside_effects(index: Path, results: runs.Results, page: str):
    specs = {name: experiment.spec for name, experiment in results.experiments.items()}
    same = effects(index).loc["accuracy", "same", "all"]
    assert same.parameters_ratio == pytest.approx(specs["same"].parameters / specs["plain"].parameters)
    assert same.flops_ratio > 1
    section = page.split("Padding and filters")[-1]
    assert f"{specs['same'].parameters:,} ×{same.parameters_ratio:.3g}" in section
    assert "−26.67 −41.01 to −12.32 3 lower" in section


@pytest.mark.parametrize(
    ("by_backend", "word", "largest"),
    [
        ([], "", None),
        ([{0: 1.0, 1: 2.0}], "one backend", None),
        ([{0: 1.0, 1: 2.0}, {}], "one backend", None),
        ([{0: 1.0, 1: 2.0, 2: 3.0}, {0: 1.2, 1: 1.9, 2: 3.2}], "agree", 0.1),
        ([{0: 1.0, 1: 2.0, 2: 3.0}, {0: 11.0, 1: 12.1, 2: 13.2}], "differ", 10.1),
        ([{0: 1.0}, {0: 2.0}], "cannot tell", None),
        ([{0: 1.0, 1: 2.0}, {0: 2.0, 1: 3.0}], "cannot tell", 1.0),
        ([{0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}], "agree", 0.0),
    ],
)
def test_whether_backends_agree(by_backend: list[dict[int, float]], word: str, largest: float | None):
    found, difference, _ = agreement(by_backend)
    assert found == word
    assert np.isnan(difference) if largest is None else difference == pytest.approx(largest)


def test_sentences_hedge(page: str):
    assert "dropped: accuracy +13.33 points (−1.01 to +27.68, 3 seeds): cannot tell; 2,0" in page
    assert "Mean over 2 backends, which agree: largest difference 0 points." in page
    assert "same: accuracy −26.67 points (−41.01 to −12.32, 3 seeds): lower" in page
    assert "tanh: no run yet that plain has from the same backend and seed." in page
    tested = re.search(r"Of (\d+) intervals of 95 %, (\d+) excludes? 0; about (\d\.\d) would by chance", page)
    assert tested is not None
    assert float(tested[3]) == pytest.approx(0.05 * int(tested[1]), abs=0.051)


def test_findings_name_the_backends_and_the_effects(results: runs.Results):
    settings = what_settings_do(results, tables.build(results)["effects"])
    assert settings.answer == "Test accuracy is lower with same; for dropped and moved nobody can tell."
    assert settings.page == ("effects.html", "All effects, with their intervals")
    # On beta and seeds 0 to 2: 0.767, 0.9, 0.8, 0.5; tanh has no results, and alpha no run of all.
    ranking = best.read(results)
    means = {place.name: place.mean.mean for place in ranking.places}
    assert means == pytest.approx({"plain": 230 / 3, "dropped": 90, "moved": 80, "same": 50})
    assert "Accuracy is the mean over beta and 3 seeds" in best.over(results, ranking)
    *_, unranked = best.grid(results, ranking, best.elsewhere(results)).groups[0].rows
    assert unranked[:2] == ("–", "tanh")
    assert unranked[-1].startswith("0 of ")


SEEDS = range(10, 14)
"""Of runs on file: the report has none of them."""


@pytest.fixture
def filed(
    results: runs.Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pd.DataFrame]:
    """Put runs of other seeds on file, given as {experiment: accuracies}; returns the table of effects."""
    monkeypatch.chdir(tmp_path)

    def put(name: str, accuracies: dict[str, list[float]], seeds: range = SEEDS) -> pd.DataFrame:
        known = reference.described(results)
        trained = {
            name: known[name].model_copy(
                update={
                    "runs": {"beta/cpu": {s: {"accuracy": a} for s, a in zip(seeds, found, strict=False)}}
                }
            )
            for name, found in accuracies.items()
        }
        made = reference.Made(
            config="c.yaml", date="2026-01-02", commits=["abc"], harness="h", machines=[], backends={}
        )
        reference.write(
            REFERENCES / f"{name}.json", reference.Reference(schema=1, made=made, experiments=trained)
        )
        return tables.build(results)["effects"].set_index(["metric", "experiment", "backend"])

    return put


PLAIN = [0.8, 0.8, 0.7, 0.8]


@pytest.mark.parametrize(
    ("same", "word"),
    [
        ([0.5, 0.5, 0.5, 0.6], "with other seeds too"),
        ([0.7, 0.9, 0.6, 0.8], "not with other seeds"),
        ([0.9, 0.9, 0.9, 0.9], "not with other seeds"),  # they say the opposite
        ([0.5], "not asked of other seeds"),
    ],
)
def test_an_effect_is_asked_of_the_seeds_that_references_have(filed, results, same: list[float], word: str):
    frame = filed("other", {"plain": PLAIN, "same": same})
    row = frame.loc["accuracy", "same", "all"]
    assert (row.replication, row.other_n) == (word, len(same))
    differences = 100 * (np.array(same) - PLAIN[: len(same)])
    assert row.other_mean == pytest.approx(differences.mean())
    assert row.other_low == pytest.approx(estimate(list(differences)).low, nan_ok=True)
    assert frame.loc["cross_entropy", "same", "all"].other_n == 0, "the reference has no such measure"
    assert frame.loc["accuracy", "moved", "all"].replication == "", "no effect is told"
    told = what_settings_do(results, frame.reset_index()).answer
    mark = " (not with other seeds)" if word == "not with other seeds" else ""
    assert told == f"Test accuracy is lower with same{mark}; for dropped and moved nobody can tell."


def test_what_other_seeds_say_stands_wherever_an_effect_is_told(filed, config: Config, tmp_path: Path):
    filed("other", {"plain": PLAIN, "same": [0.7, 0.9, 0.6, 0.8]})
    index = build(runs.read(replace(config, reports=tmp_path / "reports")))
    effects, summary = plain(index.with_name("effects.html")), plain(index)
    said = "−2.50 (−17.73 to +12.73, 4 seeds)"
    assert f"(−41.01 to −12.32, 3 seeds): lower, not with other seeds: {said}" in effects
    assert "lower not again −17.73 to +12.73" in effects, "the table"
    assert "−26.67 −41.01 to −12.32 3 lower, not with other seeds" in effects, "the costs of padding"
    assert "With other seeds 0 of 1 do so again; " in effects
    assert "Test accuracy is lower with same (not with other seeds)" in summary
    assert re.search(
        r"the intervals of (\d) exclude 0; .* With other seeds 0 of the \1 do so again\.", summary
    )


def test_seeds_of_the_report_itself_are_no_other_seeds(filed):
    row = filed("own", {"plain": PLAIN, "same": [0.5, 0.5, 0.5, 0.6]}, range(4)).loc[
        "accuracy", "same", "all"
    ]
    assert (row.other_n, row.replication) == (1, "not asked of other seeds")


def ranking_of(wrong: list[int]) -> dict[tuple[Side, int], float]:
    return {(Side("beta", "cpu"), seed): 100 - 10.0 * n for seed, n in enumerate(wrong)}


def test_places_are_ranked_again_by_other_seeds(filed, results: runs.Results):
    filed("other", {"plain": PLAIN, "same": [0.5, 0.5, 0.5, 0.6], "dropped": [0.8, 0.9, 0.7, 0.8]})
    ranking, others = best.read(results), best.elsewhere(results)
    assert {place.name: place.label for place in others.places} == {
        "plain": "1–2",
        "dropped": "1–2",
        "same": "3",
    }
    assert ranking.again(others) == len(
        {pair for pair in ranking.winners if "same" in pair} - {("moved", "same")}
    )
    first = rank({"plain": ranking_of([2, 2, 3]), "same": ranking_of([5, 5, 5])})
    assert best.card(results, first, others).answer == "plain, ahead of the other, but not with other seeds."
    assert best.card(results, first, first).answer == "plain, ahead of the other."
    assert best.card(results, first, first).tone == "good"
    rows = {row[1]: row[3] for row in best.grid(results, ranking, others).groups[0].rows}
    assert (rows["plain"], rows["same"], rows["moved"]) == ("1–2", "3", "–")


def test_whole_network_is_measured_on_the_images_of_its_inside(index: Path, results: runs.Results):
    class Labels:
        """Says which labels it was given."""

        def subnetworks(self, state, images, labels, seed):
            return list(labels)

        def knockouts(self, *args):
            return []

    class Split:
        def __init__(self, count: int) -> None:
            self.images, self.labels = np.zeros(count), np.arange(count)

        def __len__(self) -> int:
            return len(self.labels)

    for count in (10, 1_000, 2_345):
        dataset = SimpleNamespace(test=Split(count), transform=lambda images, dtype: images)
        seen = cell._inside(Labels(), {}, dataset, Fake(results.config).cell("plain", "alpha", 0))
        np.testing.assert_array_equal(seen, looked_at(count))
    frame = table(index, "inside").set_index(["experiment", "what", "metric", "level"]).sort_index()
    whole = frame.loc["dropped", "whole", "accuracy"].iloc[0]
    assert (whole["mean"], whole.n, whole.images) == (pytest.approx((0.9 + 0.9 + 0.95) / 3), 3, 10)
    assert frame.minus_whole["dropped", "subnetworks", "accuracy", 50.0] == pytest.approx(-0.1)
    assert frame.minus_whole["dropped", "knocked_out", "accuracy", 0.5] == pytest.approx(-0.1)
    assert frame.minus_whole["plain", "knocked_out", "accuracy", 0.5] == pytest.approx(
        -(0.3 + 0.4 + 2 * 0.3) / 4
    )


def test_claims_about_dropout_come_with_intervals(page: str, results: runs.Results):
    half = T2 * 0.01 / np.sqrt(3)
    slope = (
        f"−0.500; the 95 % interval {text.points(-0.5 - half, 3)} to {text.points(-0.5 + half, 3)} includes"
    )
    assert f"from 0.8 to 0.11. On logarithmic axes its slope is {slope} the −0.500 of 1/√N" in page
    assert "the mean of 50 subnetworks, minus the same network with dropout off: test accuracy −10.00" in page
    lost = estimate([20, 30, 20])  # what dropout saves: 0.3, 0.4, 0.3 less 0.1
    interval = text.interval(lost)
    assert f"minus that of plain: +23.33 points ({interval}, 3 seeds): it loses less." in page
    assert dropout.shown_knockouts(results, inside(results)) == ["plain", "dropped", "moved", "same"]


def test_a_slope_that_is_not_that_of_chance_is_told(results: runs.Results):
    found = inside(results)
    for (name, what, level, metric), values in found.items():
        if (name, what, metric) == ("dropped", "subnetworks", "expectation_error"):
            values.runs = {run: level**-0.2 * (1 + 0.001 * run[1]) ** level for run in values.runs}
    (sentence,) = dropout.expectation_sentences(results, found)
    assert "excludes the −0.500 of 1/√N" in sentence


def test_the_baseline_is_compared_on_the_backends_that_ran_more(config: Config):
    wanted = {key for key in config.wanted if key[0] == "plain" or (key[0], key[1]) == ("dropped", "alpha")}
    some = runs.read(replace(config, wanted=frozenset(wanted)))
    assert [side.backend for side in some.compared] == ["alpha"]
    sides = {side.backend for values in inside(some).values() for side, _ in values.runs}
    assert sides == {"alpha"}
    alone = runs.read(replace(config, wanted=frozenset(key for key in wanted if key[0] == "plain")))
    assert alone.compared == alone.trained


def test_a_network_without_knockouts_is_compared_with_itself_whole(results: runs.Results):
    run = next(run for run in results.runs if run.usable and run.cell.name == "dropped")
    rows = [row for row in run.metrics["measurements"] if not row["condition"].startswith("knocked_out")]
    one = replace(results, runs=[replace(run, metrics=run.metrics | {"measurements": rows})])
    assert ("dropped", "whole", "accuracy") in {(name, what, metric) for name, what, _, metric in inside(one)}


def test_changed_images_of_one_source_are_told(results: runs.Results):
    first, *others = results.runs
    changed = first.provenance | {"identity": first.provenance["identity"] | {"data": "e" * 64}}
    mixed = replace(results, runs=[replace(first, provenance=changed), *others])
    assert "from changed images of one source" in sameness(mixed)
    assert "from changed images" not in sameness(results)


def test_coloured_digits_keep_their_colours(results: runs.Results, caplog: pytest.LogCaptureFixture):
    run = augmented.run_of(results)
    assert run is not None
    svg = augmented.sheet(run, np.full((12, 28, 28, 3), 130, np.uint8)).svg
    assert not caplog.text  # matplotlib says so when it clips colours
    assert svg.count("<image") == 1 + augmented.SHOWN


def test_contact_sheet_shows_what_training_draws(results: runs.Results):
    assert augmented.experiment_of(results) == "moved"
    drawn = augmented.draws(8)  # the batch size of this config: four steps for 31 images
    np.testing.assert_array_equal(drawn[8:16], augmentation(0, 2, 8))
    assert len(drawn) == augmented.SHOWN
    np.testing.assert_array_equal(augmented.draws(64), augmentation(0, 1, 64)[: augmented.SHOWN])
    run = augmented.run_of(results)
    assert run is not None
    caption = augmented.sheet(run, np.zeros((12, 28, 28, 1), np.uint8)).caption
    assert caption.startswith("Image 10 of mnist-5k, the first that is no test image")
    assert "rotated by up to 30°" in caption
    assert "sheared" not in caption


@pytest.mark.parametrize("label", ["relu", "leaky_relu 0.01", "swish", "tanh"])
def test_formulas(label: str):
    values, derivative = formula(label, GRID)
    smooth = np.abs(GRID) > 0.1  # away from kinks
    np.testing.assert_allclose(np.gradient(values, GRID)[smooth][1:-1], derivative[smooth][1:-1], atol=1e-3)
    at_zero = {"relu": 0, "leaky_relu 0.01": 0.01, "swish": 0.5, "tanh": 1}[label]
    assert derivative[80] == pytest.approx(at_zero)


def test_functions_and_dead_units(index: Path, page: str, config: Config, tmp_path: Path):
    frame = table(index, "functions")
    assert set(zip(frame.function, frame.backend, strict=True)) == {("relu", "alpha"), ("relu", "beta")}
    assert "relu max(z, 0) 2 backends 4, slope 1 0, slope 0 0 0.00 to 1.00 0" in page
    assert "plain: most in activation1, 6.25 % of its units (" in page  # 25 % with one seed of four

    def off(path: Path) -> str:
        """The same where a backend computes another slope at one place."""
        arrays = dict(np.load(path))
        arrays["relu/derivative"] = np.where(arrays["z"] == 2, 0.75, arrays["relu/derivative"])
        write_npz(path, arrays)
        return plain(build(runs.read(replace(config, reports=tmp_path))).with_name("effects.html"))

    path = config.folder(Fake(config).cell("plain", "beta", 0)) / "functions.npz"
    before = path.read_bytes()
    try:
        assert "0.00 to 1.00 0.25" in off(path)
    finally:
        path.write_bytes(before)


def test_learning_curve(index: Path, page: str):
    frame = table(index, "learning_curve").set_index(["experiment", "train_size", "backend"])
    assert list(dict.fromkeys(frame.index.get_level_values(1))) == [100, 400, 3_500]
    assert set(frame.index.get_level_values(2)) == {"beta", "all"}  # alpha has no smaller set
    small = frame.loc["moved", 100, "all"]  # against 6 wrong: 20, 10, 10
    assert (small["mean"], small.n) == (pytest.approx(16 / 30), 3)
    half = T2 * (10 / np.sqrt(3)) / np.sqrt(3)
    found = (small.effect_points, small.effect_low_points, small.effect_high_points, small.effect_n)
    assert found == pytest.approx((40 / 3, 40 / 3 - half, 40 / 3 + half, 3))
    assert (frame.n["moved", 400, "all"], frame.effect_n["moved", 400, "all"]) == (2, 2)
    assert (frame.epochs["moved", 100, "all"], frame.epochs["moved", 400, "all"]) == (2, 3)
    assert frame.n["plain", 3_500, "all"] == 4
    assert frame.effect_n["plain", 100, "all"] == 0  # the baseline against itself
    assert "moved − plain: with 100 images +13.33 points" in page
    assert "with 3,500 images 0.00 points" in page


def test_one_seed_has_no_intervals(only: Callable[..., str]):
    text = only(lambda key: key[-1] == 0)
    assert "1 seed: no intervals" in text
    assert "dropped: accuracy +10.00 points (n = 1: no interval): cannot tell. Mean over 2 backends" in text
    assert "None of the differences has a 95 % interval yet." in text
    assert "n = 1: no interval, so nobody can tell whether it differs from the −0.500" in text


def test_what_a_config_leaves_out_is_said(only: Callable[..., str]):
    text = only(lambda key: key[0] in ("plain", "tanh"))
    assert "No completed run has dropout" in text
    assert "No experiment of this config augments its images." in text
    assert "No experiment of this config has other parameters or FLOPs than plain." in text
    assert "This config has no learning curves" in text


def test_without_the_baseline_there_is_nothing_to_compare_with(only: Callable[..., str]):
    text = only(lambda key: key[0] == "moved")
    assert "What do the settings do? Nothing to compare yet." in text
    assert "moved: no run yet that plain has" in text


def test_baseline_alone(only: Callable[..., str]):
    assert "There is only one experiment" in only(lambda key: key[0] == "plain")


def test_counts_of_seeds():
    assert text.seeds([]) == "0 seeds: no intervals"
    assert text.seeds([1, 1]) == "1 seed: no intervals"
    assert text.seeds([3, 5, 3]) == "3 to 5 seeds: intervals are wide"
    assert text.seeds([1, 3]) == "1 to 3 seeds: intervals are wide, or there is none"
    assert text.seeds([3, 10]) == "3 to 10 seeds: some intervals are wide"
    assert text.seeds([10, 10]) == "10 seeds"
