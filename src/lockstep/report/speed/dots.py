"""Dots with lines: what was measured of each backend, a panel for each number of threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from lockstep.report.runs import Side
from lockstep.report.style import GREY, WIDTH, Figure, canvas, colour, face, finish, marker, space

FAR = 3.0
"""A line ends in an arrow beyond so many times the farthest dot: two rounds have very long ones."""


@dataclass(frozen=True)
class Dot:
    label: str
    side: Side
    middle: float
    low: float | None
    high: float | None


def draw(
    name: str, panels: Mapping[str, Sequence[Dot]], xlabel: str, alt: str, caption: str, ratios: bool
) -> Figure:
    """ratios: on a logarithmic axis with a line at 1; otherwise shares, in percent from 0."""
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    longest = max(map(len, panels.values()))
    dots = [dot for each in panels.values() for dot in each]
    low, high = _limits(dots) if ratios else (0.0, 1.08 * max(dot.high or dot.middle for dot in dots))
    with canvas(WIDTH if across == 2 else 0.62 * WIDTH, down * (0.6 + 0.3 * longest) + 0.3) as figure:
        grid = figure.subplots(down, across, squeeze=False, sharex=True)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, (title, rows) in zip(grid.flat, panels.items(), strict=False):
            axes.set_title(title)
            axes.set_yticks(range(0, -len(rows), -1), [dot.label for dot in rows])
            axes.set_ylim(0.6 - longest, 0.6)
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelbottom=True)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x")
            if ratios:
                _logarithmic(axes, low, high)
            axes.set_xlim(low, high)
            for place, dot in enumerate(rows):
                _dot(axes, dot, -place, low, high)
        space(figure, h_pad=0.08)
        figure.supxlabel(xlabel, fontsize=9)
        return finish(figure, name, alt, caption)


def _limits(dots: Sequence[Dot]) -> tuple[float, float]:
    """Of ratios: 1, all dots, and their lines as far as they are not far longer."""
    middles = [1.0, *(dot.middle for dot in dots)]
    lows = [dot.low for dot in dots if dot.low is not None]
    highs = [dot.high for dot in dots if dot.high is not None]
    low = max(min([*middles, *lows]), min(middles) / FAR)
    high = min(max([*middles, *highs]), max(middles) * FAR)
    margin = (high / low) ** 0.06 * 1.01
    return low / margin, high * margin


def _logarithmic(axes: Axes, low: float, high: float) -> None:
    axes.set_xscale("log")
    axes.axvline(1, color=GREY, linewidth=0.9)
    wide = high / low > 4
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _dot(axes: Axes, dot: Dot, y: float, low: float, high: float) -> None:
    shade = colour(dot.side)
    if dot.low is not None and dot.high is not None:
        ends = [max(dot.low, low), min(dot.high, high)]
        axes.plot(ends, [y, y], color=shade, linewidth=1.6)
        for limit, arrow, beyond in ((low, "<", dot.low < low), (high, ">", dot.high > high)):
            if beyond:
                axes.plot(limit, y, arrow, color=shade, markersize=5, clip_on=False)
    (mark,) = axes.plot(dot.middle, y, marker(dot.side))
    mark.set(color=shade, markerfacecolor=face(dot.side), markersize=6)
