"""What a continuous integration fails on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lockstep.compare import words
from lockstep.compare.comparison import Comparison, Pair
from lockstep.compare.contrast import CANNOT_TELL, DIFFERENT
from lockstep.compare.differences import KINDS
from lockstep.errors import LockstepError
from lockstep.report import text

VERDICTS = {"different": DIFFERENT, "cannot-tell": CANNOT_TELL}
FAIL_ON = (*VERDICTS, *KINDS)
MAY_BE_CHANCE = "; it may be chance"
ROUNDING = 1e-9
"""Points: a drop of as much as is allowed is allowed."""


@dataclass(frozen=True)
class Limits:
    max_drop: float | None = None
    """Percentage points of test accuracy."""
    max_slowdown: float | None = None
    """Times as long as A's, in whole epochs."""
    fail_on: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raises LockstepError for what cannot be a limit."""
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise LockstepError(f"--max-drop {self.max_drop:g}: give percentage points, 0 to 100")
        if self.max_slowdown is not None and not 0 < self.max_slowdown < math.inf:
            raise LockstepError(f"--max-slowdown {self.max_slowdown:g}: give a ratio above 0, such as 1.2")
        for name in self.fail_on:
            if name not in FAIL_ON:
                raise LockstepError(f"--fail-on {name}: unknown; give one of {', '.join(FAIL_ON)}")


def failures(found: Comparison, limits: Limits) -> list[str]:
    """A line for everything beyond a limit."""
    return [line for pair in found.pairs for line in _failures(pair, limits)]


def _failures(pair: Pair, limits: Limits) -> Iterator[str]:
    if limits.max_drop is not None:
        yield from _drops(pair, limits.max_drop)
    if limits.max_slowdown is not None:
        yield from _slowdowns(pair, limits.max_slowdown)
    for name in limits.fail_on:
        if name in VERDICTS:
            count = sum(pair.verdict(row) == VERDICTS[name] for row in pair.metrics)
            said = f"{text.count(count, 'metric')}: {VERDICTS[name]}"
        else:
            count = len(pair.kinds()[name])
            said = f"{text.count(count, 'difference')} in {name}"
        if count:
            yield f"--fail-on {name}: {pair.name}: {said}"


def _drops(pair: Pair, limit: float) -> Iterator[str]:
    """Means decide, so that few seeds cannot hide a drop; the line tells whether it may be chance.  A run
    that no longer completes has lost its accuracy."""
    option = f"--max-drop {limit:g}: {pair.name}"
    accuracies = [row for row in pair.metrics if row.metric == "accuracy"]
    if not accuracies:
        yield f"{option}: nothing to compare: no experiment and backend that both completed"
    for row in accuracies:
        if 100 * row.contrast.mean < -limit - ROUNDING:
            shown = 100 * row.contrast.interval()[1] < -limit  # never without an interval
            yield (
                f"{option}: {row.group.experiment} on {row.group.backend}, {row.group.device}: test accuracy "
                f"{words.difference(row)} points ({words.interval(row)}){'' if shown else MAY_BE_CHANCE}"
            )
    for key, run in pair.first.runs.items():
        other = pair.second.runs.get(key)
        if run.measured and other and not other.measured:
            yield f"{option}: {key.path}: {other.outcome}"


def _slowdowns(pair: Pair, limit: float) -> Iterator[str]:
    """As above, by whole epochs."""
    option = f"--max-slowdown {limit:g}: {pair.name}"
    epochs = [row for row in pair.times if row.is_epochs]
    compared = {(row.timed, row.backend) for row in epochs}
    wanted = [(name, each) for name, timed in pair.first.timed.items() for each in timed.content["backends"]]
    missing = [f"{backend} in {name}" for name, backend in wanted if (name, backend) not in compared]
    if missing or not epochs:
        why = "; ".join(pair.remarks) or "not both have times"
        yield f"{option}: not compared: {text.listed(missing) if missing else 'any backend'} ({why})"
    for line in (*pair.first.unreadable, *pair.second.unreadable):
        yield f"{option}: {line}"
    for row in epochs:
        if 1 / row.ratio["ratio"] > limit:
            high = row.ratio["high"]
            shown = high is not None and 1 / high > limit
            yield (
                f"{option}: {row.backend}, {row.timed}: whole epochs at {row.told} of the speed"
                f"{'' if shown else MAY_BE_CHANCE}"
            )
