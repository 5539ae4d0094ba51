"""What the cells of a config left on disk, and how each of them ended.

Results may come from another machine.  Those of other settings than the config's are not shown; those of
other source code or versions than are here are shown, and marked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lockstep.cell import FAILURE, OUTPUTS
from lockstep.config import Cell, Config
from lockstep.data import store
from lockstep.discovery import find
from lockstep.experiment import Experiment
from lockstep.freshness import OUTDATED, of_cell, remark
from lockstep.inside import Activity, looked_at
from lockstep.results import SCHEMA
from lockstep.training import Epoch

COMPLETED = "completed"
METRICS = ("accuracy", "cross_entropy", "calibration_error")
"""Of the test images of every completed run."""
STALE = "results of another configuration; run snakemake again"


class Side(NamedTuple):
    """What computes: a backend on a device."""

    backend: str
    device: str


Runs = tuple[Side, int]
"""What a value belongs to: a backend and a seed."""


class Predictions(NamedTuple):
    """Of the test images, as far as it is kept of every run."""

    labels: np.ndarray
    predicted: np.ndarray
    looked_at: np.ndarray
    """The logits of the images that the inside of the network was measured on."""


FILTERS = "conv1/kernel"
"""The one weight that is drawn."""


@dataclass(frozen=True)
class Run:
    """A cell and its results.  Numbers are read only from those with `usable` True."""

    cell: Cell
    folder: Path
    outcome: str
    """completed, diverged, failed, stale, not installed, skipped (no such device) or missing."""
    reason: str = ""
    traceback: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def side(self) -> Side:
        return Side(self.cell.backend, self.cell.device)

    @property
    def usable(self) -> bool:
        return self.outcome == COMPLETED

    @property
    def outdated(self) -> bool:
        """Whether its results are of other source, versions or data than are here."""
        return OUTDATED in self.reason

    @property
    def has_results(self) -> bool:
        """Results of this very configuration, though they may have diverged."""
        return self.outcome in (COMPLETED, "diverged")

    def test(self, metric: str) -> float:
        rows = self.metrics["measurements"]
        return next(
            r["value"] for r in rows if (r["split"], r["metric"], r["condition"]) == ("test", metric, "")
        )

    def array(self, file: str, name: str) -> np.ndarray:
        """One array of one of the cell's .npz files."""
        with np.load(self.folder / file, allow_pickle=False) as arrays:
            return np.asarray(arrays[name])

    def names(self, file: str) -> set[str]:
        """Of the arrays in one of the cell's .npz files, which are not read."""
        with np.load(self.folder / file, allow_pickle=False) as arrays:
            return set(arrays.files)

    @property
    def logits(self) -> np.ndarray:
        """Of the test images, read anew each time: those of a thousand runs fill a computer's memory."""
        return self.array("predictions.npz", "logits")

    @cached_property
    def predictions(self) -> Predictions:
        logits, labels = self.logits, self.array("predictions.npz", "labels")
        if len(logits) != len(labels):
            raise ValueError("predictions.npz has arrays of different lengths")
        predicted = logits.argmax(axis=-1).astype(np.min_scalar_type(logits.shape[-1]))
        return Predictions(labels, predicted, logits[looked_at(len(logits))])

    @cached_property
    def history(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "history.csv")

    @cached_property
    def units(self) -> pd.DataFrame:
        """What its activation layers did, epoch by epoch."""
        return pd.read_csv(self.folder / "units.csv")


@dataclass(frozen=True)
class Results:
    """All runs of a config, in its order."""

    config: Config
    runs: list[Run]

    @cached_property
    def experiments(self) -> dict[str, Experiment]:
        """Those of which something was to be trained; points of learning curves are none of their own."""
        return {name: self.config.experiments[name] for name, _ in self._groups}

    @property
    def baseline(self) -> str:
        """What the others are compared with; a config may train it nowhere."""
        return self.config.baseline

    @cached_property
    def _groups(self) -> dict[tuple[str, Side], None]:
        """(experiment, side) of every run that was to be, in the config's order."""
        keys = ((run.cell.name, run.side) for run in self.runs)
        return dict.fromkeys(key for key in keys if key[0] in self.config.experiments)

    def sides_of(self, experiment: str) -> list[Side]:
        """The backends that were to train an experiment, whether or not they did."""
        return [side for side in self.sides if (experiment, side) in self._groups]

    @cached_property
    def compared(self) -> list[Side]:
        """The backends that were to train more than the baseline, if any was: experiments are compared on
        those, so that no mean of the baseline is over others."""
        more = {side for name, side in self._groups if name != self.baseline}
        return [side for side in self.sides if side in more] or self.trained

    @property
    def trained(self) -> list[Side]:
        """The backends that were to train any experiment."""
        wanted = {side for _, side in self._groups}
        return [side for side in self.sides if side in wanted]

    @cached_property
    def usable(self) -> dict[tuple[str, Side], dict[int, Run]]:
        """{(experiment, side): {seed: run}} of completed runs; a group without any is not there."""
        groups: dict[tuple[str, Side], dict[int, Run]] = {}
        for run in self.runs:
            if run.usable:
                groups.setdefault((run.cell.name, run.side), {})[run.cell.seed] = run
        return groups

    def seeds(self, experiment: str, side: Side) -> dict[int, Run]:
        return self.usable.get((experiment, side), {})

    def accuracies(self, experiment: str, side: Side) -> dict[int, float]:
        """{seed: test accuracy}."""
        return {seed: run.test("accuracy") for seed, run in self.seeds(experiment, side).items()}

    @property
    def counts(self) -> list[int]:
        """How many seeds each backend completed of each experiment, where it completed any."""
        return [len(seeds) for key, seeds in self.usable.items() if key in self._groups]

    @property
    def sides(self) -> list[Side]:
        return [Side(backend, device) for backend in self.config.backends for device in self.config.devices]

    def pairs(self, experiment: str) -> list[tuple[Side, Side]]:
        """What can be compared of those that were to train an experiment."""
        return pairs(self.sides_of(experiment))

    @property
    def problems(self) -> dict[tuple[str, Side, str, str, str], list[int]]:
        """{(experiment, side, outcome, reason, traceback): seeds} of all that is not plainly completed."""
        alike: dict[tuple[str, Side, str, str, str], list[int]] = {}
        for run in self.runs:
            if not run.usable or run.reason:
                key = (run.cell.name, run.side, run.outcome, run.reason, run.traceback)
                alike.setdefault(key, []).append(run.cell.seed)
        return alike

    def label(self, side: Side) -> str:
        return side.backend if len(self.config.devices) == 1 else f"{side.backend} on {side.device}"

    @property
    def first(self) -> Run | None:
        """The completed run that stands for all in pictures: the baseline's, of the first backend and seed,
        or else that of the first experiment that has one."""
        shown = [run for run in self.runs if run.usable and run.cell.name in self.experiments]
        return min(shown, key=lambda run: run.cell.name != self.baseline, default=None)


def by_seed(values: Mapping[Runs, float]) -> dict[int, float]:
    """{seed: mean over backends}."""
    seeds: dict[int, list[float]] = {}
    for (_, seed), value in values.items():
        seeds.setdefault(seed, []).append(value)
    return {seed: float(np.mean(found)) for seed, found in sorted(seeds.items())}


def pairs(sides: Sequence[Side]) -> list[tuple[Side, Side]]:
    """Backends on the same device, and devices of the same backend; the earlier one first."""
    return [
        (first, second)
        for place, first in enumerate(sides)
        for second in sides[place + 1 :]
        if (first.backend == second.backend) != (first.device == second.device)
    ]


def read(config: Config) -> Results:
    return Results(config, [_read(config, cell) for cell in config.cells()])


def _read(config: Config, cell: Cell) -> Run:
    folder = config.folder(cell)
    failure = _json(folder / FAILURE)
    if not (folder / "metrics.json").exists():
        return Run(cell, folder, *_without_results(config, cell, failure))
    metrics, provenance = _json(folder / "metrics.json"), _json(folder / "provenance.json")
    try:
        if provenance["identity"]["experiment"] != cell.experiment.settings:
            return Run(cell, folder, "stale", STALE)
        later = f"a later try failed: {failure['reason']}" if "reason" in failure else ""
        stale = remark(config, cell.backend, cell.device, partial(of_cell, config, cell))
        reason = "; ".join(part for part in (metrics["reason"], stale, later) if part)
        trace = failure.get("traceback", "")
        run = Run(cell, folder, metrics["outcome"], reason, trace, metrics, provenance)
        _check(run)
        return run
    except Exception as error:  # whatever a damaged file leads to
        found = f"damaged or incomplete results: {' '.join(f'{type(error).__name__} {error}'.split())[:100]}"
        return Run(cell, folder, "missing", f"{found}; delete {folder} and run snakemake")


def _check(run: Run) -> None:
    """Raise something unless the files of a result hold what the tables and pages read."""
    if absent := [name for name in OUTPUTS if not (run.folder / name).is_file()]:
        raise ValueError(f"no {', '.join(absent)}")
    if run.metrics["schema"] != SCHEMA or run.provenance["schema"] != SCHEMA:
        raise ValueError(f"not of schema {SCHEMA}")
    _ = run.provenance["identity"]["harness"], run.provenance["machine"]["system"], run.provenance["times"]
    run.history[[column.name for column in fields(Epoch)]].astype(float)
    run.units[[column.name for column in fields(Activity)]].astype({"dead": float, "zeros": float})
    _ = run.array("functions.npz", "z")
    images = len(run.predictions.labels)
    if len(run.array("predictions.npz", "index")) != images:
        raise ValueError("predictions.npz has arrays of different lengths")
    weights = run.cell.experiment.spec.weights.keys()
    for name in ("weights.npz", "best.npz"):
        if run.names(name) != weights:
            raise ValueError(f"{name} does not hold the weights of the spec")
    if FILTERS in weights:
        _ = run.array("weights.npz", FILTERS)
    if run.usable:
        tested = {
            row["n"] for row in run.metrics["measurements"] if row["split"] == "test" and not row["condition"]
        }
        if tested != {images} or not np.isfinite([run.test(metric) for metric in METRICS]).all():
            raise ValueError("metrics.json and predictions.npz do not fit each other")


def _without_results(config: Config, cell: Cell, failure: dict[str, Any]) -> tuple[str, str, str]:
    """Outcome, reason and traceback."""
    if reason := find(cell.backend).unusable(cell.device):
        return "not installed" if reason.startswith("not installed") else "skipped", reason, ""
    if failure:
        return "failed", failure.get("reason", "unknown"), failure.get("traceback", "")
    data = config.data_path(cell.experiment.data.source)
    if not store.about(data):
        log = config.results / "logs/data" / f"{data.name}.log"
        return "missing", f"no result yet, and no data; see {log}", ""
    return "missing", f"no result yet; see the logs in {config.results / 'logs/train' / cell.path.parent}", ""


def _json(path: Path) -> dict[str, Any]:
    """The file's content; nothing if it is absent or damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
