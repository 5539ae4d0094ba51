"""What the results say, in a few computed sentences that claim no more than n seeds allow."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from lockstep.report import tables, text
from lockstep.report.certificates import Certified, largest
from lockstep.report.effects.sentences import chance, pooled
from lockstep.report.robustness import attacked, lead
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import COMPLETED, Results, Side
from lockstep.report.speed import files
from lockstep.report.speed import lead as speed
from lockstep.report.speed.timings import Timings
from lockstep.statistics import CONFIDENCE, Estimate, binomial_error, estimate, paired


@dataclass(frozen=True)
class Finding:
    question: str
    answer: str
    details: tuple[str, ...]
    page: tuple[str, str] | None = None
    """(file, title) of where to read more."""


def findings(
    results: Results, certified: Sequence[Certified], frames: dict[str, pd.DataFrame]
) -> list[Finding]:
    under_attack, timings = attacked.read(results), files.read(results)
    return [
        same_run(results, certified),
        _agreement(results, frames["differences"]),
        what_settings_do(results, frames["effects"]),
        *([can_be_fooled(under_attack)] if under_attack else []),
        *([how_fast(timings)] if timings and timings.usable else []),
        _best(results),
        _outcomes(results),
    ]


def same_run(results: Results, certified: Sequence[Certified]) -> Finding:
    """What the certificates say: no backend falls short, or which one does and where."""
    question = "Do the backends compute the same run?"
    failing = [each for each in certified if each.falls_short]
    good = [each for each in certified if each.same_run]
    unsure = [results.label(each.side) for each in good if each.worst == "cannot tell"]
    absent: dict[str, list[str]] = {}
    for each in certified:
        for why in each.why_absent:
            absent.setdefault(why, []).append(results.label(each.side))
    details = [f"{text.listed(names)}, {why}." for why, names in absent.items()]
    if unsure:
        details.insert(0, f"Something cannot be told yet for {text.listed(unsure)}.")
    if failing:
        first = text.listed([f"{results.label(each.side)} is {_failure(each)}" for each in failing])
        late = any(each.worst == "out of step" for each in failing)
        answer = f"{'No' if late else 'Not yet'}: {first}."
    elif good:
        n, total = len(good), text.count(len(certified), "backend")
        rest = "" if n == len(certified) else f", {len(certified) - n} not measured"
        answer = f"Yes, {_precision(good)}: {n} of {total} {'is' if n == 1 else 'are'} in step{rest}."
    else:
        return Finding(question, "Not measured yet.", tuple(details))
    return Finding(question, answer, tuple(details), ("conformance.html", "How this was measured"))


def _failure(each: Certified) -> str:
    """ "out of step in T1 (max_pool1, gradient by its input)" """
    check = next(check for check in each.falls_short if check.verdict == each.worst)
    place = f"{each.diagnosis.layer}, {each.diagnosis.quantity}" if each.diagnosis else check.quantity
    return f"{'not finished' if check.verdict == 'not yet' else check.verdict} in {check.tier} ({place})"


def _precision(good: Sequence[Certified]) -> str:
    """How far the farthest is from the reference, in the best dtype that was measured."""
    exact = largest(check for each in good for check in each.float64 if check.limit)
    if exact is not None:
        return f"to {text.scientific(exact)} in float64"
    rough = largest(check for each in good for check in each.checks if check.tier == "T3")
    return "as far as it was measured" if rough is None else f"to {text.scientific(rough)} in float32"


def row_estimate(row: object) -> Estimate:
    """The estimate, in percentage points, in a row of the tables of differences and effects."""
    return Estimate(*(getattr(row, name) for name in tables.POINTS))


def _agreement(results: Results, differences: pd.DataFrame) -> Finding:
    question = "Do the backends agree?"
    shown = differences[differences["n"] > 0]
    if shown.empty:
        return Finding(
            question, "Nothing to compare yet.", ("It takes two backends that completed the same seed.",)
        )
    worst = max(tables.rows(shown), key=lambda row: abs(row.mean_points))
    value = row_estimate(worst)
    second, first = Side(worst.backend, worst.device), Side(worst.minus_backend, worst.minus_device)
    estimates = [row_estimate(row) for row in tables.rows(shown)]
    apart = sum(e.excludes_zero for e in estimates)
    tested = sum(e.has_interval for e in estimates)
    largest = (
        f"The largest mean difference is {text.points(value.mean)} percentage points of test accuracy "
        f"({worst.experiment}, {results.label(second)} minus {results.label(first)}, "
        f"{text.count(value.n, 'seed')}; {_interval(value)})."
    )
    answer = _agree(apart, tested, len(estimates))
    return Finding(question, answer, (largest, _churn(shown), _hedge(estimates)))


def _agree(apart: int, tested: int, pairs: int) -> str:
    if not tested:
        return f"Cannot tell: none of {text.count(pairs, 'pair')} has a 95 % interval yet."
    if not apart:
        which = "the only interval includes" if tested == 1 else f"all {tested} intervals include"
        return f"No difference can be told from 0: {which} it."
    chance = (1 - CONFIDENCE) * tested
    return (
        f"{apart} of {text.count(tested, '95 % interval')} {'excludes' if apart == 1 else 'exclude'} 0, "
        f"where about {chance:.1f} would if nothing differed."
    )


def _hedge(estimates: list[Estimate]) -> str:
    """How much the intervals can carry."""
    without = sum(e.n > 1 and not e.has_interval for e in estimates)
    few = text.seeds([e.n for e in estimates])
    hedge = f"{few}; an interval bounds a difference and proves no equality."
    if without:
        hedge += (
            f" {text.count(without, 'pair')} of {len(estimates)} differ equally for all seeds and have none."
        )
    return hedge


def _churn(shown: pd.DataFrame) -> str:
    """Churn, beside the churn between seeds, which is the scale to read it by."""
    between, within = shown["churn"].mean(), shown["seed_churn"].mean()
    if math.isnan(within):
        return f"Two backends classify {100 * between:.2f} % of the test images differently."
    return (
        f"Two backends trained from the same seed classify {100 * between:.2f} % of the test images "
        f"differently; two seeds of one backend {100 * within:.2f} %."
    )


def what_settings_do(results: Results, effects: pd.DataFrame) -> Finding:
    """Which experiments' accuracy can be told from the baseline's."""
    question = "What do the settings do?"
    shown = pooled(effects, "accuracy")
    compared = [row for row in shown if row.n]
    if not compared:
        return Finding(
            question, "Nothing to compare yet.", ("It takes the baseline and another experiment.",)
        )
    told = {word: [row for row in compared if row.verdict == word] for word in ("higher", "lower")}
    parts = [
        f"{word} with {text.listed([row.experiment for row in rows])}" for word, rows in told.items() if rows
    ]
    unsure = [row.experiment for row in compared if row.verdict == "cannot tell"]
    if parts:
        answer = f"Test accuracy is {'; '.join(parts)}"
        answer += f"; for {text.listed(unsure)} nobody can tell." if unsure else "."
    else:
        answer = f"Cannot tell: no effect on test accuracy is clear of 0 ({text.listed(unsure)})."
    few = text.seeds([row.n for row in compared])
    against = f"Against {compared[0].baseline}, paired by seed; {few}."
    return Finding(
        question, answer, (against, chance(shown)), ("effects.html", "All effects, with their intervals")
    )


def can_be_fooled(robustness: Robustness) -> Finding:
    """How far accuracy falls under attack."""
    answer, details = lead.answer(robustness)
    return Finding(
        lead.QUESTION, answer, details, ("robustness.html", "All attacks, and whether to trust them")
    )


def how_fast(timings: Timings) -> Finding:
    """Who trains fastest, where intervals tell."""
    answer, details = speed.answer(timings)
    return Finding(speed.QUESTION, answer, details, ("speed.html", "All times, and how they were measured"))


def _best(results: Results) -> Finding:
    """The experiment with the highest mean, and its lead over the next, paired by seed."""
    question = "Which experiment is best?"
    names = [name for name in results.experiments if any(results.accuracies(name, s) for s in results.sides)]
    means, sides = _means_by_seed(results, names)
    if not means:
        return Finding(question, "Cannot tell yet.", ("No backend and seed completed every experiment.",))
    ranked = sorted(names, key=lambda name: -estimate(list(means[name].values())).mean)
    best, *others = ranked
    mean = estimate(list(means[best].values())).mean
    shared = text.count(len(means[best]), "seed")
    where = text.listed([results.label(side) for side in sides])
    of = f"mean over {where}, {shared}" if len(sides) > 1 else f"{where}, {shared}"
    highest = f"{best} has the highest mean test accuracy, {100 * mean:.2f} % ({of})."
    notes = [highest, _same_images(results, best, mean)]
    if not others:
        return Finding(question, f"Only {best} has results.", tuple(notes))
    level = [name for name in ranked if mean - estimate(list(means[name].values())).mean < 1e-12]
    if len(level) > 1:
        notes[0] = f"{text.listed(level)} have the same mean test accuracy, {100 * mean:.2f} % ({of})."
        return Finding(question, f"A tie: {text.listed(level)}.", tuple(notes))
    lead = Estimate(*tables.points(paired(means[others[0]], means[best])).values())
    notes.insert(
        1, f"Its lead over the next, {others[0]}, is {text.points(lead.mean)} points ({_interval(lead)})."
    )
    unsure = f"Cannot tell from {shared}: {best} and {others[0]} are too close."
    return Finding(question, f"{best}, ahead of {others[0]}." if lead.excludes_zero else unsure, tuple(notes))


def _means_by_seed(results: Results, names: list[str]) -> tuple[dict[str, dict[int, float]], list[Side]]:
    """{experiment: {seed: mean accuracy over backends}} of the backends and seeds that all completed.

    With others in the mean, a cell that is missing in one experiment would tilt the comparison.
    """
    runs = {
        name: {
            (side, seed): accuracy
            for side in results.sides
            for seed, accuracy in results.accuracies(name, side).items()
        }
        for name in names
    }
    shared = set.intersection(*map(set, runs.values())) if runs else set()
    seeds = sorted({seed for _, seed in shared})
    means = {
        name: {seed: fmean(found[key] for key in shared if key[1] == seed) for seed in seeds}
        for name, found in runs.items()
        if shared
    }
    return means, [side for side in results.sides if any(side == key[0] for key in shared)]


def _same_images(results: Results, name: str, accuracy: float) -> str:
    """The interval over seeds leaves out that the test set is a sample."""
    run = next(run for run in results.runs if run.usable and run.cell.name == name)
    n = len(run.predictions.labels)
    error = 100 * binomial_error(accuracy, n)
    return (
        "On other test images every accuracy would move too: "
        f"its standard error with {n:,} images is {error:.2f} points."
    )


def _outcomes(results: Results) -> Finding:
    question = "Did everything run?"
    outcomes = Counter(run.outcome for run in results.runs)
    done, total = outcomes.pop(COMPLETED, 0), len(results.runs)
    if done == total:
        return Finding(question, f"Yes: all {total} training runs completed.", (sameness(results),))
    rest = text.listed([f"{n} {outcome}" for outcome, n in outcomes.items()])
    return Finding(
        question,
        f"{done} of {total} training runs completed; {rest}.",
        ("The reasons are listed under “Not completed”.", sameness(results)),
    )


def sameness(results: Results) -> str:
    """Whether all results come from one place and one source: numbers of several need a second look."""
    known = [run.provenance for run in results.runs if run.has_results]
    machines = {json.dumps(provenance["machine"], sort_keys=True) for provenance in known}
    harnesses = {provenance["identity"]["harness"] for provenance in known}
    images: dict[str, set[str]] = {}
    for provenance in known:
        identity = provenance["identity"]
        source = json.dumps(identity["experiment"]["data"]["source"], sort_keys=True)
        images.setdefault(source, set()).add(identity["data"])
    mixed = any(len(versions) > 1 for versions in images.values())
    if len(machines) < 2 and len(harnesses) < 2 and not mixed:
        return "All results come from one machine and one version of the harness." if known else ""
    where = (
        f"{text.count(len(machines), 'machine')} and {text.count(len(harnesses), 'version')} of the harness"
    )
    if mixed:
        where += ", and from changed images of one source, whose runs must not be compared"
    return f"The results come from {where}: see “Environment”."


def _interval(value: Estimate) -> str:
    if not value.has_interval:
        return value.why_no_interval
    tail = "excludes 0" if value.excludes_zero else "includes 0: cannot tell"
    return f"95 % interval {text.interval(value)}, which {tail}"
