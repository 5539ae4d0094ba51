"""Tidy tables of all results, as data frames and as CSV, Parquet and Markdown files.

Accuracies are shares between 0 and 1; columns that end in `_points` are percentage points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lockstep.inside import Activity
from lockstep.report.effects import compare, functions, inside, sizes
from lockstep.report.robustness import attack_tables, attacked, carried, checks
from lockstep.report.runs import Results, Run, Side
from lockstep.report.speed import files, speed_tables
from lockstep.results import write, write_text
from lockstep.statistics import Estimate, churn, differences, estimate

CELL = ["experiment", "backend", "device", "seed"]
POINTS = ["mean_points", "sd_points", "low_points", "high_points", "n"]
COLUMNS = {
    "cells": [*CELL, "outcome", "reason", "cell_hash", "epochs", "parameters", "flops"],
    "measurements": [*CELL, "split", "metric", "condition", "value", "n"],
    "accuracy": [
        *CELL[:3], "mean", "sd", "low", "high", "n", "cross_entropy", "seed_churn", "parameters", "flops"
    ],
    "differences": [*CELL[:3], "minus_backend", "minus_device", *POINTS, "churn", "seed_churn"],
    "effects": compare.COLUMNS,
    "inside": inside.COLUMNS,
    "units": [*CELL, *(field.name for field in fields(Activity))],
    "functions": functions.COLUMNS,
    "learning_curve": sizes.COLUMNS,
    "attacks": attack_tables.COLUMNS,
    "transfer": carried.COLUMNS,
    "robustness_checks": checks.COLUMNS,
    "speed": speed_tables.COLUMNS,
    "speed_peers": speed_tables.PEERS,
    "history": [*CELL, "epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"],
}  # fmt: skip
Row = dict[str, Any]


def build(results: Results) -> dict[str, pd.DataFrame]:
    """{name: table}; a table without rows still has its columns."""
    robustness, timings = attacked.read(results), files.read(results)
    contents: dict[str, Iterable[Row]] = {
        "cells": map(_cell, results.runs),
        "measurements": _measurements(results),
        "accuracy": _accuracy(results),
        "differences": _differences(results),
        "effects": compare.effects(results),
        "inside": inside.table(results),
        "units": _units(results),
        "functions": functions.functions(results),
        "learning_curve": sizes.learning_curve(results),
        "attacks": attack_tables.attacks(robustness) if robustness else (),
        "transfer": carried.table(robustness) if robustness else (),
        "robustness_checks": checks.table(robustness) if robustness else (),
        "speed": speed_tables.speed(timings) if timings else (),
        "speed_peers": speed_tables.peers(timings) if timings else (),
    }
    tables = {name: pd.DataFrame(list(content), columns=COLUMNS[name]) for name, content in contents.items()}
    return tables | {"history": _history(results)}


def save(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    for name, table in tables.items():
        write(folder / f"{name}.csv", partial(table.to_csv, index=False))
        write(folder / f"{name}.parquet", partial(table.to_parquet, index=False))
        write_text(folder / f"{name}.md", markdown(table))


def markdown(table: pd.DataFrame) -> str:
    """A table of GitHub's Markdown; what is not known is empty, and no cell ends its row or starts a tag."""
    columns = [[str(name), "---", *map(_plain, table[name])] for name in table]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in zip(*columns, strict=True))


def _plain(value: object) -> str:
    if value is None or value != value:  # NaN
        return ""
    shown = str(value)
    if isinstance(value, str):
        shown = " ".join(shown.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return shown


def seed_churn(runs: Sequence[Run]) -> float:
    """Mean churn between the seeds of one backend: the scale to judge churn between backends by."""
    return _mean(_churn(first, second) for first, second in combinations(runs, 2))


def pair_churn(results: Results, experiment: str, first: Side, second: Side) -> float:
    """Mean churn between two backends trained from the same seed."""
    ones, others = results.seeds(experiment, first), results.seeds(experiment, second)
    return _mean(_churn(ones[seed], others[seed]) for seed in ones if seed in others)


def _key(run: Run) -> Row:
    return {"experiment": run.cell.name, **run.side._asdict(), "seed": run.cell.seed}


def _cell(run: Run) -> Row:
    spec = run.cell.experiment.spec
    known = {"cell_hash": run.provenance.get("cell_hash"), "epochs": run.metrics.get("epochs", 0)}
    costs = {"parameters": spec.parameters, "flops": spec.flops}
    return _key(run) | {"outcome": run.outcome, "reason": run.reason} | known | costs


def _measurements(results: Results) -> Iterable[Row]:
    for run in results.runs:
        for row in run.metrics.get("measurements", []) if run.usable else []:
            yield _key(run) | row


def _accuracy(results: Results) -> Iterable[Row]:
    for name, experiment in results.experiments.items():
        for side in results.sides_of(name):
            runs = list(results.seeds(name, side).values())
            yield {
                "experiment": name,
                **side._asdict(),
                **asdict(estimate([run.test("accuracy") for run in runs])),
                "cross_entropy": _mean(run.test("cross_entropy") for run in runs),
                "seed_churn": seed_churn(runs),
                "parameters": experiment.spec.parameters,
                "flops": experiment.spec.flops,
            }


def _differences(results: Results) -> Iterable[Row]:
    for name in results.experiments:
        for first, second in results.pairs(name):
            pairs = differences(results.accuracies(name, first), results.accuracies(name, second))
            of_seeds = [seed_churn(list(results.seeds(name, side).values())) for side in (first, second)]
            yield {
                "experiment": name,
                **second._asdict(),
                "minus_backend": first.backend,
                "minus_device": first.device,
                **points(estimate(list(pairs.values()))),
                "churn": pair_churn(results, name, first, second),
                "seed_churn": _mean(value for value in of_seeds if not np.isnan(value)),
            }


def _units(results: Results) -> Iterable[Row]:
    for run in results.runs:
        for row in rows(run.units) if run.usable else []:
            yield _key(run) | row._asdict()


def _history(results: Results) -> pd.DataFrame:
    """Every epoch of every run, of those that diverged up to where they did."""
    found = [run for run in results.runs if run.has_results and len(run.history)]
    if not found:
        return pd.DataFrame(columns=COLUMNS["history"])
    keys = pd.DataFrame([_key(run) for run in found])
    epochs = [len(run.history) for run in found]
    joined = pd.concat([run.history for run in found], ignore_index=True)
    return joined.assign(**keys.loc[keys.index.repeat(epochs)].reset_index(drop=True))[COLUMNS["history"]]


def rows(frame: pd.DataFrame) -> list[Any]:
    """Named tuples; their fields are of any type, which pandas cannot tell."""
    return list(frame.itertuples(index=False))


def estimate_of(row: Any) -> Estimate:
    """The estimate, in percentage points, in a row of the table of differences."""
    return Estimate(*(getattr(row, name) for name in POINTS))


def points(value: Estimate) -> Row:
    """An estimate of shares in percentage points."""
    scaled = (100 * value.mean, 100 * value.sd, 100 * value.low, 100 * value.high, value.n)
    return dict(zip(POINTS, scaled, strict=True))


def _churn(first: Run, second: Run) -> float:
    return churn(first.predictions.predicted, second.predictions.predicted)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")
