"""Charts of results: accuracies, differences, training curves, errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from lockstep.report.runs import Results, Side
from lockstep.report.style import (
    GREY,
    INK,
    WIDTH,
    Figure,
    canvas,
    colour,
    face,
    few_ticks,
    finish,
    marker,
    space,
)
from lockstep.statistics import differences, estimate

DASHES = (0, (3, 2.5))


@dataclass(frozen=True)
class Row:
    """One line of a forest plot."""

    label: str
    values: Sequence[float]
    colour: str = INK
    marker: str = "o"


def accuracies(results: Results) -> Figure:
    """One dot per seed, a bar at the mean: one line per backend, grouped by experiment."""
    names, sides = list(results.experiments), {name: results.sides_of(name) for name in results.experiments}
    gap = 0.9  # lines between experiments
    heights: dict[tuple[str, Side], float] = {}
    line = 0.0
    for name in names:
        heights |= {(name, side): line - place for place, side in enumerate(sides[name])}
        line -= len(sides[name]) + gap
    # Each seed has a height of its own, so that equal accuracies do not hide each other.
    seeds = results.config.seeds
    lift = dict(zip(seeds, np.linspace(0.22, -0.22, len(seeds)) if len(seeds) > 1 else [0.0], strict=True))
    with canvas(WIDTH, 0.75 + 0.17 * -line) as figure:
        axes = figure.subplots()
        for (name, side), y in heights.items():
            values = {seed: 100 * value for seed, value in results.accuracies(name, side).items()}
            if not values:
                continue
            mean = sum(values.values()) / len(values)
            axes.plot([mean, mean], [y - 0.4, y + 0.4], color=colour(side), linewidth=1.6)
            (marks,) = axes.plot(list(values.values()), [y + lift[seed] for seed in values], marker(side))
            marks.set(color=colour(side), markerfacecolor=face(side), markersize=4.5, alpha=0.8)
        middles = [np.mean([heights[name, side] for side in sides[name]]) for name in names]
        axes.set_yticks(middles, names)
        axes.tick_params(axis="y", length=0, pad=6)
        for name in names[1:]:
            axes.axhline(heights[name, sides[name][0]] + (1 + gap) / 2, color="#e8e8e8", linewidth=0.7)
        axes.set_ylim(min(heights.values()) - 0.8, 0.8)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        few_ticks(axes, 8)
        axes.set_xlabel("test accuracy, %")
        legend(axes, results, title="one mark per seed; bar: mean")
        return finish(
            figure,
            "accuracies",
            f"Dot plot of test accuracy for each seed of {len(names)} experiments and "
            f"{len(results.trained)} backends.",
            "Every mark is one training run, every bar the mean of a backend's seeds. Marks of the same seed "
            "start from the same weights and see the same batches.",
        )


def pair_differences(results: Results) -> Figure:
    """One panel per experiment, one line per pair of backends."""
    panels = {
        name: [
            Row(f"{results.label(second)} − {results.label(first)}", _points(results, name, first, second))
            for first, second in results.pairs(name)
        ]
        for name in results.experiments
        if results.pairs(name)
    }
    most = max(map(len, panels.values()))
    return forest(
        "differences",
        panels,
        "difference in test accuracy, percentage points",
        f"Forest plot of paired accuracy differences between {most} pairs of backends.",
        "Small marks are single seeds, the large mark is their mean, the line its 95 % interval over seeds. "
        "A line that crosses 0 cannot tell the two backends apart; an arrow says that it goes on. Without a "
        "line there is no interval: fewer than two seeds, or all of them differ equally.",
    )


def forest(
    name: str, panels: dict[str, list[Row]], xlabel: str, alt: str, caption: str, shared: bool = True
) -> Figure:
    """Values, mean and 95 % interval of every row; panels share one x axis, or each has its own."""
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    longest = max(len(rows) for rows in panels.values())
    widest = _limit([row for rows in panels.values() for row in rows])
    with canvas(WIDTH if columns == 2 else 0.62 * WIDTH, lines * (0.65 + 0.21 * longest) + 0.3) as figure:
        grid = figure.subplots(lines, columns, squeeze=False, sharex=shared)
        for axes, (title, rows) in zip(grid.flat, panels.items(), strict=False):
            limit = widest if shared else _limit(rows)
            axes.axvline(0, color=GREY, linewidth=0.9)
            for y, row in enumerate(rows):
                _draw(axes, row, -y, limit)
            axes.set_yticks(range(0, -len(rows), -1), [row.label for row in rows])
            axes.set_ylim(0.6 - len(rows), 0.6)
            axes.set_xlim(-limit, limit)
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelbottom=True)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x")
            axes.set_title(title)
            few_ticks(axes, 6)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        space(figure, h_pad=0.08)
        figure.supxlabel(xlabel, fontsize=9)
        return finish(figure, name, alt, caption)


def _limit(rows: Sequence[Row]) -> float:
    """Half the width of the x axis: all values, and intervals up to a few times as wide."""
    values = max((abs(value) for row in rows for value in row.values), default=0.0)
    estimates = [estimate(row.values) for row in rows]
    ends = [max(abs(e.low), abs(e.high)) for e in estimates if e.has_interval]
    return max(1.1 * min(max(ends, default=0.0), 3 * values), 1.2 * values, 1e-9) if values else 0.1


def _draw(axes: Axes, row: Row, y: float, limit: float) -> None:
    if not len(row.values):
        axes.text(0.02 * limit, y, "no seed in common", fontsize=8, color=GREY, va="center")
        return
    mean = estimate(row.values)
    if mean.has_interval:
        interval(axes, mean.low, mean.high, y, limit, row.colour)
    (seeds,) = axes.plot(row.values, [y + 0.3] * len(row.values), row.marker)
    seeds.set(color=row.colour, alpha=0.55, markersize=3, markeredgewidth=0)
    axes.plot(mean.mean, y, row.marker, color=row.colour, markersize=6)


def interval(axes: Axes, low: float, high: float, y: float, limit: float, colour: str) -> None:
    """A line from low to high; where it leaves +-limit, an arrow says that it goes on."""
    axes.plot([max(low, -limit), min(high, limit)], [y, y], color=colour, linewidth=1.6)
    for end, arrow in ((low, "<"), (high, ">")):
        if abs(end) > limit:
            axes.plot(math.copysign(limit, end), y, arrow, color=colour, markersize=5, clip_on=False)


def curves(results: Results, history: pd.DataFrame) -> Figure:
    """Loss and accuracy by epoch, means over seeds: two panels per experiment."""
    names = list(results.experiments)
    across = 2 if len(names) > 1 else 1
    lines = math.ceil(len(names) / across)
    with canvas(WIDTH, 1.95 * lines + 0.7) as figure:
        grid = figure.subplots(lines, 2 * across, squeeze=False)
        panels = grid.reshape(lines * across, 2)
        for pair, name in zip(panels, names, strict=False):
            for axes, quantity in zip(pair, ("loss", "accuracy"), strict=True):
                _curve(axes, results.sides_of(name), history[history["experiment"] == name], quantity)
                axes.set_title(f"{name}: {quantity}")
        for column in (0, 1):
            _share_y(panels[: len(names), column])
        for axes in panels[len(names) :].flat:
            axes.set_axis_off()
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        parts = [Line2D([], [], color=GREY), Line2D([], [], color=GREY, linestyle=DASHES)]
        handles = [*handles_of(results, line=True), *parts]
        labels = [*map(results.label, results.trained), "validation", "training"]
        figure.legend(handles, labels, loc="outside upper left", ncols=8, fontsize=8.5)
        return finish(
            figure,
            "curves",
            f"Training and validation loss and accuracy by epoch for {len(names)} experiments.",
            "Means over seeds. Backends are drawn one on top of the other, from a wide to a thin line, so "
            "that where they agree all remain visible. Training figures are means over the epoch, of weights "
            "that still move and with dropout on; validation figures are of the weights at the epoch's end "
            "with dropout off. So with dropout validation can be better than training.",
        )


def _curve(axes: Axes, sides: Sequence[Side], history: pd.DataFrame, quantity: str) -> None:
    count = len(sides)
    for place, side in enumerate(sides):
        mine = history[(history["backend"] == side.backend) & (history["device"] == side.device)]
        means = mine.groupby("epoch")[[f"validation_{quantity}", f"train_{quantity}"]].mean()
        width = 1.0 + min(1.2, 5 / count) * (count - 1 - place)
        for column, dashes in zip(means, ("-", DASHES), strict=True):
            (line,) = axes.plot(
                means.index, means[column], color=colour(side), linewidth=width, linestyle=dashes
            )
            if len(means) == 1:  # one epoch makes no line
                line.set(marker=marker(side), markersize=4)
    if quantity == "loss":
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _share_y(panels: Iterable[Axes]) -> None:
    """One range for all panels with lines in them, so that experiments can be compared by eye."""
    filled = [axes for axes in panels if any(np.size(line.get_xdata()) for line in axes.lines)]
    ranges = [axes.get_ylim() for axes in filled]
    for axes in filled:
        axes.set_ylim(min(low for low, _ in ranges), max(high for _, high in ranges))


def legend(axes: Axes, results: Results, title: str) -> None:
    """Above the axes."""
    labels = list(map(results.label, results.trained))
    box = axes.legend(
        handles_of(results), labels, title=title, loc="lower left", bbox_to_anchor=(0, 1), alignment="left",
        ncols=8, fontsize=8.5, borderaxespad=0.2, columnspacing=1.4, handletextpad=0.3,
    )  # fmt: skip
    box.get_title().set_fontsize(8.5)


def handles_of(results: Results, line: bool = False) -> list[Line2D]:
    if line:
        return [Line2D([], [], color=colour(side), linewidth=2.5) for side in results.trained]
    return [
        Line2D([], [], color=colour(side), marker=marker(side), markerfacecolor=face(side), linestyle="none")
        for side in results.trained
    ]


def _points(results: Results, experiment: str, first: Side, second: Side) -> list[float]:
    pairs = differences(results.accuracies(experiment, first), results.accuracies(experiment, second))
    return _percent(pairs.values())


def _percent(values: Iterable[float]) -> list[float]:
    return [100 * value for value in values]
