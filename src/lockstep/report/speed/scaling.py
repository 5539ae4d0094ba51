"""What more threads bring: rates over those with the fewest threads."""

from __future__ import annotations

from collections.abc import Sequence

from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.speed.names import chip
from lockstep.report.speed.timings import Timing, Timings
from lockstep.speed import rows

PHASES = {"train_step": "training steps", "epoch": "whole epochs"}


def compared(timings: Timings) -> list[Timing]:
    """Those of the CPU by threads; nothing with fewer than two, or where they are of different machines."""
    on_cpu = [timing for timing in timings.usable if timing.device == "cpu"]
    found = sorted(on_cpu, key=lambda timing: timing.threads)
    return found if len(found) > 1 and len({timing.machine for timing in found}) == 1 else []


def grid(timings: Timings) -> Grid | None:
    found = compared(timings)
    if not found:
        return None
    fewest, *more = found
    columns = [
        "backend",
        *(f"{timing.label}, images/s" for timing in found),
        *(f"{timing.label} / {fewest.label}" for timing in more),
        *(f"{timing.label}: cores used" for timing in found),
    ]
    groups = [
        Group(title, rows=[_row(timings, found, name, phase) for name in timings.backends])
        for phase, title in PHASES.items()
    ]
    return Grid(columns, 1, groups)


def _row(timings: Timings, found: Sequence[Timing], name: str, phase: str) -> Sequence[str]:
    rates = [timing.median(name, phase) for timing in found]
    speed_ups = [rate / rates[0] if rate and rates[0] else None for rate in rates[1:]]
    cores = [timing.median(name, phase, "cores") for timing in found]
    return chip(timings, name), *(_number(value) for value in (*rates, *speed_ups, *cores))


def _number(value: float | None) -> str:
    return text.NONE if value is None else rows.number(value)
