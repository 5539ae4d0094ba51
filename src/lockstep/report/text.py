"""Numbers as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lockstep.statistics import FEW, Estimate

NONE = "–"


def percent(share: float, digits: int = 2) -> str:
    return NONE if math.isnan(share) else f"{100 * share:.{digits}f}"


def points(value: float) -> str:
    """A difference in percentage points, already times 100, with its sign and a real minus."""
    return NONE if math.isnan(value) else _sign(value, f"{abs(value):.2f}")


def interval(estimate: Estimate, signed: bool = True) -> str:
    """Of an estimate in percent or points."""
    if not estimate.has_interval:
        return estimate.why_no_interval
    show = points if signed else "{:.2f}".format
    return f"{show(estimate.low)} to {show(estimate.high)}"


def number(value: float | None, format_: str) -> str:
    return NONE if value is None or math.isnan(value) else f"{value:{format_}}"


def count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def seeds(n: int) -> str:
    """ "3 seeds: intervals are wide" """
    if n < 2:
        return f"{count(n, 'seed')}: no intervals"
    return f"{n} seeds: intervals are wide" if n < FEW else f"{n} seeds"


def listed(words: Sequence[str]) -> str:
    """ "a, b and c" """
    *most, last = words or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def _sign(value: float, text: str) -> str:
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"
