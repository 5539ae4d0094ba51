"""All that was timed with one number of threads: ratios to the first backend, and the values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.speed.names import chip
from lockstep.report.speed.ratios import UNKNOWN, told
from lockstep.report.speed.timings import Timing, Timings
from lockstep.speed import rows
from lockstep.speed.rows import Row
from lockstep.speed.summary import Ratio, Spread


def ratios(timings: Timings, timing: Timing) -> Grid | None:
    """Every other backend over the first; None where it is alone."""
    others = [name for name in timing.backends if name != timing.first]
    if not others:
        return None
    cells = [
        (_label(row), *(_ratio(timing.ratio(name, row.phase, row.quantity)) for name in others))
        for row in _measured(timing)
    ]
    names = (Markup("{} / {}").format(chip(timings, name), timings.label(timing.first)) for name in others)
    return Grid(("", *names), 1, [Group(rows=cells)])


def values(timings: Timings, timing: Timing) -> Grid:
    cells: list[Sequence[str]] = []
    for row in _measured(timing):
        spreads = [timing.spread(name, row.phase, row.quantity) for name in timing.backends]
        numbers = (shown(spread, row.scale) for spread in spreads)
        counts = [spread["n"] for spread in spreads if spread]
        label = f"{_label(row)}, {row.unit}".rstrip(", ")
        cells.append((label, *numbers, text.extent(counts)))
    names = (chip(timings, name) for name in timing.backends)
    return Grid(("", *names, "n"), 1, [Group(rows=cells)])


def shown(spread: Spread | None, scale: float) -> str:
    """ "12,345 (12,100 to 12,600)": the median, 10 % and 90 % quantile; of one value, that alone."""
    if not spread:
        return text.NONE
    median, low, high = (
        rows.number(scale * value) for value in (spread["median"], spread["q10"], spread["q90"])
    )
    return f"{median} ({low} to {high})" if spread["n"] > 1 else median


def _measured(timing: Timing) -> Iterable[Row]:
    return (row for row in rows.ROWS if any(timing.spread(name, *row[:2]) for name in timing.backends))


def _label(row: Row) -> str:
    """Spaces at its start are kept."""
    return row.label.replace("  ", "\N{EM SPACE}")


def _ratio(found: Ratio | None) -> str | Markup:
    """Bold where its interval excludes 1."""
    if not found:
        return text.NONE
    shown = rows.ratio(found)
    return shown if told(found) == UNKNOWN else Markup("<strong>{}</strong>").format(shown)
