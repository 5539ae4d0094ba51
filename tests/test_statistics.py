"""Estimates against numbers worked out by hand, and against SciPy's own test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lockstep.statistics import binomial_error, churn, differences, estimate, paired


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
