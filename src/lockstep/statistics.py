"""Means and paired differences over seeds, with Student's t intervals.

Every interval here is over seeds: what another draw of initial weights, batches and masks would
give on the same test images.  It says nothing about other images.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes most of a second to import

CONFIDENCE = 0.95
FEW = 8
"""Fewer values than this leave an interval so wide that the reader is told."""
EQUIVALENCE_PAIRS = 8
"""Fewer pairs than this are not called equal: with an SD of 0.14 points they could not be within 0.2."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Estimate:
    """A mean with its spread; what n values do not allow is NaN."""

    mean: float
    sd: float
    low: float
    high: float
    n: int

    @property
    def has_interval(self) -> bool:
        return not math.isnan(self.low)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; without an interval nobody can tell."""
        return self.low > 0 or self.high < 0

    @property
    def why_no_interval(self) -> str:
        if self.has_interval:
            return ""
        return f"n = {self.n}: no interval" if self.n < 2 else "all equal: no interval"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, standard deviation (n - 1 in the denominator) and 95 % t interval.

    mean +- t(0.975, n - 1) sd / sqrt(n): Student (1908), "The probable error of a mean".
    Fewer than two values have no spread and so no interval.  Neither have equal values: the formula
    would give an interval of width zero, which a few equal accuracies do not justify.
    """
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, n)
    if np.ptp(values) <= 1e-12 * np.abs(values).max():  # equal but for rounding
        return Estimate(mean, 0.0, math.nan, math.nan, n)
    sd = float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * sd / math.sqrt(n)
    return Estimate(mean, sd, mean - half, mean + half, n)


def differences(first: Mapping[Key, float], second: Mapping[Key, float]) -> dict[Key, float]:
    """second - first for every key (a seed) that both have, so that what they share cancels."""
    return {key: second[key] - first[key] for key in first if key in second}


def paired(first: Mapping[Key, float], second: Mapping[Key, float]) -> Estimate:
    """Estimate of second - first: the t interval of a paired test, which is that of the differences."""
    return estimate(list(differences(first, second).values()))


def churn(first: np.ndarray, second: np.ndarray) -> float:
    """Share of images on which two classifiers predict different classes.

    Milani Fard et al. (2016), "Launch and iterate: reducing prediction churn".
    """
    return float(np.mean(first != second))


def binomial_error(share: float, n: int) -> float:
    """Standard error of a share measured on n independent images: sqrt(p (1 - p) / n)."""
    return math.sqrt(share * (1 - share) / n)


@dataclass(frozen=True)
class Equivalence:
    """Whether paired differences are zero but for a margin, by two one-sided tests."""

    difference: Estimate
    margin: float
    low: float
    """90 % interval of the mean difference: equal where it lies within the margin."""
    high: float
    p: float
    needed: int | None
    """Pairs that would tell with a power of 90 %, were the true difference 0 and the spread as seen."""

    @property
    def verdict(self) -> str:
        if math.isnan(self.p) or self.difference.n < EQUIVALENCE_PAIRS:
            return "cannot tell"
        if self.p < 1 - CONFIDENCE:
            return "equal"
        return "different" if self.low > self.margin or self.high < -self.margin else "cannot tell"


def equivalence(values: Sequence[float], margin: float) -> Equivalence:
    """Two one-sided t tests of paired differences against +-margin.

    Schuirmann (1987), "A comparison of the two one-sided tests procedure and the power approach".
    p is the larger of the two.  Without spread, or with one pair, there is no test: NaN.
    """
    difference = estimate(values)
    n = difference.n
    if not difference.has_interval:
        return Equivalence(difference, margin, math.nan, math.nan, math.nan, None)
    error = difference.sd / math.sqrt(n)
    half = float(stdtrit(n - 1, CONFIDENCE)) * error
    p = float(stdtr(n - 1, (abs(difference.mean) - margin) / error))
    low, high = difference.mean - half, difference.mean + half
    return Equivalence(difference, margin, low, high, p, pairs_needed(difference.sd, margin))


def pairs_needed(sd: float, margin: float) -> int:
    """The least n with n >= (2 t(0.95, n-1) sd / margin)^2, which gives a power of 90 %.

    The usual sample size of two one-sided tests when the true difference is 0: Chow, Shao & Wang,
    "Sample size calculations in clinical research", section 3.2, with t for the normal quantiles.
    """
    ratio = sd / margin
    n = max(2, int((2 * 1.64 * ratio) ** 2))  # below what normal quantiles would ask for
    while n < (2 * float(stdtrit(n - 1, CONFIDENCE)) * ratio) ** 2:
        n += 1
    return n
