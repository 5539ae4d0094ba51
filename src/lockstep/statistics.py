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
from scipy.special import fdtrc, stdtr, stdtrit  # scipy.stats takes most of a second to import

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


def effect_size(value: Estimate) -> float:
    """A mean of paired differences in units of their spread: Hedges' g; NaN where there is no spread.

    mean / sd, times 1 - 3 / (4 (n - 1) - 1) against its bias in small samples: Hedges (1981), "Distribution
    theory for Glass's estimator of effect size".  Of paired differences it is also called d_z: large values
    say that nearly every seed agrees, not that the effect is large.
    """
    if not value.has_interval or value.n < 3:
        return math.nan
    return value.mean / value.sd * (1 - 3 / (4 * (value.n - 1) - 1))


def seeds_needed(sd: float, precision: float) -> int | None:
    """The least n whose 95 % interval is mean +- precision or narrower, were the spread as seen."""
    if not sd > 0:
        return None
    n = max(2, int((1.96 * sd / precision) ** 2))  # below what the normal distribution would ask for
    while float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * sd / math.sqrt(n) > precision:
        n += 1
    return n


def heterogeneity(effects: Sequence[Mapping[Key, float]]) -> tuple[float, float]:
    """Whether several backends show the same effect: (largest difference of two mean effects, p).

    effects: {seed: effect} of each backend; seeds that all have are counted.  An F test of backend in the
    two-way table backend x seed: Fisher (1925), "Statistical methods for research workers", chapter VII.
    p is NaN with fewer than two backends or seeds, or where nothing varies.
    """
    shared = list(set.intersection(*map(set, effects))) if effects else []
    table = np.array([[each[seed] for seed in shared] for each in effects])
    rows, columns = table.shape if table.ndim == 2 else (0, 0)
    if rows < 2 or columns < 2:
        return math.nan, math.nan
    means = table.mean(axis=1)
    between = columns * float(((means - means.mean()) ** 2).sum()) / (rows - 1)
    rest = table - means[:, np.newaxis] - table.mean(axis=0) + table.mean()
    freedom = (rows - 1) * (columns - 1)
    within = float((rest**2).sum()) / freedom
    p = float(fdtrc(rows - 1, freedom, between / within)) if within > 1e-24 else math.nan
    return float(np.ptp(means)), p


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
