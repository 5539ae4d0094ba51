"""Whether an effect is there with other seeds too: the references on file have runs of some.

Of many intervals some exclude 0 by chance, and those that do are the ones that are told.  Other seeds,
which had no part in the choice, say which of them to believe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from lockstep.check import reference
from lockstep.check.reference import Trained
from lockstep.errors import LockstepError
from lockstep.report.runs import Results
from lockstep.statistics import Estimate, estimate

YES, NO, UNASKED = "with other seeds too", "not with other seeds", "not asked of other seeds"
MEASURES = {"convergence": "first_epoch_accuracy"}
"""{metric of an effect: what references call it}, where the two differ."""


class Again(NamedTuple):
    """An effect in runs of seeds that the report has no runs of."""

    word: str
    """YES, NO or UNASKED; empty where the report itself tells no effect."""
    found: Estimate

    @classmethod
    def of(cls, told: Estimate, others: Mapping[int, float]) -> Again:
        found = estimate(list(others.values()))
        if not told.excludes_zero:
            return cls("", found)
        if not found.has_interval:
            return cls(UNASKED, found)
        return cls(YES if found.excludes_zero and found.mean * told.mean > 0 else NO, found)


def on_file(results: Results) -> Mapping[str, Trained]:
    """{experiment: runs that references have of it}; none where one is damaged, as the claims then say."""
    try:
        return reference.on_file(reference.described(results))
    except LockstepError:
        return {}


def again(
    filed: Mapping[str, Trained],
    name: str,
    baseline: str,
    metric: str,
    told: Estimate,
    seeds: Collection[int],
) -> Again:
    """seeds: those that the effect was told from."""
    if name not in filed or baseline not in filed:
        return Again.of(told, {})
    found = reference.effect(filed[name], filed[baseline], MEASURES.get(metric, metric))
    return Again.of(told, {seed: value for seed, value in found.items() if seed not in seeds})


def counted(words: Collection[str]) -> str:
    """How many of the effects that a report tells are there again: a sentence, or nothing."""
    told = Counter(filter(None, words))
    asked = told[YES] + told[NO]
    if not told:
        return ""
    if not asked:
        return f"Other seeds were not asked about {'it' if told.total() == 1 else 'them'}."
    rest = f"; {told[UNASKED]} more were not asked about" if told[UNASKED] else ""
    return f"With other seeds {told[YES]} of {asked} {'does' if told[YES] == 1 else 'do'} so again{rest}."
