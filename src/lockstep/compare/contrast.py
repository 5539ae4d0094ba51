"""A difference of two means over seeds, its interval, and what can be said of it.

docs/compare.md explains the rule and why it is this one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import stdtrit

from lockstep.statistics import CONFIDENCE, differences

SAME, DIFFERENT, CANNOT_TELL = "same", "different", "cannot tell"

Seed = TypeVar("Seed", bound=Hashable)


@dataclass(frozen=True)
class Contrast:
    """Second minus first.  Without an interval `error` is NaN."""

    mean: float
    error: float
    """Standard error."""
    freedom: float
    n: tuple[int, int]
    """Seeds of either side; of pairs, their number twice."""
    values: Sequence[float] = ()
    """Of each pair; none where seeds are not paired."""
    identical: bool = False
    """To the last digit, in every pair."""

    @property
    def paired(self) -> bool:
        return bool(self.values)

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """mean +- t error; NaN where there is none."""
        if math.isnan(self.error):
            return math.nan, math.nan
        half = float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.error
        return self.mean - half, self.mean + half

    def verdict(self, margin: float) -> str:
        """same: identical, or within +-margin by two one-sided t tests, Schuirmann (1987); different: not
        that, and the 95 % interval excludes 0; cannot tell: neither, or no interval."""
        if self.identical:
            return SAME
        low, high = self.interval(2 * CONFIDENCE - 1)
        if -margin < low and high < margin:
            return SAME
        low, high = self.interval()
        return DIFFERENT if low > 0 or high < 0 else CANNOT_TELL


def contrast(
    first: Mapping[Seed, float], second: Mapping[Seed, float], grain: float = 0.0, identical: bool = False
) -> Contrast:
    """{seed: value} of either side: pairs of the seeds that both have, if there are two or more; else Welch.

    grain: what values are multiples of, or 0.  No spread is taken to be smaller: a few accuracies of 1,000
    images may well be equal, or differ equally, by chance.  identical: whether the runs are, in all that was
    measured.
    """
    pairs = list(differences(first, second).values())
    if len(pairs) < 2 <= min(len(first), len(second)):
        return welch(list(first.values()), list(second.values()), grain)
    if not pairs:
        mean = float(np.mean(list(second.values())) - np.mean(list(first.values())))
        return Contrast(mean, math.nan, math.nan, (len(first), len(second)))
    identical = identical or not (grain or any(pairs))  # what has no grain is not equal by chance
    n, sd = len(pairs), math.nan if identical else _spread(pairs, grain)
    return Contrast(float(np.mean(pairs)), sd / math.sqrt(n), n - 1, (n, n), pairs, identical)


def welch(first: Sequence[float], second: Sequence[float], grain: float = 0.0) -> Contrast:
    """Of two samples that share nothing; one value has no spread.

    Degrees of freedom by Welch (1947), "The generalization of 'Student's' problem when several different
    population variances are involved".
    """
    a, b = (_spread(values, grain) ** 2 / len(values) for values in (first, second))
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1)) if a + b > 0 else math.nan
    mean = float(np.mean(second) - np.mean(first))
    return Contrast(mean, math.sqrt(a + b), freedom, (len(first), len(second)))


def _spread(values: Sequence[float], grain: float) -> float:
    """Standard deviation; NaN of a single value, or of equal ones that have no grain."""
    if len(values) < 2:
        return math.nan
    sd = max(float(np.std(values, ddof=1)), grain)
    return sd if sd > 1e-12 * float(np.abs(values).max()) else math.nan
