"""Lines with intervals over seeds, one colour for each experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

from matplotlib.axes import Axes

from lockstep.report.style import MARKERS, PALETTE
from lockstep.statistics import Estimate


def colours(names: Sequence[str]) -> dict[str, str]:
    return dict(zip(names, cycle(PALETTE), strict=False))


def errorbars(
    axes: Axes,
    levels: Mapping[float, Estimate],
    factor: float,
    colour: str,
    label: str,
    across: float = 1,
    linestyle: str = "-",
) -> None:
    """Means with their 95 % intervals; a mean without one has no bar."""
    values = {across * level: each for level, each in levels.items() if each.n}
    place = PALETTE.index(colour)
    means = [factor * value.mean for value in values.values()]
    (line,) = axes.plot(list(values), means, color=colour, marker=MARKERS[place], label=label)
    line.set(markersize=4.5, linewidth=1.5, linestyle=linestyle)
    for level, value in values.items():
        if value.has_interval:
            ends = [factor * value.low, factor * value.high]
            axes.plot([level, level], ends, color=colour, linewidth=1.3, alpha=0.6)


def legend(axes: Axes) -> None:
    """Above the axes."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8.5, borderaxespad=0.2, columnspacing=1.4
    )
