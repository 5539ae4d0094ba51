"""Images a second against the batch size."""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from lockstep.report import text
from lockstep.report.runs import Side
from lockstep.report.speed.timings import Timing, Timings
from lockstep.report.style import WIDTH, Figure, canvas, colour, finish, marker
from lockstep.speed.summary import Spread

PHASE = re.compile(r"batch_size\[(\d+)\]")


def curve(timing: Timing, backend: str) -> dict[int, Spread]:
    """{batch size: images a second} in training steps."""
    sizes = sorted(
        int(found[1]) for phase in timing.content["backends"][backend] if (found := PHASE.fullmatch(phase))
    )
    spreads = {size: timing.spread(backend, f"batch_size[{size}]") for size in sizes}
    return {size: spread for size, spread in spreads.items() if spread}


def figure(timings: Timings) -> Figure | None:
    curves = {
        timing.label: {name: curve(timing, name) for name in timing.backends} for timing in timings.usable
    }
    panels = {label: mine for label, mine in curves.items() if any(mine.values())}
    if not panels:
        return None
    sizes = sorted({size for mine in panels.values() for points in mine.values() for size in points})
    names = [name for name in timings.backends if any(mine.get(name) for mine in panels.values())]
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    with canvas(WIDTH if across > 1 else 0.62 * WIDTH, 3.6 * down + 0.3) as drawn:
        grid = drawn.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, (label, mine) in zip(grid.flat, panels.items(), strict=False):
            for name, points in mine.items():
                _draw(axes, timings.side(name), points)
            _scales(axes, sizes)
            axes.set_title(label)
        for axes in grid[:, 0]:
            axes.set_ylabel("images a second")
        lines = [
            Line2D([], [], color=colour(side), marker=marker(side), markersize=4.5)
            for side in map(timings.side, names)
        ]
        drawn.legend(lines, list(map(timings.label, names)), loc="outside upper left", ncols=8, fontsize=8.5)
        return finish(
            drawn,
            "speed_batch_sizes",
            "Training images a second against the batch size, both on logarithmic axes, for "
            f"{text.listed(list(map(timings.label, names)))}.",
            "Training steps on batches that lie ready. Lines: medians over rounds; bands: 10 % to 90 % "
            "quantile. Where a line rises, part of a step's time is the same for any batch; where it is "
            f"flat, time goes with the images. {timings.machine}.",
        )


def _draw(axes: Axes, side: Side, points: dict[int, Spread]) -> None:
    sizes, spreads = list(points), list(points.values())
    low, middle, high = ([spread[key] for spread in spreads] for key in ("q10", "median", "q90"))
    axes.fill_between(sizes, low, high, color=colour(side), alpha=0.18, linewidth=0)
    axes.plot(sizes, middle, color=colour(side), marker=marker(side), markersize=4.5, linewidth=1.5)


def _scales(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_locator(NullLocator())
    axes.tick_params(labelbottom=True, labelleft=True)
    axes.grid()
    axes.set_xlabel("batch size")
