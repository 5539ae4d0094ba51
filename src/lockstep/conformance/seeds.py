"""T6: whole runs of backend and reference from the same seeds: are their results equal but for a margin?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lockstep.conformance import digits
from lockstep.conformance.certificate import Check, Pair, Verdict
from lockstep.conformance.digits import Outcome
from lockstep.conformance.problem import Tensors
from lockstep.conformance.subject import Advance, Subject
from lockstep.conformance.worker import Here, Worker
from lockstep.discovery import REFERENCE
from lockstep.statistics import EQUIVALENCE_PAIRS, churn, equivalence

PAIRS = EQUIVALENCE_PAIRS
MARGINS = {"accuracy": 0.002, "cross_entropy": 0.002}
"""What counts as equal: 0.2 points of accuracy, 0.002 nats."""


Outcomes = list[Outcome]


def made(data: Path, pairs: int, advance: Advance) -> Outcomes:
    """The reference's runs, in float32 as the backends'."""
    return _outcomes(Here(REFERENCE, "float32"), data, pairs, advance)


def save(outcomes: Outcomes) -> Tensors:
    """As arrays of one file."""
    columns = zip(*outcomes, strict=True)
    return {name: np.array(column) for name, column in zip(Outcome._fields, columns, strict=True)}


def load(arrays: Tensors) -> Outcomes:
    rows = zip(*(arrays[name] for name in Outcome._fields), strict=True)
    return [Outcome(float(accuracy), float(loss), predicted) for accuracy, loss, predicted in rows]


def measure(subject: Subject, reference: Outcomes) -> tuple[list[Check], list[Pair]]:
    mine = _outcomes(subject.worker("float32"), subject.data, len(reference), subject.advance)
    broken = [seed for seed, run in enumerate(mine) if not np.isfinite(run.cross_entropy)]
    if broken:
        note = f"the test loss of seeds {broken} is NaN or infinite"
        return [Check(tier="T6", quantity="test loss", measured=None, verdict="out of step", note=note)], []
    pairs = [
        Pair(
            seed=seed,
            accuracy=(first.accuracy, second.accuracy),
            cross_entropy=(first.cross_entropy, second.cross_entropy),
            churn=churn(first.predicted, second.predicted),
        )
        for seed, (first, second) in enumerate(zip(reference, mine, strict=True))
    ]
    return [_check(metric, pairs) for metric in MARGINS], pairs


def _check(metric: str, pairs: Sequence[Pair]) -> Check:
    """Of fewer than PAIRS pairs, or without any spread, nobody can tell."""
    values = [second - first for first, second in (getattr(pair, metric) for pair in pairs)]
    test = equivalence(values, MARGINS[metric])
    scale, unit = (100, "points") if metric == "accuracy" else (1, "nats")
    verdicts: dict[str, Verdict] = {"equal": "in step", "different": "out of step"}
    if test.needed is None:
        note = f"n = {len(values)}: no spread between the pairs, so no test and no number of pairs"
    else:
        note = (
            f"{len(values)} pairs, 90 % interval {scale * test.low:+.3g} to {scale * test.high:+.3g} {unit}, "
            f"p {test.p:.2g}; needed: {max(test.needed, PAIRS)} pairs"
        )
    return Check(
        tier="T6",
        quantity=f"{metric.replace('_', '-')}, {unit}, mean difference",
        measured=scale * test.difference.mean,
        limit=scale * test.margin,
        verdict=verdicts.get(test.verdict, "cannot tell"),
        note=note,
    )


def _outcomes(caller: Here | Worker, data: Path, pairs: int, advance: Advance) -> Outcomes:
    run, found = digits.experiment("seeds", "float32"), []
    for seed in range(pairs):
        advance(f"{caller.backend}: whole run from seed {seed}")
        found.append(caller.call(digits.train_and_test, data, run, seed))
    return found
