"""Tables of the page: rows of text, in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from lockstep import layer_table
from lockstep.data.sources import find
from lockstep.experiment import Experiment
from lockstep.report import tables, text
from lockstep.report.runs import Results, Run, Side
from lockstep.report.style import colour
from lockstep.spec import Spec
from lockstep.statistics import Estimate


@dataclass
class Group:
    title: str = ""
    note: str = ""
    rows: Sequence[Sequence[str]] = ()


@dataclass
class Grid:
    """Columns after the first `texts` ones are numbers."""

    columns: Sequence[str]
    texts: int
    groups: list[Group]

    @property
    def size(self) -> int:
        return sum(len(group.rows) for group in self.groups)


def accuracy(results: Results, frame: pd.DataFrame) -> Grid:
    def cells(row: Any) -> Sequence[str]:
        percent = Estimate(100 * row.mean, 100 * row.sd, 100 * row.low, 100 * row.high, row.n)
        spread = (text.percent(row.sd), text.interval(percent, signed=False), str(row.n))
        extra = (text.number(row.cross_entropy, ".4f"), text.percent(row.seed_churn))
        return chip(results, Side(row.backend, row.device)), text.percent(row.mean), *spread, *extra

    groups = _grouped(frame, cells)
    for group in groups:
        spec = results.config.experiments[group.title].spec
        group.note = f"{spec.parameters:,} parameters, {spec.flops / 1e6:.2f} MFLOP an image"
    numbers = ("accuracy, %", "SD, points", "95 % interval", "n seeds", "cross-entropy, nats")
    return Grid(("backend", *numbers, "churn between seeds, %"), 1, groups)


def differences(results: Results, frame: pd.DataFrame) -> Grid:
    def cells(row: Any) -> Sequence[str]:
        second, first = Side(row.backend, row.device), Side(row.minus_backend, row.minus_device)
        pair = chip(results, second) + Markup(" − ") + chip(results, first)
        return pair, *_estimate(row), text.percent(row.churn), text.percent(row.seed_churn)

    columns = ("backends", *ESTIMATE, "churn, %", "churn between seeds, %")
    return Grid(columns, 1, _grouped(frame, cells))


ESTIMATE = ("difference, points", "SD", "95 % interval", "n seeds", "verdict")


def _estimate(row: Any) -> tuple[str, ...]:
    value = tables.estimate_of(row)
    return (
        text.points(value.mean),
        text.number(value.sd, ".2f"),
        text.interval(value),
        str(value.n),
        text.verdict(value),
    )


def _grouped(frame: pd.DataFrame, cells: Callable[[Any], Sequence[str]]) -> list[Group]:
    return [
        Group(str(name), rows=[cells(row) for row in tables.rows(rows)])
        for name, rows in frame.groupby("experiment", sort=False)
    ]


def errors(results: Results, experiment: str) -> Grid:
    rows = []
    for side in results.sides_of(experiment):
        predictions = [run.predictions for run in results.seeds(experiment, side).values()]
        wrong = [p.predicted != p.labels for p in predictions]
        mean = f"{np.mean([each.sum() for each in wrong]):.1f}" if wrong else text.NONE
        each = ", ".join(str(each.sum()) for each in wrong)
        rows.append(
            (chip(results, side), mean, each or text.NONE, f"{len(wrong[0]):,}" if wrong else text.NONE)
        )
    return Grid(("backend", "mean errors", "by seed", "of images"), 1, [Group(rows=rows)])


def errors_by_class(results: Results, first: Run) -> Grid:
    """Mean number of test images of each class that were taken for another."""
    classes = first.cell.experiment.spec.output_shape[-1]
    columns, sides = [], results.sides_of(first.cell.name)
    for side in sides:
        wrong = [
            np.bincount(p.labels[p.predicted != p.labels], minlength=classes)
            for p in (run.predictions for run in results.seeds(first.cell.name, side).values())
        ]
        columns.append([f"{n:.1f}" for n in np.mean(wrong, axis=0)] if wrong else [text.NONE] * classes)
    rows = [(str(label), *values) for label, values in enumerate(zip(*columns, strict=True))]
    return Grid(("class", *(chip(results, side) for side in sides)), 1, [Group(rows=rows)])


OFF = ("False", "None")
"""Of a setting that the first experiment does not have; said of none that is off."""


def experiments(results: Results) -> Grid:
    """What each experiment changes in the first one."""
    known = {results.baseline: results.config.experiments[results.baseline], **results.experiments}
    flat = {name: dict(_flatten(_named(experiment))) for name, experiment in known.items()}
    first = flat[results.baseline]
    rows = []
    for name, settings in flat.items():
        changes = [
            f"{key[-1].replace('_', ' ')} {value}"
            for key, value in settings.items()
            if (value != first[key] if key in first else value not in OFF)
        ]
        rows.append((name, ", ".join(changes) or ("baseline" if settings is first else "nothing")))
    return Grid(("experiment", "what it changes"), 2, [Group(rows=rows)])


def _named(experiment: Experiment) -> dict[str, Any]:
    """Its settings, with the name of its source for the source's own settings."""
    settings = experiment.model_dump(mode="json")
    settings["data"]["source"] = find(experiment.data.source).name
    return settings


def _flatten(settings: dict[str, Any], *path: str) -> Iterable[tuple[tuple[str, ...], str]]:
    """By path: the eps of an attack is not the optimizer's."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flatten(value, *path, key)
        else:
            yield (*path, key), "other layers" if isinstance(value, list) else str(value)


def layers(experiments: Mapping[str, Experiment]) -> list[tuple[str, Grid, str]]:
    """(experiments, table, totals) of each distinct spec."""
    names: dict[Spec, list[str]] = {}
    for name, experiment in experiments.items():
        names.setdefault(experiment.spec, []).append(name)
    return [
        (
            text.listed(users),
            Grid(layer_table.COLUMNS, 2, [Group(rows=list(layer_table.rows(spec)))]),
            layer_table.totals(spec),
        )
        for spec, users in names.items()
    ]


def timing(results: Results) -> Grid:
    def typical(runs: Iterable[Run], key: str, format_: str) -> str:
        values = [run.provenance["times"].get(key) for run in runs]
        known = [value for value in values if value]
        return f"{median(known):{format_}}" if known else text.NONE

    def cells(name: str, side: Side) -> Sequence[str]:
        runs = results.seeds(name, side).values()
        formats = {"images_per_second": ",.0f", "import_s": ".2f", "build_s": ".2f"}
        return (
            chip(results, side),
            *(typical(runs, key, each) for key, each in formats.items()),
            str(len(runs)),
        )

    groups = [
        Group(name, rows=[cells(name, side) for side in results.sides_of(name)])
        for name in results.experiments
    ]
    return Grid(("backend", "images/s", "import, s", "build, s", "runs"), 1, groups)


def unfinished(results: Results) -> Grid:
    rows = [
        (
            name,
            chip(results, side),
            ", ".join(map(str, seeds)),
            outcome,
            Markup("{}{}").format(reason, _details(traceback)),
        )
        for (name, side, outcome, reason, traceback), seeds in results.problems.items()
    ]
    return Grid(("experiment", "backend", "seeds", "outcome", "reason"), 5, [Group(rows=rows)])


def _details(traceback: str) -> Markup:
    if not traceback:
        return Markup("")
    return Markup("<details><summary>traceback</summary><pre>{}</pre></details>").format(traceback)


def chip(results: Results, side: Side, label: str = "") -> Markup:
    """A backend's name, or another label, with the colour that it has in the figures."""
    return Markup('<span class="chip" style="--chip:{}">{}</span>').format(
        colour(side), escape(label or results.label(side))
    )
