"""A finished cell opened again, and `lockstep attack` on it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from lockstep import cell as cells
from lockstep import config as configs
from lockstep import trained
from lockstep.attacks import losses, named, terminal
from lockstep.attacks.apgd import APGD
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.named import Attacked
from lockstep.attacks.scores import accuracy_under
from lockstep.attacks.suite import digits
from lockstep.attacks.victim import Victim
from lockstep.console import Console
from lockstep.errors import LockstepError
from lockstep.evaluation import predict
from lockstep.results import read_npz, write_npz
from lockstep.training import Watcher


@pytest.fixture(scope="module")
def cell(tmp_path_factory) -> Path:
    """The folder of a small cell that has been trained."""
    root = tmp_path_factory.mktemp("attacked")
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": 20}, {"kind": "activation"}]
    layers += [{"kind": "dropout"}, {"kind": "dense", "units": 10}]
    content = {
        "results": str(root / "results"),
        "reports": str(root / "reports"),
        "seeds": [3],
        "base": {
            "data": {"train_size": 1000, "split_seed": 2},
            "model": {"layers": layers, "activation": "leaky_relu", "slope": 0.1, "dropout": 0.2},
            "optimizer": {"learning_rate": 0.003},
            "training": {"epochs": 3, "batch_size": 32},
        },
        "experiments": {"small": {}},
    }
    (root / "config.yaml").write_text(yaml.safe_dump(content))
    config = configs.load(root / "config.yaml")
    wanted = config.cell("small", "numpy", "cpu", 3)
    cells.run(config, wanted, Watcher())
    return config.folder(wanted)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    full = [sys.executable, "-m", "lockstep", "attack", *map(str, arguments)]
    return subprocess.run(full, capture_output=True, text=True, timeout=120)


def test_an_opened_cell_is_the_one_that_was_trained(cell):
    found = trained.read(cell)
    assert (found.cell.name, found.cell.backend, found.cell.seed) == ("small", "numpy", 3)
    identity = json.loads((cell / "provenance.json").read_text())["identity"]
    assert found.cell.experiment.settings == identity["experiment"]
    data, stored = found.dataset(), read_npz(cell / "predictions.npz")
    assert np.array_equal(data.test.index, stored["index"])
    assert np.array_equal(predict(found.backend(), data.test, data.transform, "float32"), stored["logits"])


def test_the_command_measures_what_the_attacks_do(cell, tmp_path):
    path = tmp_path / "attacked.json"
    run = command(
        cell, "--attack", "fgsm", "--attack", "pgd", "--images", 60, "--json", path, "--eps", 0.05, 0.2
    )
    assert run.returncode == 0, run.stderr
    assert "eps 0.05" in run.stdout
    content = json.loads(path.read_text())
    accuracies = {(row["attack"], row["eps"]): row["accuracy"] for row in content["accuracies"]}
    assert set(accuracies) == {
        (name, eps) for name in ("fgsm", "pgd", "uniform_noise") for eps in (0.05, 0.2)
    }
    found = trained.read(cell)
    data = found.dataset()
    pixels, labels = digits(data.test, 60)
    victim = Victim(found.backend(), data.transform, "float32")
    assert accuracies["fgsm", 0.2] == accuracy_under(FGSM(0.2), victim, pixels, labels)
    assert content["clean"] > 0.7 > 0.3 > accuracies["pgd", 0.2]
    again = tmp_path / "again.json"
    command(cell, "--attack", "fgsm", "--attack", "pgd", "--images", 60, "--json", again, "--eps", 0.05, 0.2)
    assert again.read_text() == path.read_text()


def test_an_l2_attack_takes_lengths_and_stands_beside_noise_of_the_same(cell, tmp_path):
    path = tmp_path / "attacked.json"
    run = command(cell, "--attack", "pgd_l2", "--images", 60, "--json", path, "--eps", 0.3, 1.5)
    assert run.returncode == 0, run.stderr
    assert "warning" not in run.stdout
    assert "of l2, eps is the length of the whole change" in run.stdout
    content = json.loads(path.read_text())
    accuracies = {(row["attack"], row["eps"]): row["accuracy"] for row in content["accuracies"]}
    assert set(accuracies) == {(name, eps) for name in ("pgd_l2", "uniform_noise_l2") for eps in (0.3, 1.5)}
    assert all(check["passed"] for check in content["checks"])
    assert sum(check["name"] == "an attack is more than noise" for check in content["checks"]) == 2


def test_options_go_to_the_attacks_that_have_them(cell, tmp_path):
    """And an attack that has none of them is as it always is."""
    path, out = tmp_path / "attacked.json", Console(record=True, width=200)
    options = {"steps": 3, "step": "madry", "restarts": 2}
    names = ["fgsm", "pgd", "apgd"]
    terminal.run(trained.read(cell), names, [0.1], options, 60, 0, path, out)
    content = json.loads(path.read_text())
    assert content["options"] == options
    found = {row["attack"]: row["accuracy"] for row in content["accuracies"]}
    opened = trained.read(cell)
    data = opened.dataset()
    victim = Victim(opened.backend(), data.transform, "float32", 60)
    for name, attack in (
        ("fgsm", FGSM(0.1)),
        ("pgd", PGD(0.1, steps=3, step="madry", restarts=2)),
        ("apgd", APGD(0.1, steps=3, restarts=2)),
    ):
        assert found[name] == accuracy_under(attack, victim, *digits(data.test, 60))


def test_autoattack_shows_what_each_part_leaves(cell, tmp_path):
    path = tmp_path / "attacked.json"
    run = command(cell, "--attack", "autoattack_fast", "--images", 60, "--json", path, "--eps", 0.02, 0.05)
    assert run.returncode == 0, run.stderr
    rows = json.loads(path.read_text())["accuracies"]
    for row in rows[:2]:
        assert row["attack"] == "autoattack_fast"
        assert list(row["stages"]) == ["apgd", "apgd_targeted"]
        assert row["stages"]["apgd"] >= row["stages"]["apgd_targeted"] == row["accuracy"]
    after = [f"{100 * row['stages']['apgd']:.1f}" for row in rows[:2]]
    (line,) = [line for line in run.stdout.splitlines() if "  after apgd " in line]
    assert re.findall(r"[0-9.]+", line) == after


def test_a_loss_that_the_classes_do_not_allow_is_said(cell, tmp_path, monkeypatch):
    """Ten classes are enough for every loss, so here the losses want more."""
    monkeypatch.setattr(losses, "NEEDED", {"dlr": 11, "dlr_targeted": 12})
    monkeypatch.setattr(named, "NEEDED", losses.NEEDED)
    out = Console(record=True, width=200)
    names = ["apgd", "apgd_dlr", "apgd_targeted"]
    terminal.run(trained.read(cell), names, [0.05, 0.1], {"steps": 2}, 20, 0, None, out)
    said = [line for line in out.export_text().splitlines() if "DLR" in line]
    assert said == [
        "apgd_dlr: the DLR loss needs 11 classes and there are 10: the margin is climbed in its place",
        "apgd_targeted: the DLR loss needs 12 classes and there are 10: the margin is climbed in its place",
    ]


def test_a_number_that_cannot_be_trusted_comes_with_a_warning(cell, tmp_path, monkeypatch):
    """Networks that fool our attacks are hard to come by, so here the numbers are made up."""
    accuracies = {("fgsm", 0.1): 0.3, ("pgd", 0.1): 0.5, ("uniform_noise", 0.1): 0.4}
    rows = [Attacked(*key, value, 60) for key, value in accuracies.items()]
    monkeypatch.setattr(terminal, "grid", lambda *args: rows)
    out, path = Console(record=True, width=200), tmp_path / "attacked.json"
    terminal.run(trained.read(cell), ["fgsm", "pgd"], [0.1], {}, 60, 0, path, out)
    said = out.export_text()
    assert said.count("warning: ") == 2
    assert (
        "not true that PGD is at least as strong as FGSM: pgd, eps 0.1: accuracy 50.0% under PGD, 30.0%"
        in said
    )
    assert "not true that an attack is more than noise: pgd, eps 0.1: accuracy 50.0% under attack" in said
    assert sum(not check["passed"] for check in json.loads(path.read_text())["checks"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "fgms"], "unknown attack 'fgms'; known: fgsm, bim, pgd"),
        (["--eps", "1.5"], "fgsm: eps: found 1.5, expected a number, 0 to 1"),
        (["--attack", "fgsm", "--attack", "pgd_l2", "--eps", "1.5"], "in l2 eps is a length, and may"),
        (["--attack", "fgsm", "--steps", "5"], "steps: no option of fgsm; attacks that have it: bim, pgd"),
        (["--attack", "pgd", "--restarts", "0"], "pgd: restarts: found 0 (int), expected an integer, 1"),
        (["--attack", "pgd", "--step", "maddy"], "pgd: step: found 'maddy', expected a number, in units of"),
    ],
)
def test_what_is_wrong_is_one_line(cell, arguments, message):
    run = command(cell, *arguments)
    assert run.returncode != 0
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_a_folder_without_a_finished_cell_is_named(cell, tmp_path):
    with pytest.raises(LockstepError, match=r"nowhere: not a finished cell .*name a folder such as"):
        trained.read(tmp_path / "nowhere")
    for name, damage, message in (
        ("metrics.json", lambda path: path.write_text("{}"), "not a finished cell"),
        ("weights.npz", lambda path: path.write_bytes(b"half"), "not a finished cell"),
        ("weights.npz", lambda path: write_npz(path, {"dense1/kernel": np.zeros(3)}), "not of the spec"),
    ):
        copy = tmp_path / "small/numpy/cpu/seed-3"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(cell, copy)
        damage(copy / name)
        with pytest.raises(LockstepError, match=message):
            trained.read(copy)


def test_a_diverged_cell_is_refused_with_its_reason(cell, tmp_path):
    copy = tmp_path / "small/numpy/cpu/seed-3"
    shutil.copytree(cell, copy)
    metrics = json.loads((copy / "metrics.json").read_text())
    (copy / "metrics.json").write_text(json.dumps({**metrics, "outcome": "diverged", "reason": "NaN at 3"}))
    with pytest.raises(LockstepError, match="this run diverged: NaN at 3"):
        trained.read(copy)
