"""The runs that have no result under attack, and why."""

from __future__ import annotations

from lockstep.report.grids import Grid, Group, chip
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import Side


def unfinished(robustness: Robustness) -> Grid:
    alike: dict[tuple[str, Side, str, str], list[int]] = {}
    for each in robustness.runs:
        if each.reason or not each.usable:
            key = (each.run.cell.name, each.run.side, each.outcome, each.reason)
            alike.setdefault(key, []).append(each.run.cell.seed)
    rows = [
        (name, chip(robustness.results, side), ", ".join(map(str, seeds)), outcome, reason)
        for (name, side, outcome, reason), seeds in alike.items()
    ]
    return Grid(("experiment", "backend", "seeds", "outcome", "reason"), 5, [Group(rows=rows)])
