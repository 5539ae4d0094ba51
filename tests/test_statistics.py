"""Estimates against numbers worked out by hand, and against SciPy's own test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lockstep.statistics import (
    binomial_error,
    churn,
    differences,
    equivalence,
    estimate,
    paired,
    pairs_needed,
)


def test_estimate_by_hand():
    value = estimate([1.0, 2.0, 3.0])
    half = 4.302652729911275 / math.sqrt(3)  # t(0.975, 2) from a table, SD 1
    assert (value.mean, value.sd, value.n) == (2.0, 1.0, 3)
    assert (value.low, value.high) == pytest.approx((2 - half, 2 + half))
    assert value.has_interval
    assert not value.excludes_zero


def test_interval_of_pairs_is_that_of_the_paired_t_test():
    first, second = {0: 0.91, 1: 0.95, 2: 0.93, 3: 0.90}, {0: 0.94, 1: 0.97, 2: 0.97, 3: 0.91}
    value = paired(first, second)
    reference = stats.ttest_rel(list(second.values()), list(first.values())).confidence_interval(0.95)
    assert (value.low, value.high) == pytest.approx((reference.low, reference.high))
    assert value.excludes_zero


def test_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(2_000, 4))
    covered = [value.low <= 0 <= value.high for value in map(estimate, draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "n = 0: no interval"),
        ([0.5], "n = 1: no interval"),
        ([0.97 - 0.96, 0.01], "all equal: no interval"),
    ],
)
def test_no_interval_where_the_values_carry_none(values: list[float], reason: str):
    value = estimate(values)
    assert not value.has_interval
    assert not value.excludes_zero
    assert math.isnan(value.high)
    assert value.why_no_interval == reason
    assert value.n == len(values)


def test_differences_keep_only_what_both_have():
    assert differences({0: 1.0, 1: 5.0, 2: 2.0}, {2: 5.0, 0: 2.0, 7: 1.0}) == {0: 1.0, 2: 3.0}


def test_churn_and_binomial_error():
    assert churn(np.array([1, 2, 3, 4]), np.array([1, 2, 4, 3])) == 0.5
    assert binomial_error(0.9, 900) == pytest.approx(0.01)


@pytest.mark.parametrize(("sd", "margin", "pairs"), [(0.14, 0.2, 8), (0.05, 0.1, 5), (1e-6, 1.0, 2)])
def test_pairs_needed_to_call_something_equal(sd, margin, pairs):
    assert pairs_needed(sd, margin) == pairs


def spread(n: int, mean: float, sd: float) -> list[float]:
    """n values with exactly this mean and standard deviation."""
    values = np.arange(n) - (n - 1) / 2
    return list(mean + sd * values / values.std(ddof=1))


def test_equivalence_is_two_one_sided_t_tests():
    values = spread(10, 0.05, 0.1)
    test = equivalence(values, 0.2)
    sides = [
        stats.ttest_1samp(values, m, alternative=a).pvalue for m, a in ((-0.2, "greater"), (0.2, "less"))
    ]
    assert test.p == pytest.approx(max(sides))
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (test.low, test.high) == pytest.approx((interval.low, interval.high))
    assert test.verdict == "equal"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (spread(8, 0.0, 0.1), "equal"),
        (spread(7, 0.0, 0.1), "cannot tell"),  # too few pairs
        (spread(8, 0.15, 0.1), "cannot tell"),  # too near the margin
        (spread(8, 0.5, 0.1), "different"),
        (spread(8, -0.5, 0.1), "different"),
        ([0.0] * 20, "cannot tell"),  # no spread is no evidence
        ([0.1] * 20, "cannot tell"),
        ([0.0], "cannot tell"),
    ],
)
def test_verdicts_of_equivalence(values, verdict):
    assert equivalence(values, 0.2).verdict == verdict
