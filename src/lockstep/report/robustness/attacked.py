"""What the attacks on finished runs left on disk, and how each of them ended.

Like the runs themselves, results are compared with the config's settings and never with the source that
happens to be here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.config_file import Attacks
from lockstep.freshness import of_attack, remark
from lockstep.report.runs import COMPLETED, Results, Run, Runs, Side, by_seed
from lockstep.results import SCHEMA, read_npz
from lockstep.statistics import Estimate, differences, estimate

DISTANCES = "strong/distances"
"""In attacks.npz: of FAB, in the order of the images."""
Number = tuple[float, int]
"""A value, and the number of images that it was measured on."""


@dataclass(frozen=True)
class Attacked:
    """A training run under attack.  Numbers are read only from those with `usable` True."""

    run: Run
    folder: Path
    outcome: str
    """completed, failed, stale, missing, or what became of the training run."""
    reason: str = ""
    numbers: Mapping[tuple[str, str], Number] = field(default_factory=dict)
    """{(condition, metric): number}."""
    classes: int = 0
    distances: np.ndarray | None = None
    """float64 [n]: how far the nearest misclassified image was found, inf where none was."""

    @property
    def usable(self) -> bool:
        return self.outcome == COMPLETED

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return read_npz(self.folder / "attacks.npz")

    def value(self, condition: str, metric: str = "accuracy") -> float | None:
        found = self.numbers.get((condition, metric))
        return found[0] if found else None


@dataclass(frozen=True)
class Robustness:
    """All runs that a config attacks, in its order."""

    results: Results
    settings: Attacks
    runs: list[Attacked]

    @cached_property
    def experiments(self) -> list[str]:
        return list(dict.fromkeys(each.run.cell.name for each in self.runs))

    @property
    def baseline(self) -> str:
        """What the others are compared with; a config may attack it nowhere."""
        return self.results.baseline

    @cached_property
    def compared(self) -> list[Side]:
        """The backends that more than the baseline is attacked on, if there are any: every mean is over
        those, so that all means of one experiment on the page are the same."""
        more = {each.run.side for each in self.runs if each.run.cell.name != self.baseline}
        known = more or {each.run.side for each in self.runs}
        return [side for side in self.results.sides if side in known]

    @property
    def first(self) -> Attacked | None:
        """The run that stands for all in pictures: the baseline's, if there is one."""
        shown = [each for each in self.runs if each.usable]
        return min(shown, key=lambda each: each.run.cell.name != self.baseline, default=None)

    @property
    def images(self) -> int:
        """That every accuracy but those of `strong` is measured on, at most."""
        return max((each.numbers["clean", "accuracy"][1] for each in self.runs if each.usable), default=0)

    def images_of(self, experiment: str, condition: str) -> int:
        """That an experiment's accuracy under a condition is measured on, at most."""
        found = (each.numbers.get((condition, "accuracy")) for each in self.of(experiment))
        return max((n for _, n in filter(None, found)), default=0)

    def of(self, experiment: str, side: Side | None = None) -> list[Attacked]:
        """The finished ones of an experiment."""
        mine = [each for each in self.runs if each.run.cell.name == experiment and each.usable]
        return [each for each in mine if side is None or each.run.side == side]

    def values(
        self, experiment: str, condition: str, metric: str = "accuracy", sides: Sequence[Side] | None = None
    ) -> dict[Runs, float]:
        """{(backend, seed): value}; sides: those compared, unless told."""
        found = ((each, each.value(condition, metric)) for each in self.of(experiment))
        wanted = self.compared if sides is None else sides
        return {
            (each.run.side, each.run.cell.seed): value
            for each, value in found
            if value is not None and each.run.side in wanted
        }

    def estimate(self, experiment: str, condition: str, metric: str = "accuracy") -> Estimate:
        """Over seeds, in percent; backends that share a seed are averaged first."""
        return percent(by_seed(self.values(experiment, condition, metric)).values())

    def change(self, experiment: str, condition: str) -> Estimate:
        """Accuracy minus the baseline's, paired by backend and seed, in points."""
        pairs = differences(self.values(self.baseline, condition), self.values(experiment, condition))
        return percent(by_seed(pairs).values())

    def curve(self, experiment: str, attack: str) -> dict[float, Estimate]:
        """{eps: accuracy in percent}, clean images first; without an estimate where nothing is measured."""
        conditions = {0.0: "clean"} | {eps: f"{attack}={eps:g}" for eps in sorted(self.settings.eps)}
        return {eps: self.estimate(experiment, condition) for eps, condition in conditions.items()}

    def levels(self, attack: str) -> list[str]:
        """Of the conditions "attack=level" that any run was measured under."""
        found = (condition.partition("=") for each in self.runs for condition, _ in each.numbers)
        return list(dict.fromkeys(level for name, _, level in found if name == attack))


def percent(shares: Iterable[float]) -> Estimate:
    return estimate([100 * share for share in shares])


def read(results: Results) -> Robustness | None:
    """None where the config attacks nothing."""
    settings = results.config.attacks
    if settings is None:
        return None
    runs = {run.cell.path: run for run in results.runs}
    wanted = [runs[cell.path] for cell in results.config.attacked()]
    return Robustness(results, settings, [_read(results, settings, run) for run in wanted])


def _read(results: Results, settings: Attacks, run: Run) -> Attacked:
    folder = results.config.attack_folder(run.cell)
    if not run.usable:
        return Attacked(run, folder, run.outcome, f"nothing to attack: {run.reason or 'the training run'}")
    if not (folder / "attacks.json").is_file():
        reason = _reason(folder)
        if reason:
            return Attacked(run, folder, "failed", reason)
        log = results.config.results / "logs/attack" / run.cell.path.parent
        return Attacked(run, folder, "missing", f"not attacked yet; see the logs in {log}")
    try:
        content = json.loads((folder / "attacks.json").read_text())
        if content["cell_hash"] != run.provenance["cell_hash"]:
            return Attacked(run, folder, "stale", "attacked before it was trained again; run snakemake")
        if content["settings"] != settings.of(run.cell.key):
            return Attacked(run, folder, "stale", "attacked with other settings; run snakemake again")
        if content["outcome"] != COMPLETED:
            return Attacked(run, folder, "stale", "attacked before its training run completed; run it again")
        reason = _reason(folder)
        later = f"a later try failed: {reason}" if reason else ""
        outdated = remark(results.config, *run.side, partial(of_attack, results.config, run.cell))
        reason = "; ".join(filter(None, (outdated, later)))
        return Attacked(run, folder, COMPLETED, reason, _numbers(content), *_arrays(folder))
    except Exception as error:  # whatever a damaged file leads to
        what = " ".join(f"{type(error).__name__} {error}".split())[:100]
        reason = f"damaged or incomplete results: {what}; delete {folder} and run snakemake"
        return Attacked(run, folder, "missing", reason)


def _numbers(content: dict[str, Any]) -> dict[tuple[str, str], Number]:
    """Raises something unless they are what tables and pages read."""
    if content["schema"] != SCHEMA:
        raise ValueError(f"not of schema {SCHEMA}")
    rows = content["measurements"]
    numbers = {(row["condition"], row["metric"]): (float(row["value"]), int(row["n"])) for row in rows}
    _ = numbers["clean", "accuracy"], numbers["clean", "saturated"]
    if not np.isfinite([value for value, _ in numbers.values()]).all():
        raise ValueError("a measurement is not finite")
    return numbers


def _arrays(folder: Path) -> tuple[int, np.ndarray | None]:
    """How many classes the network tells apart, and distances, if there are any.  Raises something unless its
    pictures can be read; they are many, so they are not kept."""
    arrays = read_npz(folder / "attacks.npz")
    if not len(arrays["examples/clean"]) == len(arrays["logits/clean"]) == len(arrays["labels"]):
        raise ValueError("attacks.npz has arrays of different lengths")
    return int(arrays["logits/clean"].shape[1]), arrays.get(DISTANCES)


def _reason(folder: Path) -> str:
    """Why the last try failed; nothing if it did not."""
    try:
        return str(json.loads((folder / "failure.json").read_text())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
