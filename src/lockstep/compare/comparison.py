"""Results against the first of them: what differs, metrics, times; and all of it as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lockstep import outputs
from lockstep.compare import metrics
from lockstep.compare.contrast import CANNOT_TELL, DIFFERENT, SAME
from lockstep.compare.differences import KINDS, Difference, concerned, differences
from lockstep.compare.metrics import Row
from lockstep.compare.read import Key, Source
from lockstep.errors import LockstepError

if TYPE_CHECKING:  # what timed knows the backends' contract, which takes a second to import
    from lockstep.compare.timings import TimeRow

VERDICTS = (SAME, DIFFERENT, CANNOT_TELL)


@dataclass(frozen=True)
class Pair:
    """One of the results against the first."""

    first: Source
    second: Source
    margin: float
    """A share: 0.005 is half a percentage point, and 0.005 nats."""
    differences: list[Difference]
    metrics: list[Row]
    times: list[TimeRow]
    remarks: list[str]
    """Lines about times: which are not compared and why, and which were disturbed."""

    @property
    def name(self) -> str:
        return f"{self.second.label} − {self.first.label}"

    def kinds(self) -> dict[str, list[Difference]]:
        """{kind: its differences}, of every kind."""
        return {kind: [each for each in self.differences if each.kind == kind] for kind in KINDS}

    def verdict(self, row: Row) -> str:
        return row.contrast.verdict(self.margin)

    @cached_property
    def counts(self) -> dict[str, Counter[str]]:
        """{metric: {verdict: rows}}; attacks together."""
        found: dict[str, Counter[str]] = {}
        for row in self.metrics:
            name = "accuracy under attack" if row.attack else row.metric
            found.setdefault(name, Counter())[self.verdict(row)] += 1
        return found

    @property
    def tested(self) -> int:
        """Intervals that a verdict comes from."""
        return sum(not row.contrast.identical and not math.isnan(row.contrast.error) for row in self.metrics)


@dataclass(frozen=True)
class Comparison:
    sources: Sequence[Source]
    margin: float
    """In percentage points."""
    pairs: Sequence[Pair]


def compare(sources: Sequence[Source], margin: float, across_machines: bool) -> Comparison:
    """margin: in percentage points.  Raises LockstepError where two results have nothing in common."""
    if not 0 < margin <= 100:
        raise LockstepError(f"--margin {margin:g}: give percentage points above 0, up to 100")
    pairs = [_pair(sources[0], second, margin / 100, across_machines) for second in sources[1:]]
    return Comparison(sources, margin, pairs)


def _pair(first: Source, second: Source, margin: float, across_machines: bool) -> Pair:
    if not first.runs.keys() & second.runs.keys() and not first.timed.keys() & second.timed.keys():
        raise LockstepError(
            f"{first.path} and {second.path} have no cell in common (experiment, backend, device, seed); "
            "compare results of the same config"
        )
    times, remarks = _times(first, second, across_machines)
    return Pair(
        first,
        second,
        margin,
        differences(first, second),
        list(metrics.rows(first, second)),
        times,
        [*first.unreadable, *second.unreadable, *remarks],
    )


def _times(first: Source, second: Source, across_machines: bool) -> tuple[list[TimeRow], list[str]]:
    if not (first.timed and second.timed):
        return [], []
    from lockstep.compare import timings

    return timings.rows(first, second, across_machines)


KIND = outputs.json_with("what lockstep compare writes", "margin_points", "results", "comparisons")
PAGE = outputs.text_with("a page of lockstep compare", "<h1>Comparison</h1>", "by Lockstep.</footer>")


def as_json(found: Comparison) -> dict[str, Any]:
    """docs/compare.md explains it."""
    return {
        "margin_points": found.margin,
        "results": [
            {"label": s.label, "path": str(s.path), "cells": len(s.runs), "completed": s.completed}
            for s in found.sources
        ],
        "comparisons": [
            {
                "first": pair.first.label,
                "second": pair.second.label,
                "differences": [_difference(pair, each) for each in pair.differences],
                "metrics": [_metric(pair, row) for row in pair.metrics],
                "times": [_time(row) for row in pair.times],
                "remarks_on_times": pair.remarks,
            }
            for pair in found.pairs
        ],
    }


def _difference(pair: Pair, each: Difference) -> dict[str, Any]:
    made = [it.path if isinstance(it, Key) else it for it in each.made]
    found = {"kind": each.kind, "what": each.what, "first": each.first, "second": each.second}
    return found | {"concerns": concerned(each, pair.first, pair.second), "cells": made}


def _metric(pair: Pair, row: Row) -> dict[str, Any]:
    """Values as they are measured: shares and nats."""
    low, high = row.contrast.interval()
    return {
        **row.group._asdict(),
        "metric": row.metric,
        "first": row.first,
        "second": row.second,
        "difference": row.contrast.mean,
        "low": None if math.isnan(low) else low,
        "high": None if math.isnan(high) else high,
        "n": list(row.contrast.n),
        "paired": row.contrast.paired,
        "identical": row.contrast.identical,
        "verdict": pair.verdict(row),
        "other_settings": row.other_settings,
        "churn": row.churn,
        "upper_bounds": [list(reasons) for reasons in row.bounds],
    }


def _time(row: TimeRow) -> dict[str, Any]:
    what = {"timed": row.timed, "backend": row.backend, "phase": row.phase, "quantity": row.quantity}
    return what | dict(row.ratio)
