"""Differences in test accuracy with their intervals, against the margin."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes

from lockstep.compare import words
from lockstep.compare.comparison import Comparison
from lockstep.compare.metrics import Row
from lockstep.report.figures import interval
from lockstep.report.runs import Side
from lockstep.report.style import GREY, WIDTH, Figure, canvas, colour, face, few_ticks, finish, marker

SHADE = "#e9eef4"
LINES = 60
"""More of them make no picture."""


def forest(found: Comparison) -> Figure | None:
    """A panel for each pair of results, a line for each experiment and backend; None without any."""
    tables = [{row.group: row for row in pair.metrics if row.metric == "accuracy"} for pair in found.pairs]
    every = dict.fromkeys(group for table in tables for group in table)
    if not every:
        return None
    farthest = sorted(
        every, key=lambda group: -max(abs(t[group].contrast.mean) for t in tables if group in t)
    )
    groups = [group for group in every if group in farthest[:LINES]]
    left_out = (
        f" Only the {LINES} largest of {len(every)} differences are drawn." if len(every) > LINES else ""
    )
    limit = max(_extent(row, found.margin) for table in tables for row in table.values())
    width = WIDTH if len(tables) > 1 else 0.75 * WIDTH
    with canvas(width, 0.9 + 0.24 * len(groups)) as figure:
        panels = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
        for axes, pair, table in zip(panels, found.pairs, tables, strict=True):
            axes.axvspan(-found.margin, found.margin, color=SHADE, linewidth=0)
            axes.axvline(0, color=GREY, linewidth=0.9)
            for y, group in enumerate(groups):
                if group in table:
                    _draw(axes, table[group], -y, limit)
            axes.set_yticks(range(0, -len(groups), -1), [f"{g.experiment}, {g.backend}" for g in groups])
            axes.tick_params(axis="y", length=0)
            axes.set_ylim(0.6 - len(groups), 0.6)
            axes.set_xlim(-limit, limit)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x")
            axes.set_title(pair.name)
            few_ticks(axes, 6)
        figure.supxlabel("difference in test accuracy, percentage points", fontsize=9)
        return finish(
            figure,
            "accuracy",
            " ".join(["Forest plot of differences in test accuracy.", *map(words.headline, found.pairs)]),
            "Small marks are pairs of runs from one seed, the large mark is their mean, the line its 95 % "
            "interval over seeds; an arrow says that it goes on, and without a line there is none. The shade "
            f"is the margin of ±{found.margin:g} points that counts as the same.{left_out}",
        )


def _extent(row: Row, margin: float) -> float:
    """As far as a row needs: its values and the margin, and intervals up to a few times as wide."""
    values = max(100 * max(abs(value) for value in (*row.contrast.values, row.contrast.mean)), margin)
    ends = [100 * abs(end) for end in row.contrast.interval() if not math.isnan(end)]
    return 1.15 * max(values, min(max(ends, default=0.0), 3 * values))


def _draw(axes: Axes, row: Row, y: float, limit: float) -> None:
    side = Side(row.group.backend, row.group.device)
    style: dict[str, Any] = {"color": colour(side), "markerfacecolor": face(side)}
    low, high = (100 * end for end in row.contrast.interval())
    if not math.isnan(low):
        interval(axes, low, high, y, limit, colour(side))
    values = [100 * value for value in row.contrast.values]
    axes.plot(
        values, [y + 0.3] * len(values), marker(side), markersize=3, alpha=0.55, linestyle="none", **style
    )
    axes.plot(100 * row.contrast.mean, y, marker(side), markersize=6, linestyle="none", **style)
