"""From numbers to an interval to a verdict: all the statistics of claims.

Every claim says where a number must lie: a region.  The run gives an interval.  Inside: the claim holds;
wholly outside: it does not; across an end: nobody can tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from lockstep.statistics import CONFIDENCE, estimate

Word = Literal["holds", "does not hold", "cannot tell", "not run"]
WORST_FIRST: tuple[Word, ...] = ("does not hold", "cannot tell", "not run", "holds")
STRANGE = 0.0001
"""How often a seed that the reference does not have may lie outside its prediction interval by chance: a run
with other seeds has dozens, each of several measures."""


class Interval(NamedTuple):
    low: float
    high: float


NOTHING = Interval(-math.inf, math.inf)
"""What is known of a number that was not measured, or whose spread is not known."""


def position(interval: Interval, region: Interval) -> Word:
    if region.low <= interval.low and interval.high <= region.high:
        return "holds"
    return "does not hold" if interval.high < region.low or interval.low > region.high else "cannot tell"


def worst(words: Iterable[Word]) -> Word:
    """Of several verdicts, the one that counts; what was not run does not spoil what was."""
    found = set(words) - {"not run"}
    return next((word for word in WORST_FIRST if word in found), "not run")


class Rounding(NamedTuple):
    """How far two runs from one seed come to lie apart when nothing differs but rounding."""

    sd: float
    """Of the difference of two runs."""
    freedom: int
    """Degrees of freedom; 0: nobody knows."""


def rounding(groups: Iterable[Sequence[float]]) -> Rounding:
    """groups: each the values of several backends from one seed.  The variance within groups, pooled; the
    difference of two values has twice that.  Equal values, as at 0 %, say nothing about others."""
    kept = [estimate(group) for group in groups if len(group) > 1]
    freedom, squares = sum(each.n - 1 for each in kept), sum((each.n - 1) * each.sd**2 for each in kept)
    return Rounding(math.sqrt(2 * squares / freedom), freedom) if squares else Rounding(math.nan, 0)


@dataclass(frozen=True)
class Comparison:
    """Two sets of runs, paired by seed, against a margin."""

    label: str
    differences: Mapping[int, float]
    """{seed: second - first}."""
    interval: Interval
    """Of the mean difference, 90 %: inside the margin is what two one-sided tests of 5 % ask for."""
    margin: float
    limit: float
    """What a single seed may differ by."""
    strange: Mapping[int, float]
    """{seed that the reference does not have: value}, of those outside its prediction interval."""

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.differences.values()))) if self.differences else math.nan

    @property
    def far(self) -> dict[int, float]:
        """{seed: difference} beyond the limit."""
        return {seed: value for seed, value in self.differences.items() if abs(value) > self.limit}

    @property
    def verdict(self) -> Word:
        if self.far or self.strange:
            return "does not hold"
        return position(self.interval, Interval(-self.margin, self.margin))


def compare(
    label: str,
    first: Mapping[int, float],
    second: Mapping[int, float],
    spread: Rounding,
    margin: float,
    limit: float,
) -> Comparison:
    """{seed: value} of two sets of runs.  Seeds that only the second has are held to what the first predict.

    Two one-sided t tests of the paired differences: Schuirmann (1987), as in `statistics.equivalence`.  The
    variance is pooled from these pairs and from `spread`, what rounding alone was seen to do: that of three
    pairs has two degrees of freedom and would leave most honest runs without a verdict.  What a mean does
    not show, one run gone astray, the limit on single seeds does.
    """
    differences = {seed: second[seed] - first[seed] for seed in first if seed in second}
    strangers = {seed: value for seed, value in second.items() if seed not in first}
    likely = prediction(list(first.values()))
    strange = {seed: value for seed, value in strangers.items() if not likely.low <= value <= likely.high}
    interval = _of_mean(list(differences.values()), spread)
    return Comparison(label, differences, interval, margin, limit, strange)


def _of_mean(values: Sequence[float], spread: Rounding) -> Interval:
    if values and not any(values):
        return Interval(0.0, 0.0)  # the same bits: no spread is needed to see that
    value, freedom = estimate(values), spread.freedom + max(0, len(values) - 1)
    if not value.n or not freedom:
        return NOTHING
    squares = (value.n - 1) * value.sd**2 if value.n > 1 else 0.0
    squares += spread.freedom * spread.sd**2 if spread.freedom else 0.0
    if not squares:
        return NOTHING  # a few equal differences do not show that all would be equal
    half = float(stdtrit(freedom, CONFIDENCE)) * math.sqrt(squares / freedom / value.n)
    return Interval(value.mean - half, value.mean + half)


def prediction(values: Sequence[float]) -> Interval:
    """Where another seed's value lies but with probability STRANGE: mean +- t(1 - STRANGE / 2, n - 1) sd
    sqrt(1 + 1/n).  Nothing is known from fewer than three values, nor from equal ones."""
    value = estimate(values)
    if value.n < 3 or not value.has_interval:
        return NOTHING
    reach = float(stdtrit(value.n - 1, 1 - STRANGE / 2)) * value.sd * math.sqrt(1 + 1 / value.n)
    return Interval(value.mean - reach, value.mean + reach)


def of_share(share: float, n: int, confidence: float = 0.9) -> Interval:
    """Interval of a share measured on n images, which other images would change: Wilson (1927),
    "Probable inference, the law of succession, and statistical inference"."""
    z = float(ndtri((1 + confidence) / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
