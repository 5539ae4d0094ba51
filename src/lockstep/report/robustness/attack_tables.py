"""The tidy table `attacks`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lockstep.report.robustness import checks
from lockstep.report.robustness.attacked import Robustness

COLUMNS = [
    "experiment", "backend", "device", "seed", "attack", "level", "metric", "value", "n", "upper_bound",
]  # fmt: skip


def attacks(robustness: Robustness) -> Iterable[dict[str, Any]]:
    """A row for each number.  Level: eps, pixels of a shift, side of a sticker; none of a corruption.
    upper_bound: whether a check says that a stronger attack may leave less."""
    judged = checks.judge(robustness)
    for each in robustness.runs:
        cell = each.run.cell
        mine = [check for check in judged if check.attacked is each]
        key = (cell.name, cell.backend, cell.device, cell.seed)
        for (condition, metric), (value, n) in each.numbers.items():
            name, _, level = condition.partition("=")
            what = (level, math.nan) if name == "corruption" else (name, float(level or 0))
            bound = metric == "accuracy" and bool(checks.upper_bound(mine, cell.name, *what))
            yield dict(zip(COLUMNS, (*key, *what, metric, value, n, bound), strict=True))
