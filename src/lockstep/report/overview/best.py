"""What works best?  Places of all experiments by test accuracy, where intervals tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from lockstep.report import grids, text
from lockstep.report.effects import replication
from lockstep.report.grids import Grid, Group
from lockstep.report.overview.cards import Card, Link
from lockstep.report.overview.ranking import Place, Ranking, rank
from lockstep.report.runs import COMPLETED, Results, Side
from lockstep.statistics import binomial_error

QUESTION = "What works best?"
SHOWN = 5
"""Places on the card; the page below has all."""
LINKS = (Link("#ranking", "All places"), Link("effects.html", "What each setting changes"))


def read(results: Results) -> Ranking:
    """By test accuracy in percent, of the experiments that completed any run."""
    values = {
        name: {
            (side, seed): 100 * accuracy
            for side in results.sides
            for seed, accuracy in results.accuracies(name, side).items()
        }
        for name in results.experiments
    }
    return rank({name: found for name, found in values.items() if found})


def elsewhere(results: Results) -> Ranking:
    """The same of runs that references have, from seeds that these results have none of."""
    values = {
        name: {
            (Side(*side.split("/")), seed): accuracy
            for side in trained.runs
            for seed, accuracy in trained.values(side, "accuracy").items()
            if seed not in results.config.seeds
        }
        for name, trained in replication.on_file(results).items()
        if name in results.experiments
    }
    return rank({name: found for name, found in values.items() if found})


def card(results: Results, ranking: Ranking, others: Ranking) -> Card:
    if not ranking.places:
        return Card(QUESTION, "none", "Not measured: no run has completed yet.", LINKS)
    names, of = [place.name for place in ranking.candidates], len(ranking.places)
    cells = partial(_numbers, ranking)
    rows = [(place.label, place.name, *cells(place)) for place in ranking.places[:SHOWN]]
    grid = Grid(
        ("place", "experiment", "accuracy, %", "to first", "95 % interval", "n"), 2, [Group(rows=rows)]
    )
    if of == 1:
        return Card(QUESTION, "none", f"Only {names[0]} has results.", LINKS, grid)
    leads = ranking.places[0].worst == 1  # told from every other one
    sure = leads and (not others.tested or [place.name for place in others.candidates] == names)
    if leads:
        answer = f"{names[0]}, ahead of {'the other' if of == 2 else f'all {of - 1} others'}"
        answer += "." if sure else ", but not with other seeds."
    elif len(names) < 2:
        answer = "Cannot tell: none is told from all others."
    else:
        listed = text.listed(names) if len(names) <= SHOWN else f"{text.listed(names[:1])} and others"
        answer = f"Cannot tell which of {len(names)} (of {of}): {listed}."
    notes = (" ".join(filter(None, (_averaged(ranking), told(ranking, others)))),)
    return Card(QUESTION, "good" if sure else "unsure", answer, LINKS, grid, notes=notes)


def _averaged(ranking: Ranking) -> str:
    """What an accuracy on the card is a mean over, where a difference beside it may be over more."""
    n = ranking.places[0].mean.n
    more = any(place.to_first.n > n for place in ranking.places[1:])
    return (
        f"Accuracies: of the {text.count(n, 'seed')} that all have; differences: of n." if n and more else ""
    )


def told(ranking: Ranking, others: Ranking) -> str:
    """How much the places can carry."""
    if len(ranking.places) < 2:
        return "Fewer than two experiments have results, so there is nothing to compare."
    if not ranking.tested:
        return "No paired difference has a 95 % interval yet, so every place is a tie."
    return (
        f"Of {text.count(ranking.tested, 'paired difference')} the intervals of {ranking.apart} exclude 0; "
        f"about {ranking.by_chance:.1f} would by chance if nothing differed.{_again(ranking, others)}"
    )


def _again(ranking: Ranking, others: Ranking) -> str:
    if not ranking.apart:
        return ""
    if not others.tested:
        return " Other seeds were not asked."
    return f" With other seeds {ranking.again(others)} of the {ranking.apart} do so again."


def over(results: Results, ranking: Ranking) -> str:
    """What the mean accuracies are over, and what that leaves out."""
    if not ranking.shared:
        return "No backend and seed completed every experiment, so there are no means to compare."
    sides = text.listed([results.label(side) for side in dict.fromkeys(side for side, _ in ranking.shared)])
    seeds = text.count(len({seed for _, seed in ranking.shared}), "seed")
    first = next(run for run in results.runs if run.usable and run.cell.name == ranking.places[0].name)
    images = len(first.predictions.labels)
    error = 100 * binomial_error(ranking.places[0].mean.mean / 100, images)
    return (
        f"Accuracy is the mean over {sides} and {seeds}, which every experiment here completed. On other "
        "test images every accuracy would move too: the standard error with "
        f"{images:,} images is {error:.2f} points."
    )


def _numbers(ranking: Ranking, place: Place) -> tuple[str, ...]:
    """Mean accuracy, and the difference to the first, with interval and pairs."""
    mean = text.number(place.mean.mean, ".2f")
    if place is ranking.places[0]:
        return mean, text.NONE, text.NONE, str(place.mean.n)
    return mean, text.points(place.to_first.mean), text.interval(place.to_first), str(place.to_first.n)


def grid(results: Results, ranking: Ranking, others: Ranking) -> Grid:
    """A row for every experiment: those that cannot be ranked say what became of their runs."""
    changes = {row[0]: row[1] for row in grids.experiments(results).groups[0].rows}
    outcomes = {name: Counter[str]() for name in results.experiments}
    for run in results.runs:
        if run.cell.name in outcomes:
            outcomes[run.cell.name][run.outcome] += 1
    places = {place.name: place for place in ranking.places}
    again = {place.name: place.label for place in others.places}
    ordered = [*places, *(name for name in results.experiments if name not in places)]
    rows: list[Sequence[str]] = []
    for name in ordered:
        place = places.get(name)
        numbers = _numbers(ranking, place) if place else [text.NONE] * 4
        label = place.label if place else text.NONE
        other = again.get(name, text.NONE)
        rows.append((label, name, changes[name], other, *numbers, _runs(outcomes[name])))
    numbers = ("accuracy, %", "to the first, points", "95 % interval", "n seeds", "completed")
    columns = ("place", "experiment", "what it changes", "place, other seeds", *numbers)
    return Grid(columns, 3, [Group(rows=rows)])


def _runs(outcomes: Counter[str]) -> str:
    """ "5 of 5", "1 of 3; 1 diverged, 1 failed" """
    rest = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items() if outcome != COMPLETED)
    done = f"{outcomes[COMPLETED]} of {outcomes.total()}"
    return f"{done}; {rest}" if rest else done
