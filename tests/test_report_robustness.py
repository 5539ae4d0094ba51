"""Results under attack: the page, its tables and its warnings, from accuracies that were chosen by hand."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_results import REASON, Fake, plain, project, table, write_images

from lockstep.attacks import honesty
from lockstep.check import REFERENCES
from lockstep.check.reference import Made, Reference, Trained, described
from lockstep.check.reference import write as write_reference
from lockstep.config import Config
from lockstep.report import build, grids, runs
from lockstep.report.effects import replication
from lockstep.report.robustness import (
    attacked,
    carried,
    checks,
    corrupted,
    curves,
    defences,
    heat,
    lead,
    published,
    replicated,
)
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import Side
from lockstep.statistics import estimate

CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [alpha, beta, ghost]
seeds: [0, 1, 2]
base:
  model:
    layers:
      - {{kind: flatten}}
      - {{kind: dense, units: 10}}
  training: {{epochs: 2, batch_size: 8}}
experiments:
  plain: {{}}
  defended: {{regularisation: {{adversarial: {{attack: pgd, eps: 0.3, steps: 7}}}}}}
  noisy: {{regularisation: {{image_noise: 0.2}}}}
  alone: {{optimizer: {{learning_rate: 1.0e-2}}}}
attacks:
  images: 10
  names: [fgsm, pgd]
  eps: [0.1, 0.3]
  shown: 0.1
  steps: 2
  strong: {{runs: [{{experiments: [defended]}}], steps: 3, restarts: 2}}
  runs:
    - {{experiments: [plain], backends: [alpha, beta]}}
    - {{experiments: [defended, noisy], backends: [alpha]}}
"""
PLAIN = {"fgsm=0.1": 0.6, "fgsm=0.3": 0.2, "pgd=0.1": 0.5, "pgd=0.3": 0.1, "worst=0.3": 0.1}
PLAIN |= {"fgsm_float32=0.1": 0.6, "fgsm_float32=0.3": 0.2, "universal": 0.9, "corruption=stripe": 0.4}
WORST = {0: 0.5, 1: 0.4, 2: 0.3}
"""Of the baseline at eps 0.1, by seed."""


def transferred(source, target) -> float:
    """Own 0.5, the same seed on the other backend 0.6, another seed 0.8; one pair stands out."""
    if (source.backend, source.seed, target.backend, target.seed) == ("alpha", 0, "beta", 0):
        return 0.7
    if source.seed == target.seed:
        return 0.5 if source.backend == target.backend else 0.6
    return 0.8


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """Of the baseline on beta one run failed and one is missing; one run of a defence diverged."""
    with project(tmp_path_factory.mktemp("robustness"), CONFIG) as config:
        made = Fake(config)
        for seed in range(3):
            for name, backend in (
                ("plain", "alpha"),
                ("plain", "beta"),
                ("defended", "alpha"),
                ("noisy", "alpha"),
            ):
                cell = made.cell(name, backend, seed)
                diverged = (name, seed) == ("defended", 2)
                made.write(cell, wrong=1 + (seed == 2), outcome="diverged" if diverged else "completed")
        for seed, worst in WORST.items():
            made.attack(made.cell("plain", "alpha", seed), PLAIN | {"worst=0.1": worst}, saturated=0.1)
        made.attack(made.cell("plain", "beta", 0), PLAIN | {"worst=0.1": 0.3, "pgd=0.1": 0.4})
        made.fail_attack(made.cell("plain", "beta", 1))
        for seed in (0, 1):
            made.attack(
                made.cell("defended", "alpha", seed),
                {"worst=0.1": WORST[seed] + 0.3 + 0.1 * seed, "strong_pgd": 0.6},
            )
        made.attack(made.cell("defended", "alpha", 2), {}, outcome="diverged", measurements=[])
        for seed in range(3):  # one step finds what two do not, in two of three seeds
            low = {"fgsm=0.1": 0.5 if seed else 0.8, "pgd=0.1": 0.8, "worst=0.1": 0.5}
            low |= {"fgsm=0.3": 0.4, "pgd=0.3": 0.4}
            made.attack(made.cell("noisy", "alpha", seed), low)
        for backend in ("alpha", "beta"):
            made.transfer(backend, transferred)
        write_images(config, np.zeros((10, 28, 28, 1), np.uint8))
        yield config


@pytest.fixture(scope="module")
def robustness(config: Config) -> Robustness:
    found = attacked.read(runs.read(config))
    assert found
    return found


@pytest.fixture(scope="module")
def index(config: Config) -> Path:
    return build(runs.read(config))


@pytest.fixture(scope="module")
def page(index: Path) -> str:
    return plain(index.with_name("robustness.html"))


def test_every_attacked_run_has_an_outcome(robustness: Robustness, page: str):
    outcomes = {str(each.run.cell): each.outcome for each in robustness.runs}
    assert len(outcomes) == 3 + 3 + 3 + 3
    assert outcomes["plain/beta/cpu/seed-0"] == "completed"
    assert outcomes["plain/beta/cpu/seed-1"] == "failed"
    assert outcomes["plain/beta/cpu/seed-2"] == "missing"
    assert outcomes["defended/alpha/cpu/seed-2"] == "diverged"
    assert "9 of 12 runs attacked" in page
    assert html.escape(REASON) in page
    assert "not attacked yet; see the logs in" in page
    assert "nothing to attack: the loss became NaN" in page


@pytest.mark.parametrize(
    ("others", "steps", "word"),
    [
        ([0.9, 0.8, 0.9], 2, "with other seeds too"),
        ([0.5, 0.1, 0.9], 2, "not with other seeds"),
        ([0.9, 0.8, 0.9], 7, "not asked of other seeds"),  # other attacks are another question
    ],
)
def test_what_a_defence_keeps_is_asked_of_other_seeds(
    robustness: Robustness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others, steps: int, word: str
):
    known = described(robustness.results)

    def trained(name: str, values: list[float]) -> Trained:
        seeds = {10 + n: {"accuracy under worst=0.1": value} for n, value in enumerate(values)}
        how = (known[name].attacks or {}) | {"steps": steps}
        return known[name].model_copy(update={"runs": {"alpha/cpu": seeds}, "attacks": how})

    experiments = {"plain": trained("plain", [0.3, 0.4, 0.4]), "defended": trained("defended", others)}
    monkeypatch.chdir(tmp_path)
    made = Made(config="c", date="", commits=[], harness="", machines=[], backends={})
    write_reference(REFERENCES / "other.json", Reference(schema=1, made=made, experiments=experiments))
    # With two seeds the interval of the change, 30 and 40 points, includes 0; with more it would not.
    change = estimate([30.0, 40.0, 35.0])
    assert replicated.verdicts(robustness)("defended", "worst=0.1", change) == f"higher, {word}"
    assert replicated.verdicts(robustness)("noisy", "worst=0.1", estimate([1.0, -1.0])) == "cannot tell"
    patched = replace(robustness)
    monkeypatch.setattr(Robustness, "change", lambda self, name, condition: change)
    mark = f"defended{' (not with other seeds)' if word == replication.NO else ''}"
    assert any(f"is higher with {mark} and noisy" in each for each in lead.answer(patched)[1])
    assert word in dict(defences.sentences(patched))["defended"]


def test_the_table_holds_every_number_of_the_files(index: Path, config: Config):
    frame = table(index, "attacks")
    folder = config.attack_folder(Fake(config).cell("plain", "alpha", 1))
    written = json.loads((folder / "attacks.json").read_text())["measurements"]
    mine = frame[(frame.experiment == "plain") & (frame.backend == "alpha") & (frame.seed == 1)]
    assert sorted(mine.value) == sorted(row["value"] for row in written)
    at = mine.set_index(["attack", "level", "metric"]).value
    assert at["worst", 0.1, "accuracy"] == 0.4
    assert at["clean", 0.0, "saturated"] == 0.1
    assert at["shift", 8.0, "accuracy"] == 0.9
    stripe = mine[mine.attack == "stripe"]
    assert (stripe.value.item(), np.isnan(stripe.level.item()), stripe.n.item()) == (0.4, True, 10)
    # Beside those: the strong attacks on two runs, noise at inference on three.
    assert len(frame) == 9 * len(mine) + 2 * 7 + 3 * 3


def test_means_are_over_seeds_and_differences_paired(robustness: Robustness, page: str):
    worst = robustness.estimate("plain", "worst=0.1")
    assert robustness.compared == [Side("alpha", "cpu")]  # the others are attacked there alone
    assert worst == estimate([50.0, 40.0, 30.0])
    change = robustness.change("defended", "worst=0.1")
    assert (change.n, change.mean) == (2, pytest.approx(35))
    kept = "defended: 80.0 % survive the attacks tried at eps 0.1 (over images 49.0 to 94.3, over 2 seeds "
    assert f"{kept}all equal: no interval)" in page
    assert "against plain +35.0 points (−28.5 to +98.5, 2 seeds): cannot tell" in page
    row = next(row for row in defences.grid(robustness).groups[0].rows if row[0] == "plain")
    assert row[1:3] == ("90.0", "60.0")
    assert row[3].endswith("</abbr> ≤\N{NO-BREAK SPACE}50.0")  # of seeds 1 and 2, APGD leaves less
    assert row[5:8] == ("16.8 to 68.7", "15.2 to 64.8", "3")


def test_a_failed_check_stands_beside_its_numbers(robustness: Robustness, index: Path, page: str):
    frame = table(index, "robustness_checks")
    failed = frame[~frame.passed]
    weak = failed[failed.check == honesty.iterations_help(0, 0).name]
    assert list(weak.experiment + weak.seed.astype(str)) == ["noisy1", "noisy2"]
    plain = failed[(failed.experiment == "plain") & (failed.about == "attack")]
    # PGD leaves 50 %, all attacks together 50, 40 and 30: of the last two runs an upper bound.
    assert set(plain.check) == {honesty.is_not_behind(0, 0, "").name}
    assert list(plain.backend + plain.seed.astype(str)) == ["alpha1", "alpha2", "beta0"]
    assert (
        "noisy, alpha: not true that PGD is at least as strong as FGSM. Seed 1, PGD, eps 0.1: accuracy 80.0 %"
        in page
    )
    rows = {row[0]: row for row in defences.grid(robustness).groups[0].rows}
    noise, fgsm, pgd, worst = rows["noisy"][1:5]
    # Where APGD was tried, the worst case does not rest on PGD.
    assert ("⚠" in noise, "⚠" in fgsm, "⚠" in pgd, "⚠" in worst) == (False, False, True, False)
    assert 'title="alpha, seed 0: not true that' in pgd
    assert ["⚠" in cell for cell in rows["plain"][1:5]] == [False, False, True, False]
    assert "noisy, with that noise at inference too: 90.0 % without attack; PGD of eps 0.1 leaves" in page
    assert 'id="figure-hidden_units"' in index.with_name("robustness.html").read_text()
    assert "⚠" in page


HONEST = {"fgsm": 0.8, "pgd": 0.7, "worst_of_names": 0.7, "apgd": 0.69, "apgd_targeted": 0.68, "worst": 0.68}
HONEST |= {"autoattack_fast": 0.68, "square": 0.68, "more_steps": 0.68, "restart": 0.68, "other_loss": 0.68}
HONEST |= {"fgsm=0.3": 0.5, "pgd=0.3": 0.3, "worst=0.3": 0.3, "apgd=0.5": 0.0, "fgsm_float32": 0.8}
HONEST |= {"universal": 0.9, "uniform_noise": 0.9, "fgsm_float32=0.3": 0.5, "autoattack": 0.2}
HONEST |= {"strong_apgd": 0.2, "strong_apgd_targeted": 0.2, "strong_fab": 0.2, "strong_square": 0.2}
HONEST |= {"strong_pgd": 0.2, "unsteady": 0.0}
NUMBERS = [
    ("fgsm", 0.1),
    ("pgd", 0.1),
    ("pgd", 0.3),
    ("worst", 0.1),
    ("worst", 0.3),
    ("autoattack_fast", 0.1),
]
NUMBERS += [("autoattack", 0.3), ("strong_pgd", 0.3)]
CLAIMS = "pgd=0.1 pgd=0.3 worst=0.1 worst=0.3 autoattack_fast=0.1 autoattack=0.3 strong_pgd=0.3"


@pytest.mark.parametrize(
    ("accuracy", "bounds"),
    [
        ({}, ""),
        ({"pgd": 0.79, "pgd=0.3": 0.3}, "pgd=0.1 pgd=0.3"),  # weak at one eps, weak at every one
        ({"worst_of_names": 0.75}, "worst=0.3"),  # where APGD was not tried, what was is too weak
        (
            {"pgd": 0.62, "worst_of_names": 0.62, "worst": 0.62},
            "worst=0.1 autoattack_fast=0.1",
        ),  # PGD beats APGD
        ({"more_steps": 0.6}, CLAIMS),
        ({"restart": 0.6}, CLAIMS),
        ({"other_loss": 0.6}, CLAIMS),
        ({"other_loss": 0.66}, ""),
        ({"square": 0.66}, f"fgsm=0.1 {CLAIMS}"),
        ({"unsteady": 0.01}, f"fgsm=0.1 {CLAIMS}"),
        ({"apgd=0.5": 0.2}, CLAIMS),
        ({"uniform_noise": 0.6}, "fgsm=0.1 pgd=0.1 worst=0.1 autoattack_fast=0.1"),
        ({"fgsm=0.3": 0.2}, "pgd=0.3 worst=0.3"),
        ({"universal=0.3": 0.99}, ""),
        ({"strong_pgd": 0.18}, "autoattack=0.3 strong_pgd=0.3"),
        ({"strong_pgd": 0.3}, "strong_pgd=0.3"),
        ({"strong_fab": 0.25}, f"fgsm=0.1 {CLAIMS}"),
        ({"fgsm_float32": 0.99}, ""),
    ],
)
def test_a_failed_check_makes_upper_bounds(robustness: Robustness, accuracy: dict[str, float], bounds: str):
    first = next(each for each in robustness.runs if each.run.cell.name == "defended")
    known = HONEST | accuracy

    def value(condition: str, metric: str, before: float) -> float:
        name = condition.partition("=")[0] if metric == "accuracy" else metric
        return known.get(condition, known.get(name, before))

    numbers = {key: (value(*key, before), n) for key, (before, n) in first.numbers.items()}
    judged = checks.judge(replace(robustness, runs=[replace(first, numbers=numbers, distances=None)]))
    told = {
        f"{attack}={eps:g}": checks.upper_bound(judged, "defended", attack, eps) for attack, eps in NUMBERS
    }
    assert {number for number, reasons in told.items() if reasons} == set(bounds.split())
    assert not any(checks.upper_bound(judged, "plain", *number) for number in NUMBERS)
    for reasons in told.values():
        assert all(reason.startswith("alpha, seed 0: not true that") for reason in reasons)


def test_transfer_is_the_right_way_round(robustness: Robustness, index: Path, page: str):
    frame = table(index, "transfer").set_index(
        ["crafted_backend", "crafted_seed", "shown_backend", "shown_seed"]
    )
    assert frame.accuracy["alpha", 0, "beta", 0] == 0.7
    assert frame.accuracy["beta", 0, "alpha", 0] == 0.6
    # A run without results is no row or column: four networks are left.
    assert len(frame) == 4 * 4
    drawn = heat.figure(robustness)
    order = re.findall(r">(\d+)</text>", drawn.svg)
    assert order[3] == "70"  # first row: crafted on alpha's seed 0; last column: shown to beta's
    assert order[12] == "60"
    assert "(the diagonal), accuracy is 50.0 % (4 pairs)" in page
    assert "nearly the same network, accuracy is 65.0 % on average (60.0 % to 70.0 %, 2 pairs)" in page
    assert "another seed, which started from other weights, accuracy is 80.0 % (10 pairs)" in page


def test_missing_or_damaged_transfer_is_told(config: Config, tmp_path: Path):
    path = config.results / "transfer/beta/cpu.json"
    kept = path.read_text()
    try:
        for content, said in (("{}", "damaged results"), (None, "no result yet")):
            path.unlink() if content is None else path.write_text(content)
            found = attacked.read(runs.read(config))
            assert f"Not shown yet: beta: {said}" in " ".join(carried.sentences(found))
            assert heat.figure(found)
    finally:
        path.write_text(kept)


def test_backends_are_compared_on_the_seeds_they_share(robustness: Robustness):
    assert curves.shared(robustness) == [0]
    rows = {(row.attack, row.eps): row for row in curves.beside(robustness)}
    assert rows["worst", "0.1"].means == pytest.approx([50, 30])
    assert "by 20.0 points, which is 2.0 of 10 images" in curves.agreement(robustness)


def test_the_lead_and_the_finding(robustness: Robustness, index: Path):
    answer, details = lead.answer(robustness)
    assert answer.startswith("Yes: attacks of eps 0.1 take the accuracy of plain from 90.0 % to 40.0 %")
    assert "noise of the same size leaves 90.0 %" in answer
    assert "It falls by 50.0 points (25.2 to 74.8)" in details[0]
    assert "the worst case of FGSM, PGD and AutoAttack (fast) on 10 test images" in details[0]
    assert "over images 16.8 to 68.7 (10 attacked), over seeds 15.2 to 64.8 (3 seeds)" in details[1]
    assert "3 of 12 runs to attack have no result." in details
    source = index.read_text()
    assert "Can the network be fooled?" in source
    assert source.count('href="robustness.html"') == 2
    for name in ("conformance", "effects"):
        assert 'href="robustness.html"' in index.with_name(f"{name}.html").read_text()


def test_the_best_is_named_only_where_intervals_tell(robustness: Robustness):
    runs = robustness.of("plain", Side("alpha", "cpu"))
    assert corrupted.best(robustness, "corruption=stripe") is None  # two experiments are alike
    lower = {
        each.run.cell.seed: dict(each.numbers)
        | {("clean", "accuracy"): (0.5 + 0.01 * each.run.cell.seed, 10)}
        for each in runs
    }
    changed = [replace(each, numbers=lower[each.run.cell.seed]) for each in runs]
    two = replace(robustness, runs=[*changed, *robustness.of("noisy")])
    assert corrupted.best(two, "clean") == "noisy"


def test_published_figures_stand_beside_measured_ones(robustness: Robustness, page: str):
    groups = {group.title: group for group in published.grid(robustness).groups}
    assert list(groups) == ["Published", "plain", "defended"]  # noise is no adversarial training
    assert "trained on PGD of eps 0.3, 7 steps" in groups["defended"].note
    rows = {row[1]: row[2:] for row in groups["defended"].rows}
    expected = ("60.0", "31.3 to 83.2", "all equal: no interval", "10", "2")
    assert rows["PGD, 3 steps of 0.83 eps, 2 restarts"] == expected
    assert not any("restarts" in row[1] for row in groups["plain"].rows)
    assert "10 test digits were attacked" in page


def test_figures_and_ids(index: Path):
    source = index.with_name("robustness.html").read_text()
    names = {"attacks", "defences", "tradeoff", "gallery", "for_all", "class_patterns", "transfer"}
    names |= {"any_eps", "hidden_units", "corruptions", "shifts", "reliability"}
    assert set(re.findall(r'<figure id="figure-(\w+)"', source)) == names
    assert all(len(alt) > 20 for alt in re.findall(r'role="img" aria-label="([^"]*)"', source))
    ids = re.findall(r'\bid="([^"]*)"', source)
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'href="([^"]*)"', source):
        if reference.startswith("#"):
            assert reference[1:] in ids, reference
        elif not reference.startswith("data:"):
            assert (index.parent / reference).is_file(), reference


def test_without_results(config: Config, tmp_path: Path):
    made = build(runs.read(replace(config, results=tmp_path / "nowhere", reports=tmp_path / "reports")))
    text = plain(made.with_name("robustness.html"))
    assert "Can the network be fooled? Not measured yet." in text
    assert "0 of 12 runs attacked" in text
    assert "Nothing to check yet." in text
    assert "No run of the baseline has been attacked yet." in text
    assert table(made, "attacks").empty


def test_a_config_without_attacks_says_how_to_ask(config: Config, tmp_path: Path):
    made = build(runs.read(replace(config, attacks=None, reports=tmp_path)))
    text = plain(made.with_name("robustness.html"))
    assert "This config attacks nothing. With a section attacks: {}" in text
    assert "Can the network be fooled?" not in made.read_text()
    assert table(made, "robustness_checks").empty


def test_what_an_experiment_changes_has_the_eps_of_its_attacks(robustness: Robustness):
    """The optimizer has an eps too."""
    told = dict(grids.experiments(robustness.results).groups[0].rows)
    assert told["defended"] == "attack pgd, eps 0.3, steps 7"


def test_only_the_baseline_is_attacked(config: Config, tmp_path: Path):
    first = replace(config, experiments={"plain": config.experiments["plain"]}, reports=tmp_path)
    found = attacked.read(runs.read(first))
    assert found.compared == [Side("alpha", "cpu"), Side("beta", "cpu")]
    assert found.estimate("plain", "worst=0.1") == estimate([40.0, 40.0, 30.0])  # seed 0: mean of both
    assert "No attacked experiment of this config trains on attacked images" in plain(
        build(runs.read(first)).with_name("robustness.html")
    )


@pytest.mark.parametrize(
    ("file", "content", "outcome", "reason"),
    [
        ("attacks.json", b"{", "missing", "damaged or incomplete results"),
        ("attacks.json", b'{"schema": 1}', "missing", "damaged or incomplete results"),
        ("attacks.npz", b"no zip", "missing", "damaged or incomplete results"),
        ("attacks.npz", None, "missing", "damaged or incomplete results"),
        ("attacks.json", None, "missing", "not attacked yet"),
    ],
)
def test_damaged_files(
    config: Config, tmp_path: Path, file: str, content: bytes | None, outcome: str, reason: str
):
    made = Fake(replace(config, results=tmp_path))
    cell = made.cell("plain", "alpha", 0)
    made.write(cell, wrong=1)
    made.attack(cell, PLAIN)
    path = made.config.attack_folder(cell) / file
    path.unlink() if content is None else path.write_bytes(content)
    first = attacked.read(runs.read(made.config)).runs[0]
    assert (first.outcome, first.reason.startswith(reason)) == (outcome, True)


def test_results_of_other_settings_are_stale(config: Config, tmp_path: Path):
    made = Fake(replace(config, results=tmp_path))
    cell = made.cell("plain", "alpha", 0)
    made.write(cell, wrong=1)
    made.attack(cell, PLAIN)
    more = config.attacks.model_copy(update={"steps": 3})
    fewer = config.attacks.model_copy(update={"runs": config.attacks.runs[:1]})  # the numbers are the same
    for settings, outcome in ((more, "stale"), (fewer, "completed")):
        found = attacked.read(runs.read(replace(made.config, attacks=settings)))
        assert found.runs[0].outcome == outcome
