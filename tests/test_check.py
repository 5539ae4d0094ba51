"""`lockstep check` on real runs: honest ones pass, planted errors are caught, what is not claimed is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from lockstep import cell as cells
from lockstep import discovery
from lockstep.check import reference
from lockstep.check.judge import Judgement, judge
from lockstep.cli import app
from lockstep.config import Config, load
from lockstep.errors import LockstepError
from lockstep.evaluation import measure
from lockstep.report.runs import read
from lockstep.results import read_npz, write_json, write_npz, write_text
from lockstep.training import Watcher

ROOT = Path(__file__).parents[1]

# Real runs: a small network, two backends that differ by rounding, and two that stand for another machine.

PLUGIN = """
import numpy as np
from lockstep import discovery
api = 1
Numpy = discovery.load(discovery.find("numpy"))

class Plugin(Numpy):
    def load(self, state):
        super().load(state)
        weight = next(iter(self.weights.values()))
        weight[:] = np.nextafter(weight, weight.dtype.type({towards}))

    def _adam(self, gradients, s1, s2):
        self.optimizer = self.optimizer.model_copy(update={{"eps": {eps}}})
        super()._adam(gradients, {rate} * s1, s2)
"""
PLUGINS = {
    "steady": PLUGIN.format(towards="np.inf", rate=1, eps=1e-7),
    "twin": PLUGIN.format(towards="-np.inf", rate=1, eps=1e-7),
    "other": PLUGIN.format(towards="0", rate=1, eps=1e-7),  # as honest, on another machine
    "hasty": PLUGIN.format(towards="np.inf", rate=1.1, eps=1e-7),  # the learning rate is 10 % too high
    "damped": PLUGIN.format(towards="np.inf", rate=1, eps=1e-3),  # Adam's eps is not the config's
}
TINY: dict[str, Any] = {
    "reports": "reports",
    "backends": ["steady", "twin"],
    "seeds": [0, 1, 2],
    "conformance": {"tiers": []},
    "base": {
        "data": {"train_size": 500},
        "model": {
            "layers": [
                {"kind": "flatten"},
                {"kind": "dense", "units": 16},
                {"kind": "activation"},
                {"kind": "dense", "units": 10},
            ]
        },
        "optimizer": {"learning_rate": 0.002},
        "training": {"epochs": 3, "batch_size": 50},
    },
    "experiments": {"plain": {}},
}
WHY = {"reference": "tiny", "why": "an example", "catches": "a wrong run"}
EVERY = [
    {"kind": "consistent", "claim": "consistent", "catches": "edits"},
    *(
        {"kind": "reproduces", "claim": measure, "measure": measure, "margin": margin, "seed": seed} | WHY
        for measure, margin, seed in (
            ("first_epoch_loss", 0.005, 0.01),
            ("accuracy", 0.5, 0.8),
            ("cross_entropy", 0.005, 0.01),
        )
    ),
]


def configure(root: Path, name: str, **changes: Any) -> Config:
    """A config of its own, with results of its own, beside the others."""
    write_text(root / f"{name}.yaml", yaml.safe_dump({"results": f"results/{name}", **TINY, **changes}))
    return load(root / f"{name}.yaml")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where all four backends were trained, and the reference that was made of two."""
    root = tmp_path_factory.mktemp("check")
    for name, source in PLUGINS.items():
        write_text(root / "backends" / name / "backend.py", source)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        discovery.plugins.cache_clear()
        config = configure(root, "all", backends=list(PLUGINS))
        for cell in config.cells():
            cells.run(config, cell, Watcher())
            provenance = config.folder(cell) / "provenance.json"
            made = json.loads(provenance.read_text())
            write_json(provenance, made | {"git": {"commit": "abc", "dirty": False}})
        rerun(root, "tiny")
        reference.write(root / "results/reference/tiny.json", reference.of_results(read(config_of(root))))
        write_text(root / "docs/claims.yaml", yaml.safe_dump({"claims": EVERY}))
        yield root
    discovery.plugins.cache_clear()


def config_of(root: Path, name: str = "tiny") -> Config:
    return load(root / f"{name}.yaml")


def rerun(root: Path, name: str, **instead: str) -> Config:
    """Results of steady and twin, or what others trained instead of one of them."""
    config = configure(root, name)
    for backend in config.backends:
        trained = root / "results/all/cells/plain" / instead.get(backend, backend)
        shutil.copytree(trained, config.results / "cells/plain" / backend, dirs_exist_ok=True)
    shutil.copytree(root / "results/all/data", config.results / "data", dirs_exist_ok=True)
    return config


def words(judgement: Judgement) -> dict[str, str]:
    return {each.claim: each.verdict for each in judgement.verdicts}


def numbers(judgement: Judgement, claim: str) -> str:
    return next(each.numbers for each in judgement.verdicts if each.claim == claim)


def test_the_same_run_is_equal_to_the_last_digit(tiny: Path):
    judgement = judge(read(rerun(tiny, "same")))
    assert set(words(judgement).values()) == {"holds"}
    assert numbers(judgement, "accuracy") == "6 pairs of runs in 2 comparisons: equal to the last digit"
    assert judgement.passed
    assert judgement.answer == (
        "Yes, as far as it can be told: 4 of 4 claims hold. Tested on fresh seeds, which no reference has: "
        "0 of 3 claims about trained runs."
    )


def test_other_rounding_is_a_reproduction(tiny: Path):
    judgement = judge(read(rerun(tiny, "elsewhere", steady="other")))
    assert set(words(judgement).values()) == {"holds"}
    assert "equal to the last digit" not in numbers(judgement, "first_epoch_loss")


@pytest.mark.parametrize("mutant", ["hasty", "damped"])
def test_a_backend_that_trains_otherwise_is_caught(tiny: Path, mutant: str):
    judgement = judge(read(rerun(tiny, mutant, twin=mutant)))
    assert words(judgement)["consistent"] == "holds", "the mistake is in the training"
    assert words(judgement)["first_epoch_loss"] == "does not hold"
    assert numbers(judgement, "first_epoch_loss").startswith("plain on twin: seed ")
    assert "steady" not in numbers(judgement, "first_epoch_loss")
    assert not judgement.passed
    assert judgement.answer.startswith("No: “first_epoch_loss” does not hold.")


def edit(folder: Path, share: float, what: str) -> None:
    """Make a share of the images wrong, by their logits or by their labels, and metrics.json accordingly."""
    arrays = read_npz(folder / "predictions.npz")
    right = np.flatnonzero(arrays["logits"].argmax(1) == arrays["labels"])[: round(share * 1000)]
    if what == "logits":
        arrays["logits"][right] = np.roll(arrays["logits"][right], 1, axis=1)
    else:
        arrays["labels"][right] = (arrays["labels"][right] + 1) % 10
    write_npz(folder / "predictions.npz", arrays)
    metrics = json.loads((folder / "metrics.json").read_text())
    kept = [row for row in metrics["measurements"] if row["split"] != "test" or "=" in row["condition"]]
    kept = [row for row in kept if not row["condition"].startswith("class=") or row["split"] != "test"]
    metrics["measurements"] = [*kept, *measure(arrays["logits"], arrays["labels"], "test")]
    write_json(folder / "metrics.json", metrics)


@pytest.mark.parametrize("share", [0.01, 0.02])
def test_one_seed_that_is_a_point_or_two_worse_is_caught_and_named(tiny: Path, share: float):
    config = rerun(tiny, f"worse-{share}", steady="other")
    edit(config.results / "cells/plain/twin/cpu/seed-1", share, "logits")
    judgement = judge(read(config))
    assert words(judgement)["consistent"] == "holds", "the edit is consistent"
    assert words(judgement)["accuracy"] == "does not hold"
    assert numbers(judgement, "accuracy") == f"plain on twin: seed 1 differs by −{100 * share:.2f} points"


def test_labels_that_are_not_those_of_the_data_are_caught(tiny: Path):
    config = rerun(tiny, "labels")
    edit(config.results / "cells/plain/twin/cpu/seed-1", 0.01, "labels")
    judgement = judge(read(config))
    assert words(judgement)["consistent"] == "does not hold"
    assert numbers(judgement, "consistent") == "plain/twin/cpu/seed-1: its labels are not those of the data"
    shutil.rmtree(config.results / "data")
    assert words(judge(read(config)))["consistent"] == "cannot tell", "nothing to look labels up in"


def test_metrics_edited_by_hand_are_caught(tiny: Path):
    config = rerun(tiny, "edited")
    path = config.results / "cells/plain/steady/cpu/seed-2/metrics.json"
    metrics = json.loads(path.read_text())
    row = next(r for r in metrics["measurements"] if (r["split"], r["metric"]) == ("test", "accuracy"))
    row["value"] += 0.001
    write_json(path, metrics)
    judgement = judge(read(config))
    assert words(judgement)["consistent"] == "does not hold"
    said = numbers(judgement, "consistent")
    assert said.startswith("plain/steady/cpu/seed-2: metrics.json says accuracy 0.")
    assert not judgement.passed


def test_a_run_that_is_not_there_is_no_reproduction(tiny: Path):
    config = rerun(tiny, "fewer")
    shutil.rmtree(config.results / "cells/plain/twin/cpu/seed-0")
    judgement = judge(read(config))
    assert set(words(judgement).values()) == {"holds"}, "what is there is judged"
    assert not judgement.passed
    assert judgement.answer.startswith("No: 1 result not there (plain/twin/cpu/seed-0: missing). 4 of 4")


def test_other_settings_are_another_experiment_and_the_key_is_named(tiny: Path):
    """An edited config must not pass for the claimed experiment, nor fail as if it had been claimed."""
    experiments = {"plain": {"optimizer": {"learning_rate": 0.004}}}
    config = configure(tiny, "faster", experiments=experiments, seeds=[0], backends=["steady"])
    for cell in config.cells():
        cells.run(config, cell, Watcher())
    judgement = judge(read(config))
    assert words(judgement) == {"consistent": "holds"}
    assert judgement.notes == [
        "No claim about plain: no reference has its settings; the nearest, plain of tiny.json, differs in "
        "optimizer.learning_rate 0.004, not 0.002"
    ]
    assert judgement.passed
    assert judgement.answer.startswith("No claim applies to this config, so nobody can tell.")


def test_names_do_not_matter_and_seeds_that_the_reference_lacks_are_held_to_its_prediction(tiny: Path):
    config = configure(tiny, "renamed", experiments={"mine": {}}, seeds=[0, 1, 2, 3])
    for backend in config.backends:
        for seed in range(4):
            source = tiny / f"results/all/cells/plain/{backend}/cpu/seed-{seed % 3}"
            shutil.copytree(source, config.results / f"cells/mine/{backend}/cpu/seed-{seed}")
    shutil.copytree(tiny / "results/all/data", config.results / "data")
    assert set(words(judge(read(config))).values()) == {"holds"}
    edit(config.results / "cells/mine/steady/cpu/seed-3", 0.6, "logits")
    judgement = judge(read(config))
    assert words(judgement)["accuracy"] == "does not hold"
    assert numbers(judgement, "accuracy").startswith("plain on steady: seed 3, ")


def test_the_command_line_exits_with_the_verdict_and_writes_it(tiny: Path):
    def run(name: str, *more: str) -> Any:
        return CliRunner().invoke(app, ["check", "--config", f"{name}.yaml", *more])

    rerun(tiny, "same")
    good = run("same", "--json", "good.json")
    assert good.exit_code == 0, good.output
    assert "Is this run a reproduction? Yes" in good.output
    written = json.loads((tiny / "good.json").read_text())
    assert written["passed"] is True
    assert {each["reference"] for each in written["verdicts"]} == {"", "results/reference/tiny.json"}
    rerun(tiny, "wrong", twin="hasty")
    bad = run("wrong")
    assert bad.exit_code == 1
    assert "does not hold" in bad.output
    assert run("same", "--backends", "twin").exit_code == 0, "a subset is judged by itself"
    made = CliRunner().invoke(app, ["reference", "--config", "tiny.yaml", "--to", "again.json"])
    assert made.output == "again.json: 1 experiments, 6 runs\n"
    assert (tiny / "again.json").read_text() == (tiny / "results/reference/tiny.json").read_text()


def test_a_reference_is_made_of_complete_results_of_one_commit_and_one_harness(tiny: Path):
    config = rerun(tiny, "unfit")
    path = config.results / "cells/plain/twin/cpu/seed-0/provenance.json"
    whole = json.loads(path.read_text())
    write_json(path, whole | {"git": {"commit": "abc", "dirty": True}})
    with pytest.raises(LockstepError, match=r"twin/cpu/seed-0 was trained by files that no commit holds"):
        reference.of_results(read(config))
    write_json(path, whole | {"identity": whole["identity"] | {"harness": "older"}})
    with pytest.raises(LockstepError, match="its runs are of 2 versions of the harness;"):
        reference.of_results(read(config))
    write_json(path, whole | {"identity": whole["identity"] | {"plugin": "older"}})
    with pytest.raises(LockstepError, match="its runs are of 2 versions of twin"):
        reference.of_results(read(config))
    path.unlink()
    with pytest.raises(LockstepError, match="a reference is made of complete results"):
        reference.of_results(read(config))


def test_a_damaged_reference_is_one_line(tiny: Path):
    broken = tiny / "broken.json"
    write_text(broken, '{"schema": 1, "made": {}}')
    with pytest.raises(LockstepError, match=r"broken.json: made.config: Field required"):
        reference.read(broken)
    broken.write_bytes(b'{"schema": "\xff"}')
    with pytest.raises(LockstepError, match=r"broken.json: Invalid JSON: .*; write it again"):
        reference.read(broken)
