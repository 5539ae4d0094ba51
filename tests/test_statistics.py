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
    effect_size,
    equivalence,
    estimate,
    heterogeneity,
    paired,
    pairs_needed,
    seeds_needed,
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


def test_the_effect_size_is_hedges_g_of_the_differences():
    value = estimate([1.0, 2.0, 4.0, 5.0])
    assert effect_size(value) == pytest.approx(3 / np.std([1, 2, 4, 5], ddof=1) * (1 - 3 / 11))
    assert math.isnan(effect_size(estimate([1.0, 2.0])))
    assert math.isnan(effect_size(estimate([1.0, 1.0, 1.0])))


@pytest.mark.parametrize(("sd", "precision"), [(0.5, 0.25), (1.0, 0.1), (0.01, 0.25), (3.0, 1.0)])
def test_the_seeds_needed_are_the_fewest_that_give_the_precision(sd, precision):
    def half(n: int) -> float:
        return stats.t.ppf(0.975, n - 1) * sd / math.sqrt(n)

    n = seeds_needed(sd, precision)
    assert half(n) <= precision
    assert n == 2 or half(n - 1) > precision


def test_without_spread_nobody_can_say_how_many_seeds_it_takes():
    assert seeds_needed(0.0, 0.25) is None
    assert seeds_needed(math.nan, 0.25) is None


def test_heterogeneity_is_a_two_way_analysis_of_variance():
    table = np.random.default_rng(3).normal(size=(4, 6)) + np.arange(4)[:, None]
    spread, p = heterogeneity([dict(enumerate(row)) for row in table])
    assert spread == pytest.approx(np.ptp(table.mean(axis=1)))
    # For two backends it is the paired t test.
    _, of_two = heterogeneity([dict(enumerate(row)) for row in table[:2]])
    assert of_two == pytest.approx(stats.ttest_rel(table[0], table[1]).pvalue)
    assert p < 0.05
    assert all(map(math.isnan, heterogeneity([{0: 1.0}, {0: 2.0}])))
    assert all(map(math.isnan, heterogeneity([{0: 1.0, 1: 2.0}])))


def test_backends_with_one_effect_are_called_different_one_time_in_twenty():
    rng = np.random.default_rng(0)
    found = [
        heterogeneity([dict(enumerate(rng.normal(size=6))) for _ in range(4)])[1] < 0.05 for _ in range(2000)
    ]
    assert 0.035 < np.mean(found) < 0.065
