"""How long it takes to train to an accuracy: one run of each backend."""

from __future__ import annotations

from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.speed.names import chip
from lockstep.report.speed.timings import Timing, Timings
from lockstep.speed import rows
from lockstep.speed.subject import GOALS

TARGETS = tuple(round(100 * goal) for goal in GOALS)
"""Validation accuracies, %."""


def grid(timings: Timings) -> Grid | None:
    groups = [
        Group(timing.label, rows=[_row(timings, timing, name) for name in ran])
        for timing in timings.usable
        if (ran := [name for name in timing.backends if "accuracy" in timing.content["backends"][name]])
    ]
    if not groups:
        return None
    columns = ("backend", *(f"to {target} %" for target in TARGETS), "best validation accuracy, %")
    return Grid(columns, 1, groups)


def _row(timings: Timings, timing: Timing, name: str) -> tuple[str, ...]:
    best = timing.median(name, "accuracy", "validation_accuracy")
    reached = (_reached(timing, name, target) for target in TARGETS)
    return chip(timings, name), *reached, text.NONE if best is None else text.percent(best)


def _reached(timing: Timing, name: str, target: int) -> str:
    """ "12.3 s (2 epochs)" """
    seconds = timing.median(name, "accuracy", f"seconds_to_{target}")
    epochs = timing.median(name, "accuracy", f"epochs_to_{target}")
    if seconds is None or epochs is None:
        return "not reached"
    return f"{rows.number(seconds)} s ({text.count(round(epochs), 'epoch')})"
