"""Numbers as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lockstep.statistics import FEW, Estimate

NONE = "–"


def percent(share: float, digits: int = 2) -> str:
    return NONE if math.isnan(share) else f"{100 * share:.{digits}f}"


def points(value: float, digits: int = 2) -> str:
    """A difference, in percentage points already times 100, with its sign and a real minus."""
    return NONE if math.isnan(value) else _sign(value, f"{abs(value):.{digits}f}")


def interval(estimate: Estimate, signed: bool = True, digits: int = 2) -> str:
    """Of an estimate in percent or points."""
    if not estimate.has_interval:
        return estimate.why_no_interval
    low, high = (
        points(end, digits) if signed else f"{end:.{digits}f}".replace("-", "−")
        for end in (estimate.low, estimate.high)
    )
    return f"{low} to {high}"


def verdict(value: Estimate) -> str:
    """What an interval lets one say about the sign of a difference."""
    if value.n == 0:
        return "no pair"
    if not value.excludes_zero:
        return "cannot tell"
    return "higher" if value.mean > 0 else "lower"


def number(value: float | None, format_: str) -> str:
    return NONE if value is None or math.isnan(value) else f"{value:{format_}}"


def at_most(number: str) -> str:
    """ "≤ 75.0": of an accuracy that a stronger attack may leave less of."""
    return f"≤\N{NO-BREAK SPACE}{number}"


def scientific(value: float | None, signed: bool = False) -> str:
    """1.9e-15, 1e-12, 0.079, 0: two digits, with an exponent where the number is far from 1."""
    if value is None or math.isnan(value):
        return NONE
    size = f"{abs(value):.2g}"
    if value and not 0.001 <= abs(value) < 1000:
        digits, exponent = f"{abs(value):.1e}".split("e")
        size = f"{digits.removesuffix('.0')}e{int(exponent)}"
    return _sign(value, size) if signed or value < 0 else size


def probability(p: float) -> str:
    """ "= 0.62", "< 0.001" """
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def tiers(names: Sequence[str]) -> str:
    """["T0", "T1", "T2", "T5"] -> "T0–T2, T5" """
    runs: list[list[str]] = []
    for name in sorted(names):
        if runs and int(name[1:]) == int(runs[-1][-1][1:]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def extent(values: Sequence[float]) -> str:
    """ "0.071 to 0.079", or the one number that both round to."""
    low, high = scientific(min(values)), scientific(max(values))
    return low if low == high else f"{low} to {high}"


def count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def seeds(counts: Sequence[int]) -> str:
    """ "3 to 5 seeds: intervals are wide", of what was counted in several places"""
    least, most = min(counts, default=0), max(counts, default=0)
    shown = count(most, "seed") if least == most else f"{least} to {most} seeds"
    if most < 2:
        return f"{shown}: no intervals"
    if least >= FEW:
        return shown
    which = "intervals are wide" if most < FEW else "some intervals are wide"
    return f"{shown}: {which if least > 1 else f'{which}, or there is none'}"


def listed_seeds(numbers: Sequence[int]) -> str:
    """ "seed 0", "seeds 0, 1 and 2" """
    return f"seed{'' if len(numbers) == 1 else 's'} {listed([str(each) for each in numbers])}"


def listed(words: Sequence[str]) -> str:
    """ "a, b and c" """
    *most, last = words or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def _sign(value: float, text: str) -> str:
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"
