"""Learning curves: what an experiment reaches, and what it changes, with fewer training images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from lockstep.experiment import Experiment
from lockstep.report import text
from lockstep.report.effects.compare import ALL
from lockstep.report.effects.lines import colours, errorbars, legend
from lockstep.report.runs import Results, Runs, Side, by_seed
from lockstep.report.style import GREY, WIDTH, Figure, canvas, finish
from lockstep.statistics import Estimate, differences, estimate

COLUMNS: list[str] = [
    "experiment", "train_size", "epochs", "backend", "device", "mean", "sd", "low", "high", "n",
    "effect_points", "effect_sd_points", "effect_low_points", "effect_high_points", "effect_n",
]  # fmt: skip


def curves(results: Results) -> dict[str, dict[int, str]]:
    """{experiment: {training images: name of its runs}}, of experiments with smaller sets."""
    points: dict[str, dict[int, str]] = {}
    trained = dict.fromkeys(run.cell.name for run in results.runs)
    for cell in trained:
        if cell in results.config.smaller:
            name = cell.rsplit("@", 1)[0]
            points.setdefault(name, {})[results.config.smaller[cell].train_size] = cell
    for name, sizes in points.items():
        if name in trained:
            sizes.setdefault(results.config.experiments[name].train_size, name)
    order = [name for name in results.config.experiments if name in points]
    return {name: dict(sorted(points[name].items())) for name in order}


def _known(results: Results) -> Mapping[str, Experiment]:
    return {**results.config.experiments, **results.config.smaller}


def learning_curve(results: Results) -> Iterable[dict[str, Any]]:
    """A row for each point and backend, then their mean; only backends that have the smaller sets."""
    points = curves(results)
    for name, sizes in points.items():
        small = {run.side for run in results.runs if run.cell.name in set(sizes.values()) - {name}}
        sides = [side for side in results.sides if side in small]
        for size, cell in sizes.items():
            for side in [*sides, Side(ALL, ALL)]:
                of = sides if side == (ALL, ALL) else [side]
                ours = accuracies(results, cell, of)
                pairs = {}
                if name != results.baseline and size in points.get(results.baseline, {}):
                    pairs = differences(accuracies(results, points[results.baseline][size], of), ours)
                value = estimate(list(by_seed(ours).values()))
                effect = estimate([100 * change for change in by_seed(pairs).values()])
                epochs = _known(results)[cell].training.epochs
                numbers = (*_numbers(value), *_numbers(effect))
                yield dict(zip(COLUMNS, (name, size, epochs, *side, *numbers), strict=True))


def accuracies(results: Results, cell: str, sides: Sequence[Side]) -> dict[Runs, float]:
    """{backend and seed: test accuracy}."""
    return {(side, seed): value for side in sides for seed, value in results.accuracies(cell, side).items()}


def _numbers(value: Estimate) -> tuple[float, ...]:
    return value.mean, value.sd, value.low, value.high, value.n


def _points(frame: pd.DataFrame, name: str, columns: Sequence[str], factor: float) -> dict[float, Estimate]:
    """The points of one line, in percent or points."""
    rows = frame[(frame["experiment"] == name) & (frame["backend"] == ALL)].set_index("train_size")
    found = {}
    for size, row in rows.iterrows():
        found[float(str(size))] = _estimate(row, columns, factor)
    return found


def _estimate(row: Any, columns: Sequence[str], factor: float) -> Estimate:
    mean, sd, low, high, n = row[list(columns)]
    return Estimate(factor * mean, factor * sd, factor * low, factor * high, int(n))


def figure(results: Results, frame: pd.DataFrame) -> Figure | None:
    """Accuracy, and the difference to the baseline where it has the sizes, by training images."""
    if not (frame["n"] > 0).any():
        return None
    names = list(dict.fromkeys(frame["experiment"]))
    shades = colours(names)
    compared = [name for name in names if (frame["effect_n"][frame["experiment"] == name] > 0).any()]
    with canvas(WIDTH if compared else 0.62 * WIDTH, 3.7) as drawn:
        panels = drawn.subplots(1, 2 if compared else 1, squeeze=False)[0]
        for name in names:
            accuracy = _points(frame, name, COLUMNS[5:10], 100)
            errorbars(panels[0], accuracy, 1, shades[name], name)
        panels[0].set_ylabel("test accuracy, %")
        if compared:
            panels[1].axhline(0, color=GREY, linewidth=0.9)
            panels[1].set_ylabel(f"minus {results.baseline}, points")
        for name in compared:
            errorbars(panels[1], _points(frame, name, COLUMNS[10:], 1), 1, shades[name], name)
        for axes in panels:
            _sizes(axes, sorted(set(frame["train_size"])))
        legend(panels[0])
        return finish(
            drawn,
            "learning_curve",
            "Test accuracy by the number of training images, on a logarithmic axis, for "
            f"{text.listed(names)}.",
            f"Smaller sets are parts of the larger ones. {_epochs(frame)} Bars: 95 % intervals over seeds."
            + (
                " Right: minus the baseline with as many images, paired by backend and seed."
                if compared
                else ""
            ),
        )


def _epochs(frame: pd.DataFrame) -> str:
    """How long each size was trained: fewer images are often seen more often."""
    pairs = frame[["train_size", "epochs"]].drop_duplicates().sort_values("train_size")
    listed = text.listed([f"{size:,} ({epochs})" for size, epochs in pairs.itertuples(index=False)])
    return f"Images (epochs): {listed}."


def _sizes(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
    axes.set_xlabel("training images")


def sentences(results: Results, frame: pd.DataFrame) -> list[str]:
    """The effect of each experiment on the smallest and on the largest training set."""
    said = []
    rows = frame[(frame["backend"] == ALL) & (frame["effect_n"] > 0)]
    for name, mine in rows.groupby("experiment", sort=False):
        parts = []
        for row in (mine.iloc[0], mine.iloc[-1])[: len(mine)]:
            value = _estimate(row, COLUMNS[10:], 1)
            few = f"{text.interval(value)}, {text.count(value.n, 'seed')}"
            parts.append(
                f"with {row['train_size']:,} images {text.points(value.mean)} points ({few}): "
                f"{text.verdict(value)}"
            )
        said.append(f"{name} − {results.baseline}: {'; '.join(parts)}.")
    return said
