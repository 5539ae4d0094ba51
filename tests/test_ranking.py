"""Places with ties, against what can be worked out by hand."""

from __future__ import annotations

import pytest

from lockstep.report.overview.ranking import Values, rank
from lockstep.report.runs import Side

ALPHA, BETA = Side("alpha", "cpu"), Side("beta", "cpu")


def of(*values: float, side: Side = ALPHA) -> dict[tuple[Side, int], float]:
    return {(side, seed): value for seed, value in enumerate(values)}


def places(values: Values) -> dict[str, str]:
    return {place.name: place.label for place in rank(values).places}


def test_what_intervals_tell_apart_has_a_place_of_its_own():
    values = {"low": of(10, 11, 12), "high": of(30, 31.1, 32), "middle": of(20, 21, 22.1)}
    assert places(values) == {"high": "1", "middle": "2", "low": "3"}
    found = rank(values)
    assert (found.tested, found.apart) == (3, 3)
    assert found.by_chance == pytest.approx(0.15)
    assert [place.mean.mean for place in found.places] == pytest.approx([93.1 / 3, 63.1 / 3, 11])
    assert found.places[2].to_first.mean == pytest.approx(11 - 93.1 / 3)


def test_ties_share_their_places_and_need_not_be_transitive():
    # b cannot be told from a nor from c; c is told to be worse than a.
    values = {"c": of(10, 10.1, 10.2), "a": of(12, 12.2, 12.1), "b": of(9, 12, 13)}
    assert places(values) == {"a": "1–2", "b": "1–3", "c": "2–3"}
    assert [place.name for place in rank(values).candidates] == ["a", "b"]


def test_equal_differences_have_no_interval_and_so_tell_nothing():
    found = rank({"a": of(1, 2, 3), "b": of(2, 3, 4)})
    assert [(place.name, place.label) for place in found.places] == [("b", "1–2"), ("a", "1–2")]
    assert found.tested == 0


def test_pairs_are_what_both_completed_and_means_what_all_did():
    values = {"a": of(1, 2, 9), "b": of(2, 3.1) | {(BETA, 0): 70.0}, "c": of(5)}
    ranking = rank(values)
    assert [(place.name, place.label) for place in ranking.places] == [
        ("b", "1–2"),
        ("c", "1–3"),
        ("a", "2–3"),
    ]
    found = {place.name: place for place in ranking.places}
    assert {name: place.mean.mean for name, place in found.items()} == {"a": 1, "b": 2, "c": 5}
    assert (found["a"].to_first.n, found["a"].to_first.mean) == (2, pytest.approx(-1.05))
    assert (found["c"].to_first.n, found["c"].to_first.mean) == (1, 3)


def test_backends_of_one_seed_count_once():
    a = of(1, 2, 3) | of(1.5, 2.5, 3.5, side=BETA)
    b = {key: value + 1 + 0.1 * key[1] for key, value in a.items()}
    (first, second) = rank({"a": a, "b": b}).places
    assert (first.name, first.label, second.label) == ("b", "1", "2")
    assert (second.to_first.n, second.to_first.mean) == (3, pytest.approx(-1.1))


def test_what_has_nothing_in_common_is_a_tie():
    assert places({"a": of(1, 2), "b": of(5, 6, side=BETA)}) == {"a": "1–2", "b": "1–2"}
    assert rank({}).places == []
