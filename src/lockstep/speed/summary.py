"""From the runs of all rounds to one figure with its spread for each backend and phase.

A process gives one value of each quantity: the median of its calls.  Medians, quantiles and n are of these
values, one a round, as calls of one process resemble each other more than those of another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from lockstep.speed.child import Raw
from lockstep.speed.rounds import Run
from lockstep.speed.subject import GOALS
from lockstep.statistics import paired

Values = dict[str, dict[str, float]]
"""{phase: {quantity: value}} of one process."""
ByRound = dict[str, dict[str, dict[int, float]]]
"""{phase: {quantity: {round: value}}} of one backend."""


class Spread(TypedDict):
    median: float
    q10: float
    q90: float
    n: int
    """Rounds."""
    values: list[float]
    """In the order of the rounds."""


class Ratio(TypedDict):
    """A geometric mean of ratios within a round, with its 95 % interval over rounds; None: cannot be told."""

    ratio: float
    low: float | None
    high: float | None
    n: int


def values(raw: Raw) -> Values:
    """Seconds, images per second, FLOP/s and bytes."""
    found = {
        benchmark["name"].removeprefix("test_"): _quantities(
            benchmark["stats"]["data"], benchmark["extra_info"]
        )
        for benchmark in raw["benchmarks"]
    }
    facts = raw["lockstep"]
    on_cpu = facts.get("device", "cpu") == "cpu"  # whose sgemm it is
    if on_cpu and "sgemm" in found and "train_step" in found:
        flops = found["train_step"]["images_per_second"] * facts["flops_per_image"]["training"]
        found["train_step"]["share_of_sgemm"] = flops / found["sgemm"]["flops_per_second"]
    if "memory" in facts:
        found["memory"] = {name: value for name, value in facts["memory"].items() if value is not None}
    return found


def _quantities(seconds: Sequence[float], info: Mapping[str, Any]) -> dict[str, float]:
    """info: what one call did."""
    median, found = float(np.median(seconds)), {}
    if "images" in info:
        found["images_per_second"] = info["images"] / median
    if "flops" in info:
        found["flops_per_second"] = info["flops"] / median
    if "percentiles" in info:
        found |= {f"p{p}_seconds": float(np.percentile(seconds, p)) for p in info["percentiles"]}
    if "cores" in info:
        found["cores"] = info["cores"]
    if "learning" in info:
        return _learning(info["learning"])
    if "steps" in info:
        found["seconds_per_step"] = median / info["steps"]
    return found or {"seconds": median}


def _learning(epochs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """epochs: seconds since the start and validation accuracy at the end of each."""
    found = {"validation_accuracy": max(accuracy for _, accuracy in epochs)}
    for goal in GOALS:
        for number, (seconds, accuracy) in enumerate(epochs, 1):
            if accuracy >= goal:
                found |= {f"seconds_to_{100 * goal:.0f}": seconds, f"epochs_to_{100 * goal:.0f}": number}
                break
    return found


def by_round(runs: Sequence[Run]) -> ByRound:
    found: ByRound = {}
    for run in runs:
        for phase, quantities in values(run.raw).items():
            for name, value in quantities.items():
                found.setdefault(phase, {}).setdefault(name, {})[run.round] = value
    return found


def spread(rounds: Mapping[int, float]) -> Spread:
    measured = list(rounds.values())
    low, middle, high = (float(q) for q in np.quantile(measured, (0.1, 0.5, 0.9)))
    return Spread(median=middle, q10=low, q90=high, n=len(measured), values=measured)


def ratio(first: Mapping[int, float], second: Mapping[int, float]) -> Ratio | None:
    """second / first in the rounds that both have.

    Student's t interval of the mean of log ratios, taken back by exp: so that A / B is 1 / (B / A).
    """
    logs = [{number: math.log(value) for number, value in rounds.items()} for rounds in (first, second)]
    found = paired(*logs)
    if not found.n:
        return None
    low, high = (math.exp(end) if found.has_interval else None for end in (found.low, found.high))
    return Ratio(ratio=math.exp(found.mean), low=low, high=high, n=found.n)


def spreads(found: ByRound) -> dict[str, dict[str, Spread]]:
    return {
        phase: {name: spread(rounds) for name, rounds in quantities.items()}
        for phase, quantities in found.items()
    }


def ratios(first: ByRound, second: ByRound) -> dict[str, dict[str, Ratio]]:
    """Of every quantity that both have."""
    return {
        phase: {
            name: found
            for name, rounds in quantities.items()
            if (found := ratio(first.get(phase, {}).get(name, {}), rounds))
        }
        for phase, quantities in second.items()
    }
