"""Accuracies under attack wherever they stand: upper bounds, both intervals, the field's standard set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from fake_results import Fake, plain, project, table
from rich.console import Console
from scipy.stats import binomtest

from lockstep.check import CLAIMS, measures, reference
from lockstep.check.evidence import of_share
from lockstep.check.judge import judge
from lockstep.compare import page, terminal
from lockstep.compare.comparison import compare
from lockstep.compare.read import opened
from lockstep.config import Config
from lockstep.report import build, runs
from lockstep.report.robustness import attacked, bounds, checks, defences, published, standard
from lockstep.report.robustness.attacked import Robustness
from lockstep.results import read_npz, write_npz, write_text

CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [alpha]
seeds: [0, 1]
base:
  model:
    layers:
      - {{kind: flatten}}
      - {{kind: dense, units: 10}}
  training: {{epochs: 2, batch_size: 8}}
experiments:
  plain: {{}}
  defended: {{regularisation: {{adversarial: {{attack: pgd, eps: 0.3, steps: 7, trades: 6}}}}}}
attacks:
  images: 10
  names: [fgsm, pgd]
  eps: [0.1, 0.3]
  shown: 0.3
  steps: 4
  step: madry
  strong: {{images: 10, steps: 5, restarts: 2, runs: [{{experiments: [defended]}}]}}
"""
ATTACKS = ("fgsm", "pgd", "universal", "apgd", "apgd_targeted", "autoattack_fast", "worst", "worst_of_names")
FURTHER = ("more_steps", "restart", "other_loss", "square")
LEFT = {"plain": 0.2, "defended": 0.7}
"""By every attack, at every eps."""
STRONG = {"pgd": 0.6, "apgd": 0.6, "apgd_targeted": 0.6, "fab": 0.6, "square": 0.6}
WEAK = {"more_steps=0.3": 0.0}
"""More steps find what the worst case does not have: a number that is an upper bound."""
DISTANCES = np.array([0, 0.05, 0.2, 0.35, 0.35, 0.38, 0.4, 0.4, 0.5, np.inf])


def attack(fake: Fake, name: str, seed: int, changed: dict[str, float]) -> None:
    """All that was measured agrees, but for what is changed."""
    cell = fake.cell(name, "alpha", seed)
    strong = {f"strong_{part}": left for part, left in STRONG.items()}
    same = dict.fromkeys((*ATTACKS, *FURTHER), LEFT[name]) | {"apgd=0.5": 0.0, "autoattack": 0.6}
    fake.attack(cell, same | strong | changed)
    if name == "defended":
        path = fake.config.attack_folder(cell) / "attacks.npz"
        write_npz(path, read_npz(path) | {"strong/distances": DISTANCES})


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """The baseline's attacks are too weak for its numbers; those of the defence are not."""
    with project(tmp_path_factory.mktemp("bounds"), CONFIG) as config:
        fake = Fake(config)
        for name in LEFT:
            for seed in (0, 1):
                fake.write(fake.cell(name, "alpha", seed), wrong=1)
                attack(fake, name, seed, WEAK if name == "plain" else {})
        reference.write(Path("results/reference/fake.json"), reference.of_results(runs.read(config)))
        claim = "{kind: bound, claim: fooled, catches: '-', reference: fake, at_most: 90, measure: '%s'%s}"
        claims = [
            claim % ("accuracy under worst=0.3", ", experiment: plain"),
            claim % ("accuracy under autoattack=0.3", ", experiment: defended"),
        ]
        write_text(CLAIMS, "claims:\n" + "".join(f"  - {each}\n" for each in claims))
        yield config


@pytest.fixture(scope="module")
def robustness(config: Config) -> Robustness:
    found = attacked.read(runs.read(config))
    assert found
    return found


@pytest.fixture(scope="module")
def index(config: Config) -> Path:
    return build(runs.read(config))


def test_a_number_that_the_distances_contradict_is_an_upper_bound(robustness: Robustness):
    near = [replace(each, distances=np.full(10, 0.2)) for each in robustness.of("defended")]
    judged = checks.judge(replace(robustness, runs=near))
    (why, *_) = checks.upper_bound(judged, "defended", "worst", 0.3)
    assert "accuracy 70.0 %, 0.0 % under FAB on 10 images" in why
    assert not checks.upper_bound(judged, "defended", "worst", 0.1)


def test_an_upper_bound_is_written_so_on_every_page(index: Path, robustness: Robustness):
    rows = {row[0]: row for row in defences.grid(robustness).groups[1].rows}
    assert "≤" in rows["plain"][4]
    assert 'title="alpha, seed 0: not true that more steps would find little' in rows["plain"][4]
    assert not any("≤" in cell for cell in rows["defended"])
    page, summary = plain(index.with_name("robustness.html")), plain(index)
    for text in (page, summary):
        assert "from 90.0 % to ⚠ ≤ 20.0 %" in text
        assert "95 % intervals of the ⚠ ≤ 20.0 %: over images 5.7 to 51.0 (10 attacked), over seeds" in text
    assert "Upper bounds (⚠ ≤) of accuracy under attack: plain." in summary
    assert "⚠ ≤ 20.0 % survive the attacks tried at eps 0.3 (over images 5.7 to 51.0, over 2 seeds" in page
    paper = (index.parent / "tables/robustness.tex").read_text()
    assert r"$^{\ast}$ $\leq$ 20.0 (5.7 to 51.0 over images)" in paper
    assert "and targeted APGD" in (index.parent / "tables/autoattack.tex").read_text()
    legends = index.with_name("robustness.html").read_text()
    assert ">plain (≤)</text>" in legends
    assert ">defended (≤)</text>" not in legends


def test_an_upper_bound_is_told_beside_a_claim(config: Config):
    weak, sound = judge(runs.read(config)).verdicts
    assert weak.numbers.endswith("; ⚠ ≤: of plain an upper bound, as a check of the attack failed")
    assert "≤" not in sound.numbers


def test_an_upper_bound_is_marked_in_a_comparison(config: Config, tmp_path: Path):
    other = Fake(replace(config, results=tmp_path / "other"))
    for name in LEFT:
        for seed in (0, 1):
            other.write(other.cell(name, "alpha", seed), wrong=1)
            attack(other, name, seed, {"pgd=0.3": 0.2 + seed / 10})
    out = StringIO()
    with opened([config.results, other.config.results]) as sources:
        found = compare(sources, 0.5, False)
        page.write(found, tmp_path / "compared.html")
        terminal.show(found, Console(file=out, width=300))
    (pair,) = found.pairs
    metrics = {row.metric: row for row in pair.metrics if row.group.experiment == "plain"}
    assert metrics["worst=0.3"].bounds[0][0].startswith("seed 0: not true that more steps would find little")
    assert {"apgd=0.3", "autoattack_fast=0.3"} <= metrics.keys()
    assert {"autoattack=0.3", "strong_fab=0.3"} <= {row.metric for row in pair.metrics}
    warning = "plain on alpha: accuracies under attack that are upper bounds (⚠ ≤)"
    assert warning in out.getvalue()
    read = plain(tmp_path / "compared.html")
    assert "⚠ ≤ 20.00" in read
    assert warning in read


@pytest.mark.parametrize(("right", "n"), [(0, 10), (2, 10), (75, 100), (100, 100), (9281, 10000)])
def test_the_interval_over_images_is_wilsons(right: int, n: int):
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert of_share(right / n, n, 0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)
    low, high = 100 * expected.low, 100 * expected.high
    assert bounds.over_images(100 * right / n, n) == f"{low:.1f} to {high:.1f}"


def test_the_standard_set_part_by_part(robustness: Robustness, index: Path):
    fast, full = standard.grid(robustness).groups
    assert (fast.title, full.title) == ("AutoAttack (fast), eps 0.3", "AutoAttack, eps 0.3")
    assert [row[0] for row in fast.rows] == ["plain", "defended"]
    (row,) = full.rows
    assert row == (
        "defended", "90.0", "60.0", "60.0", "60.0", "60.0", "60.0", "60.0", "31.3 to 83.2",
        "all equal: no interval", "10", "2",
    )  # fmt: skip
    frame = table(index, "attacks").set_index(["experiment", "seed", "attack", "level"])
    assert frame.value["defended", 0, "autoattack", 0.3] == 0.6
    assert frame.upper_bound["plain", 0, "worst", 0.3]
    assert not frame.upper_bound["defended", 0, "worst", 0.3]


def test_accuracy_against_any_eps_from_distances(robustness: Robustness, index: Path):
    (row,) = standard.any_eps(robustness).groups[0].rows
    assert row == ("defended", "0.365", "80.0", "70.0", "20")  # two networks, ten images each
    assert standard.figure(robustness).name == "any_eps"
    assert 'id="figure-any_eps"' in index.with_name("robustness.html").read_text()
    without = replace(robustness, runs=robustness.of("plain"))
    assert standard.any_eps(without) is standard.figure(without) is None


def test_published_figures_have_images_and_attack_beside_ours(robustness: Robustness):
    groups = {group.title: group for group in published.grid(robustness).groups}
    assert groups["Published"].rows[-1] == (
        "Zhang et al. 2019 (TRADES)", "AutoAttack on a network trained by TRADES", "92.81", "92.3 to 93.3",
        "not given", "10,000", "–",
    )  # fmt: skip
    rows = {row[1]: row[2:] for row in groups["defended"].rows}
    assert rows["AutoAttack"] == ("60.0", "31.3 to 83.2", "all equal: no interval", "10", "2")
    assert "PGD, 4 steps of 0.033 eps, as Madry et al." in rows
    assert "PGD, 5 steps of 0.5 eps, 2 restarts" in rows
    assert "by TRADES with weight 6" in groups["defended"].note


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("accuracy under autoattack=0.3", ("autoattack", 0.3)),
        ("accuracy under strong_fab=0.3", ("strong_fab", 0.3)),
        ("accuracy under clean", None),
        ("accuracy", None),
    ],
)
def test_measures_know_their_attack(name: str, found: tuple[str, float] | None):
    assert measures.find(name).name == name
    assert measures.attack(name) == found


def test_references_keep_the_standard_and_the_images_it_was_measured_on(config: Config):
    observed = reference.observe(runs.read(config))["defended"]
    assert observed.values("alpha/cpu", "accuracy under autoattack=0.3") == {0: 60.0, 1: 60.0}
    attacks = observed.attacks | {"strong": observed.attacks["strong"] | {"images": 7}}
    fewer = observed.model_copy(update={"attacks": attacks})
    assert fewer.images("accuracy under autoattack=0.3") == 7
    assert fewer.images("accuracy under worst=0.3") == 10
    assert (observed.attacks["step"], observed.attacks["shown"]) == ("madry", 0.3)
