"""The picture of T5 and T8: how far each backend is from the reference, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from lockstep.conformance.certificate import Curve
from lockstep.report import text
from lockstep.report.certificates import ONE_ULP, Certified, band
from lockstep.report.figures import DASHES
from lockstep.report.runs import Results, Side
from lockstep.report.style import GREY, INK, WIDTH, Figure, canvas, colour, face, finish, marker

STYLES: tuple[Any, ...] = ("-", DASHES, (0, (1, 1.6)), (0, (5, 1.5, 1, 1.5)))
SHADE = "#cccccc"


def divergence(results: Results, certified: Sequence[Certified]) -> Figure | None:
    """Travel error over optimiser steps: a colour for each backend, a line style for each kind of run."""
    kinds = _kinds(certified)
    if not kinds:
        return None
    ulp = band(certified)
    sides = [each.side for each in certified if any(each.side in curves for curves in kinds.values())]
    with canvas(WIDTH, 5.4) as figure:
        axes = figure.subplots()
        if ulp:
            low, high = (edge([curve.travel for curve in ulp], axis=0) for edge in (np.min, np.max))
            # Its edge keeps the band visible where it is thinner than a line.
            axes.fill_between(ulp[0].steps, low, high, color=SHADE, linewidth=5)
        for curves, dashes in zip(kinds.values(), cycle(STYLES), strict=False):
            for place, side in enumerate(sides):
                if side in curves:
                    _line(axes, side, curves[side], dashes, wide=len(sides) - 1 - place)
        _limit(axes, certified)
        _scales(axes, [curve for curves in kinds.values() for curve in curves.values()])
        _legends(axes, results, sides, list(kinds), bool(ulp))
        alt = f"Travel error by optimiser step, both axes logarithmic: {_ending(kinds, ulp)}"
        return finish(figure, "divergence", alt, _caption(results, kinds, ulp))


def _kinds(certified: Sequence[Certified]) -> dict[str, dict[Side, Curve]]:
    """{kind of run: {backend: curve}}, the largest errors first."""
    kinds: dict[str, dict[Side, Curve]] = {}
    for each in certified:
        for made in each.certificates.values():
            for curve in made.curves:
                if not curve.label.startswith(ONE_ULP):
                    kinds.setdefault(curve.label, {})[each.side] = curve
    return dict(sorted(kinds.items(), key=lambda item: -_ends(item[1])[-1]))


def _ends(curves: dict[Side, Curve]) -> list[float]:
    """The errors at the last step, in order; of runs that diverged, at the last one that has a number."""
    last = max(curve.steps[-1] for curve in curves.values())
    return sorted(curve.travel[-1] for curve in curves.values() if curve.steps[-1] == last)


def _line(axes: Axes, side: Side, curve: Curve, dashes: Any, wide: int) -> None:
    """Wide lines are drawn first, so that where backends agree all remain visible."""
    shown = np.where(np.array(curve.travel) > 0, curve.travel, np.nan)
    (line,) = axes.plot(curve.steps, shown, color=colour(side), linewidth=1.2 + 0.9 * wide)
    line.set(linestyle=dashes, marker=marker(side), markersize=3.5 + 1.2 * wide, markerfacecolor=face(side))


def _limit(axes: Axes, certified: Sequence[Certified]) -> None:
    for limit in sorted({check.limit for each in certified for check in each.float64 if check.limit}):
        axes.axhline(limit, color=INK, linewidth=0.9)
        where = (0.004, limit)
        axes.annotate(
            f"limit in float64: {text.scientific(limit)}", where, xytext=(0, 3), textcoords="offset points",
            xycoords=axes.get_yaxis_transform(), fontsize=8.5,
        )  # fmt: skip


def _scales(axes: Axes, curves: Sequence[Curve]) -> None:
    steps = sorted({step for curve in curves for step in curve.steps})
    axes.set_xscale("log")
    # Near the end the marks stand too close for all of their numbers.
    shown = [step for step, after in zip(steps, [*steps[1:], np.inf], strict=True) if after > 1.4 * step]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=9))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("travel error")


def _legends(axes: Axes, results: Results, sides: Sequence[Side], kinds: Sequence[str], ulp: bool) -> None:
    """Colours and markers in one line, line styles in the next, above the axes."""
    backends = [
        Line2D([], [], color=colour(side), marker=marker(side), markerfacecolor=face(side), linewidth=2)
        for side in sides
    ]
    styles = [
        Line2D([], [], color=GREY, linestyle=dashes, linewidth=1.6)
        for _, dashes in zip(kinds, cycle(STYLES), strict=False)
    ]
    shade = {"the reference against itself, one weight moved by one ulp": Patch(color=SHADE)} if ulp else {}
    axes.legend(
        [*styles, *shade.values()], [*kinds, *shade],
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8.5,
    )  # fmt: skip
    figure = axes.get_figure()
    assert figure is not None
    figure.legend(backends, list(map(results.label, sides)), loc="outside upper left", ncols=8, fontsize=8.5)


def _ending(kinds: dict[str, dict[Side, Curve]], ulp: Sequence[Curve]) -> str:
    """What the picture shows, in numbers."""
    parts = [f"{text.extent(_ends(curves))} in {kind}" for kind, curves in reversed(kinds.items())]
    if ulp:
        moved = text.extent([curve.travel[-1] for curve in ulp])
        parts.append(f"{moved} for the reference against itself with one weight moved by one ulp")
    steps = max(curve.steps[-1] for curves in kinds.values() for curve in curves.values())
    return f"after {text.count(steps, 'step')} it is {text.listed(parts)}."


def _caption(results: Results, kinds: dict[str, dict[Side, Curve]], ulp: Sequence[Curve]) -> str:
    exact = [results.label(s) for curves in kinds.values() for s, c in curves.items() if not any(c.travel)]
    none = f" An error of exactly 0 has no line: {text.listed(exact)}." if exact else ""
    return (
        "Travel error: the distance between two networks' weights, divided by the way that the reference's "
        f"have come since the start; {_ending(kinds, ulp)} Lines are drawn one on top of the other, from "
        f"wide to thin, so that where backends agree all remain visible.{none}"
    )
