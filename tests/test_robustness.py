"""Finished runs under attack as the pipeline makes them, on a small network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lockstep import cell as cells
from lockstep import config as configs
from lockstep import discovery, trained
from lockstep.attacks import robustness, suite, transfer
from lockstep.attacks.autoattack import AutoAttack
from lockstep.attacks.fab import FAB
from lockstep.attacks.gradient import PGD
from lockstep.attacks.named import named, taken
from lockstep.attacks.noisy import Noisy
from lockstep.attacks.scores import accuracy_under
from lockstep.attacks.suite import digits
from lockstep.attacks.victim import Victim
from lockstep.backend import Backend
from lockstep.config import Cell, Config
from lockstep.config_file import Attacks
from lockstep.errors import LockstepError
from lockstep.freshness import of_attack, stamp
from lockstep.results import read_npz
from lockstep.training import Watcher

ATTACKS = {"images": 40, "steps": 4, "eps": [0.05, 0.2], "shown": 0.05}


@contextmanager
def silent(total: int) -> Iterator[Callable[[str], None]]:
    yield lambda piece: None


def written(folder: Path, **attacks: object) -> Config:
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": 64}, {"kind": "activation"}]
    content = {
        "results": str(folder / "results"),
        "reports": str(folder / "reports"),
        "backends": ["numpy"],
        "seeds": [0, 1],
        "base": {
            "data": {"train_size": 1500},
            "model": {"layers": [*layers, {"kind": "dense", "units": 10}]},
            "optimizer": {"learning_rate": 0.005},
            "training": {"epochs": 5, "batch_size": 32},
        },
        "experiments": {
            "natural": {},
            "hardened": {"regularisation": {"adversarial": {"attack": "pgd", "eps": 0.1, "steps": 3}}},
            "diverging": {"optimizer": {"learning_rate": 1e30}},
        },
        "attacks": ATTACKS | attacks,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return configs.load(folder / "config.yaml")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    """A config whose natural and hardened runs of seed 0 and 1 are trained and attacked."""
    runs = [{"experiments": ["hardened"], "seeds": [0]}]
    strong = {"eps": 0.1, "images": 12, "steps": 6, "restarts": 2, "runs": runs}
    config = written(tmp_path_factory.mktemp("robustness"), strong=strong)
    for cell in config.cells():
        if cell.name != "diverging" or cell.seed == 0:
            cells.run(config, cell, Watcher())
            robustness.run(config, cell, silent)
    return config


def found(config: Config, name: str, seed: int = 0) -> dict[tuple[str, str], float]:
    """{(condition, metric): value}."""
    content = json.loads((config.attack_folder(cell_of(config, name, seed)) / "attacks.json").read_text())
    return {(row["condition"], row["metric"]): row["value"] for row in content["measurements"]}


def cell_of(config: Config, name: str, seed: int = 0) -> Cell:
    return config.cell(name, "numpy", "cpu", seed)


def opened(config: Config, name: str, count: int = 40) -> tuple[Victim, np.ndarray, np.ndarray]:
    cell = trained.read(config.folder(cell_of(config, name)))
    dataset = cell.dataset()
    return Victim(cell.backend(), dataset.transform, "float32", batch=40), *digits(dataset.test, count)


def test_accuracies_are_those_of_the_attacks_themselves(config):
    victim, images, labels = opened(config, "natural")
    measured = found(config, "natural")
    for name in ("fgsm", "pgd", "pgd_margin", "uniform_noise"):
        for eps in ATTACKS["eps"]:
            options = taken(name, {"steps": 4})
            value = accuracy_under(named(name, eps, **options), victim, images, labels, seed=0)
            assert measured[f"{name}={eps:g}", "accuracy"] == value, (name, eps)
    worst = measured["worst=0.2", "accuracy"]
    assert worst <= min(measured[f"{name}=0.2", "accuracy"] for name in ("fgsm", "pgd", "pgd_margin"))
    assert measured["clean", "accuracy"] > 0.7 > 0.3 > worst


def test_adversarial_training_makes_a_network_that_survives_more(config):
    for seed in (0, 1):
        natural, hardened = (found(config, name, seed) for name in ("natural", "hardened"))
        key = ("worst=0.05", "accuracy")
        assert hardened[key] > natural[key] + 0.1


def test_the_standards_first_attacks_count_among_the_worst_case(config):
    for name in ("natural", "hardened"):
        victim, images, labels = opened(config, name)
        measured = {key: value for key, (value, _) in rows_of(config, name).items()}
        standing = arrays_of(config, name)["standing/worst=0.05"]
        stages = list(AutoAttack(0.05, fast=True).stages(victim, images, labels, seed=0))
        assert [stage.name for stage in stages] == ["apgd", "apgd_targeted"]
        for stage in stages:
            assert measured[f"{stage.name}=0.05"] == stage.standing.mean()
        assert measured["autoattack_fast=0.05"] == stages[-1].standing.mean()
        assert measured["worst=0.05"] == standing.mean() <= measured["worst_of_names=0.05"]
        assert not (standing & ~stages[-1].standing).any()
        assert measured["worst=0.2"] <= measured["worst=0.05"] <= measured["clean"]
        for further in ("more_steps", "restart", "other_loss", "square"):
            assert measured[f"{further}=0.05"] <= measured["worst=0.05"]
        assert measured["apgd=0.5"] <= 0.1
        assert found(config, name)["clean", "unsteady"] == 0


def test_who_is_broken_within_one_eps_is_broken_within_every_larger_one(config, tmp_path, monkeypatch):
    """Here the attacks of the larger eps do nothing."""
    cell, real = cell_of(config, "natural"), suite.named
    monkeypatch.setattr(
        suite, "named", lambda name, eps, **how: real(name, 1e-6 if eps > 0.1 else eps, **how)
    )
    monkeypatch.setattr(Config, "attack_folder", lambda self, cell: tmp_path)
    robustness.run(config, cell, silent)
    rows = json.loads((tmp_path / "attacks.json").read_text())["measurements"]
    value = {row["condition"]: row["value"] for row in rows if row["metric"] == "accuracy"}
    assert value["pgd=0.2"] > value["pgd=0.05"]
    assert value["worst=0.2"] == value["worst=0.05"]


def test_the_strong_attacks_are_made_where_they_are_asked_for(config):
    hardened, arrays = rows_of(config, "hardened"), arrays_of(config, "hardened")
    assert not any(name.startswith(("strong", "autoattack=")) for name in rows_of(config, "hardened", 1))
    victim, images, labels = opened(config, "hardened", 12)
    stages = list(AutoAttack(0.1).stages(victim, images, labels, seed=0))
    names = ["strong_apgd=0.1", "strong_apgd_targeted=0.1", "strong_fab=0.1", "strong_square=0.1"]
    assert [hardened[name] for name in names] == [(stage.standing.mean(), 12) for stage in stages]
    assert hardened["autoattack=0.1"] == hardened[names[-1]]
    assert np.array_equal(arrays["standing/autoattack=0.1"], stages[-1].standing)
    assert hardened["strong_clean"] == ((victim.logits(images).argmax(1) == labels).mean(), 12)
    pgd = PGD(0.1, steps=6, restarts=2)
    assert hardened["strong_pgd=0.1"] == (accuracy_under(pgd, victim, images, labels, seed=0), 12)
    distances = arrays["strong/distances"]
    assert np.array_equal(distances, FAB(0.1).nearest(victim, images, labels)[1])
    assert np.array_equal(distances > 0, victim.logits(images).argmax(1) == labels)


def rows_of(config: Config, name: str, seed: int = 0) -> dict[str, tuple[float, int]]:
    """{condition: (accuracy, images)}."""
    content = json.loads((config.attack_folder(cell_of(config, name, seed)) / "attacks.json").read_text())
    rows = [row for row in content["measurements"] if row["metric"] == "accuracy"]
    return {row["condition"]: (row["value"], row["n"]) for row in rows}


def arrays_of(config: Config, name: str) -> dict[str, np.ndarray]:
    return read_npz(config.attack_folder(cell_of(config, name)) / "attacks.npz")


def test_the_step_of_the_config_is_the_step_of_pgd_and_its_kin(config, tmp_path, monkeypatch):
    """And of nothing else: FGSM has one step, of the whole size."""
    kin, made, real = {"pgd", "bim", "pgd_margin", "mifgsm"}, [], suite.named
    monkeypatch.setattr(
        suite, "named", lambda *args, **how: made.append((args, real(*args, **how))) or made[-1][1]
    )
    monkeypatch.setattr(Config, "attack_folder", lambda self, cell: tmp_path)
    how = {"step": "madry", "names": ["fgsm", *kin], "eps": [0.05], "images": 5}
    other = replace(config, attacks=Attacks.model_validate(ATTACKS | how))
    robustness.run(other, cell_of(config, "natural"), silent)
    steps = {name: attack.length for (name, _), attack in made if isinstance(attack, PGD)}
    assert steps == dict.fromkeys(kin, 0.05 * 0.01 / 0.3)


def test_the_plan_counts_the_gradients_that_are_worked_out(config, tmp_path, monkeypatch):
    """Within a factor of two: who survives is not known before.  Logits alone count a third."""
    asked = {"vjp": 0, "logits": 0}

    def counted(kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def count(self: Backend, images: np.ndarray) -> Any:
            asked[kind] += len(images)
            return real(self, images)

        return count

    cell = cell_of(config, "hardened")
    backend = discovery.load(discovery.find("numpy"))
    for kind in asked:
        monkeypatch.setattr(backend, kind, counted(kind, getattr(backend, kind)))
    monkeypatch.setattr(Config, "attack_folder", lambda self, cell: tmp_path)
    robustness.run(config, cell, silent)
    strong = config.attacks.strong_of(cell.key)
    assert strong
    estimate = suite.gradients(config.attacks, strong, classes=10)
    assert 0.5 < estimate / (asked["vjp"] + asked["logits"] / 3) < 2


def test_every_piece_is_told_and_the_files_are_the_same_again(config):
    cell, told = cell_of(config, "hardened"), []
    files = [config.attack_folder(cell) / name for name in robustness.OUTPUTS]
    before = read_npz(files[1]), found(config, "hardened")

    @contextmanager
    def bar(total: int) -> Iterator[Callable[[str], None]]:
        yield told.append
        assert len(told) == total

    assert "images survive eps 0.05" in robustness.run(config, cell, bar)
    after = read_npz(files[1]), found(config, "hardened")
    assert before[1] == after[1]
    assert all(np.array_equal(before[0][name], after[0][name]) for name in before[0])


def test_examples_show_every_class_and_stay_within_eps(config):
    arrays = read_npz(config.attack_folder(cell_of(config, "natural")) / "attacks.npz")
    assert list(arrays["labels"]) == sorted(set(arrays["labels"]))
    for name in ("fgsm", "pgd", "universal", "uniform_noise"):
        change = arrays[f"examples/{name}"] - arrays["examples/clean"]
        assert 0 < np.abs(change).max() <= 0.05 + 1e-6
        assert arrays[f"logits/{name}"].shape == (len(arrays["labels"]), 10)
    assert arrays["patterns"].shape == arrays["pictures"].shape == (10, 28, 28, 1)
    assert np.abs(arrays["patterns"]).max() <= 0.05 + 1e-6
    assert arrays["sticker"].shape == (8, 8, 1)
    assert arrays["pictures/dense1"].shape == (10, 28, 28, 1)


def test_the_mean_gradient_over_the_noise_of_inference_is_stronger_than_one_draws(config):
    victim, images, labels = opened(config, "natural")

    def under(draws: int) -> float:
        noisy = Noisy(**vars(victim), level=0.3, draws=draws)
        return accuracy_under(PGD(0.1, steps=8), noisy, images, labels)

    assert under(16) < under(1)
    still = Noisy(**vars(victim), level=0)
    assert np.array_equal(still.logits(images), victim.logits(images))
    noisy = Noisy(**vars(victim), level=0.3)
    assert not np.array_equal(noisy.logits(images), noisy.logits(images)), "drawn anew in every call"


def test_transfer_has_a_row_for_each_pair_and_the_diagonal_is_the_white_box(config):
    transfer.run(config, "numpy", "cpu")
    rows = json.loads(transfer.path(config, "numpy", "cpu").read_text())["rows"]
    matrix = {(row["source"][2], row["target"][2]): row["accuracy"] for row in rows}
    assert set(matrix) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for seed in (0, 1):
        assert matrix[seed, seed] == found(config, "natural", seed)["pgd=0.05", "accuracy"]
        assert matrix[1 - seed, seed] >= matrix[seed, seed]


def test_a_run_that_diverged_is_not_attacked_and_that_is_a_result(config):
    cell = cell_of(config, "diverging")
    content = json.loads((config.attack_folder(cell) / "attacks.json").read_text())
    assert (content["outcome"], content["measurements"]) == ("diverged", [])
    assert robustness.made_by(config, cell)


def test_a_run_that_is_not_there_is_one_line_and_kept_for_the_report(config):
    cell = cell_of(config, "diverging", 1)
    with pytest.raises(LockstepError, match=r"attacked: .*not a finished cell; train it first"):
        robustness.run(config, cell, silent)
    failure = json.loads((config.attack_folder(cell) / robustness.FAILURE).read_text())
    assert "train it first" in failure["reason"]


def test_results_of_other_settings_are_refused(config, tmp_path):
    other = written(tmp_path)
    shutil.copytree(config.folder(cell_of(config, "hardened")), other.folder(cell_of(other, "natural")))
    with pytest.raises(LockstepError, match="results of another configuration"):
        robustness.run(other, cell_of(other, "natural"), silent)


def test_a_stamp_is_renewed_by_other_attacks_alone(config):
    cell = cell_of(config, "natural")
    result = config.attack_folder(cell) / "attacks.json"
    assert stamp(config, of_attack(config, cell)).stat().st_mtime < result.stat().st_mtime
    other = replace(config, attacks=config.attacks.model_copy(update={"steps": 5}))
    assert stamp(other, of_attack(other, cell)).stat().st_mtime > result.stat().st_mtime
    assert of_attack(config, cell).state == "done"
    weights = config.folder(cell) / "weights.npz"
    kept = weights.read_bytes()
    weights.write_bytes(kept + b"of another run of the same hash")
    assert of_attack(config, cell).state == "stale"
    weights.unlink()
    assert of_attack(config, cell).state == "stale", "its run is to do"
    weights.write_bytes(kept)


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        ({"eps": [0.1, 1.5], "shown": 0.1}, "attacks.eps"),
        ({"shown": 0.3}, r"attacks\.shown: 0.3 is not one of attacks\.eps: 0\.05, 0\.2"),
        ({"names": ["pdg"]}, "attacks.names"),
        (
            {"runs": [{"experiments": ["naturall"]}]},
            r"attacks\.runs\[0\]\.experiments: 'naturall' is not one",
        ),
        ({"eps": [0.05, 0.05]}, r"attacks\.eps: a value is listed twice"),
    ],
)
def test_a_mistake_in_the_section_names_its_key(tmp_path, attacks, message):
    with pytest.raises(LockstepError, match=message):
        written(tmp_path, **attacks)


def test_no_attack_imports_a_framework():
    script = (
        "import sys; import lockstep.attacks.transfer, lockstep.attacks.terminal, lockstep.adversarial;"
        "print([name for name in ('torch', 'tensorflow', 'keras', 'jax') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
