"""What the pages open with: computed sentences that claim no more than n seeds allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lockstep.discovery import REFERENCE
from lockstep.report import text
from lockstep.report.certificates import Certified, largest
from lockstep.report.effects import replication
from lockstep.report.effects.sentences import chance, pooled
from lockstep.report.robustness import lead
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import Results
from lockstep.report.speed import lead as speed
from lockstep.report.speed.timings import Timings


@dataclass(frozen=True)
class Finding:
    question: str
    answer: str
    details: tuple[str, ...]
    page: tuple[str, str] | None = None
    """(file, title) of where to read more."""


def same_run(results: Results, certified: Sequence[Certified]) -> Finding:
    """What the certificates say: no backend falls short, or which one does and where."""
    question = "Do the backends compute the same run?"
    failing = [each for each in certified if each.falls_short]
    others = [each for each in certified if not each.is_reference]
    same = [each for each in others if each.same_run]
    good = [each for each in same if each.full_precision]
    coarse = [results.label(each.side) for each in same if not each.full_precision]
    unsure = [results.label(each.side) for each in same if each.worst == "cannot tell"]
    absent: dict[str, list[str]] = {}
    for each in certified:
        for why in each.remarks:
            absent.setdefault(why, []).append(results.label(each.side))
    details = [f"{text.listed(names)}, {why}." for why, names in absent.items()]
    if unsure:
        details.insert(0, f"Something cannot be told yet for {text.listed(unsure)}.")
    if coarse:
        wide = "limits are as much wider as its rounding is"
        details.insert(0, f"{text.listed(coarse)}: of less precise arithmetic, and in step with it; {wide}.")
    if failing:
        first = text.listed([f"{results.label(each.side)} is {_failure(each)}" for each in failing])
        late = any(each.worst == "out of step" for each in failing)
        answer = f"{'No' if late else 'Not yet'}: {first}."
    elif good:
        n, total = len(good), text.count(len(others), "backend")
        less = f", {len(coarse)} in less precise arithmetic" if coarse else ""
        rest = less + (f", {len(others) - len(same)} not measured" if len(same) < len(others) else "")
        verb = "is" if n == 1 else "are"
        answer = f"Yes, {_precision(good)}: {n} of {total} {verb} in step with {REFERENCE}{rest}."
    elif certified and not others:
        return Finding(question, f"Nothing to compare: only {REFERENCE} is here.", tuple(details))
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
    parts = [f"{word} with {text.listed(list(map(_marked, rows)))}" for word, rows in told.items() if rows]
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


def _marked(row: Any) -> str:
    """Where other seeds did not show it too, that is said beside the name."""
    return (
        f"{row.experiment} ({row.replication})" if row.replication == replication.NO else str(row.experiment)
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
