"""What a ratio with its interval lets one say."""

from __future__ import annotations

from lockstep.speed import rows
from lockstep.speed.summary import Ratio

UNKNOWN = "cannot be told"


def told(ratio: Ratio | None) -> str:
    """Of a rate: "faster", "slower" or "cannot be told", by the interval as it is written: what ends at 1.00
    after rounding does not exclude 1."""
    if ratio and ratio["low"] is not None and round(ratio["low"], 2) > 1:
        return "faster"
    if ratio and ratio["high"] is not None and round(ratio["high"], 3) < 1:
        return "slower"
    return UNKNOWN


def said(ratio: Ratio | None) -> str:
    """ "1.43 (1.38 to 1.49)"; where there is no interval, why."""
    if not ratio:
        return "not compared (no round in common)"
    if ratio["low"] is None:
        why = "one round" if ratio["n"] == 1 else "all rounds equal"
        return f"{rows.number(ratio['ratio'])} ({why}: no interval)"
    return rows.ratio(ratio)
