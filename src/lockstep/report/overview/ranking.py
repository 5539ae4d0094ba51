"""Places of several experiments, as far as paired intervals tell them apart.

The place of one is a range: from one more than the number of those that are told to be better, to the
number of all less those that are told to be worse.  The construction is that of Mogstad, Romano, Shaikh &
Wilhelm (2024), "Inference for ranks"; here each interval is of 95 % by itself, so that of many some exclude
0 by chance: `Ranking.by_chance`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from lockstep.report.runs import Runs, by_seed
from lockstep.statistics import CONFIDENCE, Estimate, differences, estimate

Values = Mapping[str, Mapping[Runs, float]]
"""{experiment: {(backend, seed): value}}; higher is better."""


@dataclass(frozen=True)
class Place:
    name: str
    best: int
    worst: int
    mean: Estimate
    """Over the seeds and backends that all experiments completed; of others it would tilt the comparison."""
    to_first: Estimate
    """This minus the first of the ranking, on what both completed."""

    @property
    def label(self) -> str:
        """ "1", or "1–3" where nobody can tell."""
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


@dataclass(frozen=True)
class Ranking:
    places: list[Place]
    """By their ranges; of two with the same range the one with the higher mean is first."""
    shared: list[Runs]
    """What all completed."""
    tested: int
    """Comparisons that have an interval."""
    winners: Mapping[tuple[str, str], str]
    """{pair: the better one}, of those whose interval excludes 0."""

    @property
    def apart(self) -> int:
        return len(self.winners)

    def again(self, other: Ranking) -> int:
        """How many of its pairs are told apart by another ranking too, and the same way."""
        turned = {frozenset(pair): winner for pair, winner in other.winners.items()}
        return sum(turned.get(frozenset(pair)) == winner for pair, winner in self.winners.items())

    @property
    def candidates(self) -> list[Place]:
        """Those that nothing is told to be better than."""
        return [place for place in self.places if place.best == 1]

    @property
    def by_chance(self) -> float:
        """How many intervals would exclude 0 if nothing differed."""
        return (1 - CONFIDENCE) * self.tested


def rank(values: Values) -> Ranking:
    """Compare each experiment with each other, run by run, backends that share a seed averaged first."""
    shared = sorted(set.intersection(*map(set, values.values()))) if values else []
    means = {name: _over_seeds({run: found[run] for run in shared}) for name, found in values.items()}
    ahead = {
        pair: _over_seeds(differences(values[pair[0]], values[pair[1]])) for pair in combinations(values, 2)
    }
    winners = {
        pair: pair[difference.mean > 0] for pair, difference in ahead.items() if difference.excludes_zero
    }
    worse = Counter(winners.values())
    better = Counter(name for pair, winner in winners.items() for name in pair if name != winner)
    ordered = sorted(
        values, key=lambda name: (better[name], -worse[name], -means[name].mean if shared else 0)
    )
    places = [
        Place(
            name,
            1 + better[name],
            len(values) - worse[name],
            means[name],
            _over_seeds(differences(values[ordered[0]], values[name])),
        )
        for name in ordered
    ]
    tested = sum(each.has_interval for each in ahead.values())
    return Ranking(places, shared, tested, winners)


def _over_seeds(values: Mapping[Runs, float]) -> Estimate:
    return estimate(list(by_seed(values).values()))
