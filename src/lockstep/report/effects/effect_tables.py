"""The tables of effects as the page shows them: one for each metric."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from lockstep.report import tables, text
from lockstep.report.effects import replication
from lockstep.report.effects.compare import ALL
from lockstep.report.effects.metrics import METRICS, Metric
from lockstep.report.effects.sentences import agreed, estimate_of, pooled
from lockstep.report.grids import Grid, Group, chip
from lockstep.report.runs import Results, Side

OTHERS = Markup("{}<br> <small>{}</small>")
WORDS = {replication.YES: "again", replication.NO: "not again", replication.UNASKED: "not asked"}
"""What other seeds say, as short as a column is narrow."""


def by_metric(results: Results, frame: pd.DataFrame) -> list[tuple[Metric, Grid]]:
    return [
        (metric, _grid(results, metric, frame[frame["metric"] == name])) for name, metric in METRICS.items()
    ]


def _grid(results: Results, metric: Metric, frame: pd.DataFrame) -> Grid:
    groups = []
    for name, mine in frame.groupby("experiment", sort=False):
        rows = tables.rows(mine)
        sides = [row for row in rows if row.backend != ALL]
        # One backend is its own mean.
        shown = rows if len(sides) != 1 else rows[-1:]
        only = (
            chip(results, Side(sides[0].backend, sides[0].device)) if len(sides) == 1 else f"{ALL} backends"
        )
        for place, row in enumerate(shown):
            who = only if row.backend == ALL else chip(results, Side(row.backend, row.device))
            groups.append(("" if place else str(name), who, *_numbers(metric, row)))
    columns = (
        "experiment", "backend", f"difference, {metric.unit}", "95 % interval", "verdict", "other seeds", "g",
        "n seeds", f"seeds for ±{metric.precision:g}", "parameters", "FLOPs", "do backends agree?",
    )  # fmt: skip
    return Grid(columns, 2, [Group(rows=groups)])


def _numbers(metric: Metric, row: Any) -> tuple[str | Markup, ...]:
    value = estimate_of(row)
    return (
        metric.signed(row.mean),
        metric.interval(value),
        row.verdict,
        _others(metric, row),
        text.points(row.effect_size, 1),
        str(row.n),
        text.number(row.seeds_needed, ",.0f"),
        f"×{row.parameters_ratio:.3g}",
        f"×{row.flops_ratio:.3g}",
        agreed(row) if row.backend == ALL else "",
    )


def _others(metric: Metric, row: Any) -> str | Markup:
    """Of an effect that is told: the word, and the interval of other seeds."""
    if row.replication in ("", replication.UNASKED):
        return WORDS.get(row.replication, "")
    low, high = metric.signed(row.other_low), metric.signed(row.other_high)
    return OTHERS.format(WORDS[row.replication], f"{low} to {high}")


def costs(results: Results, frame: pd.DataFrame) -> Grid | None:
    """Experiments with other parameters or FLOPs than the baseline, beside what they do to accuracy."""
    baseline = results.config.experiments[results.baseline].spec
    effects = {row.experiment: row for row in pooled(frame, "accuracy")}
    rows = []
    for name, experiment in results.experiments.items():
        spec = experiment.spec
        if (spec.parameters, spec.flops) == (baseline.parameters, baseline.flops):
            continue
        row = effects.get(name)
        shown = (text.NONE, text.NONE, "0", "no pair")
        if row is not None:
            value = estimate_of(row)
            shown = (
                text.points(value.mean),
                text.interval(value),
                str(value.n),
                ", ".join(filter(None, (row.verdict, row.replication))),
            )
        ratios = spec.parameters / baseline.parameters, spec.flops / baseline.flops
        sizes = (f"{spec.parameters:,}", f"×{ratios[0]:.3g}", f"{spec.flops / 1e6:.2f}", f"×{ratios[1]:.3g}")
        rows.append((name, *sizes, *shown))
    if not rows:
        return None
    own = (f"{baseline.parameters:,}", "×1", f"{baseline.flops / 1e6:.2f}", "×1")
    rows.insert(0, (results.baseline, *own, "", "", "", ""))
    columns = (
        "experiment", "parameters", "", "MFLOP an image", "", "accuracy, points", "95 % interval", "n seeds",
        "verdict",
    )  # fmt: skip
    return Grid(columns, 1, [Group(rows=rows)])
