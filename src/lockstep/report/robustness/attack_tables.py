"""The tidy table `attacks`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lockstep.report.robustness.attacked import Robustness

COLUMNS = ["experiment", "backend", "device", "seed", "attack", "level", "metric", "value", "n"]


def attacks(robustness: Robustness) -> Iterable[dict[str, Any]]:
    """A row for each number.  Level: eps, pixels of a shift, side of a sticker; none of a corruption."""
    for each in robustness.runs:
        cell = each.run.cell
        key = (cell.name, cell.backend, cell.device, cell.seed)
        for (condition, metric), (value, n) in each.numbers.items():
            name, _, level = condition.partition("=")
            what = (level, math.nan) if name == "corruption" else (name, float(level or 0))
            yield dict(zip(COLUMNS, (*key, *what, metric, value, n), strict=True))
