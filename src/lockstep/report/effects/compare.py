"""Every experiment against the baseline, paired by backend and seed: the table `effects`.

Backends trained from one seed are nearly copies of each other, so they are averaged before anything is
counted: n is the number of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lockstep.check.reference import Trained
from lockstep.report import text
from lockstep.report.effects import replication
from lockstep.report.effects.metrics import METRICS, Metric
from lockstep.report.runs import Results, Side, by_seed
from lockstep.statistics import CONFIDENCE, differences, effect_size, estimate, heterogeneity, seeds_needed

ALL = "all"
"""Stands for the mean over backends and devices."""
AGREE, DIFFER, ONE, UNKNOWN = "agree", "differ", "one backend", "cannot tell"
"""What can be said of an effect on several backends."""

COLUMNS: list[str] = [
    "experiment", "baseline", "metric", "unit", "backend", "device", "mean", "sd", "low", "high", "n",
    "effect_size", "verdict", "seeds_needed", "agreement", "largest_difference", "agreement_p",
    "parameters_ratio", "flops_ratio", "replication", "other_mean", "other_low", "other_high", "other_n",
]  # fmt: skip


def effects(results: Results) -> Iterable[dict[str, Any]]:
    """A row for each backend, then their mean."""
    filed = replication.on_file(results)
    for name in results.experiments:
        if name == results.baseline:
            continue
        for metric in METRICS.values():
            sides = compared_sides(results, name)
            found = {side: effects_by_seed(results, name, metric, [side]) for side in sides}
            for side in sides:
                yield _row(results, filed, name, metric, side, found[side], ("", math.nan, math.nan))
            mean = effects_by_seed(results, name, metric, sides)
            yield _row(results, filed, name, metric, Side(ALL, ALL), mean, agreement(list(found.values())))


def compared_sides(results: Results, experiment: str) -> list[Side]:
    """The backends that were to train both the experiment and the baseline."""
    baseline = results.sides_of(results.baseline)
    return [side for side in results.sides_of(experiment) if side in baseline]


def effects_by_seed(
    results: Results, experiment: str, metric: Metric, sides: Iterable[Side]
) -> dict[int, float]:
    """{seed: experiment minus baseline}, mean over backends."""
    ours, others = (
        {(side, seed): metric.value(run) for side in sides for seed, run in results.seeds(name, side).items()}
        for sides in [list(sides)]
        for name in (experiment, results.baseline)
    )
    return by_seed(differences(others, ours))


def agreement(effects: Sequence[Mapping[int, float]]) -> tuple[str, float, float]:
    """Whether backends show the same effect: (word, largest difference of two means, p).

    "agree" means that no difference was found; how large one may be hidden is for the reader to judge by
    the largest one that was seen.
    """
    measured = [each for each in effects if each]
    if len(measured) < 2:
        return ONE if measured else "", math.nan, math.nan
    largest, p = heterogeneity(measured)
    if math.isnan(p):
        return AGREE if largest < 1e-9 else UNKNOWN, largest, p
    return DIFFER if p < 1 - CONFIDENCE else AGREE, largest, p


def _row(
    results: Results,
    filed: Mapping[str, Trained],
    name: str,
    metric: Metric,
    side: Side,
    values: Mapping[int, float],
    agreed: tuple[str, float, float],
) -> dict[str, Any]:
    value = estimate(list(values.values()))
    needed = seeds_needed(value.sd, metric.precision)
    again = replication.again(filed, name, results.baseline, metric.name, value, values)
    ours, baseline = (results.config.experiments[each].spec for each in (name, results.baseline))
    return {
        "experiment": name,
        "baseline": results.baseline,
        "metric": metric.name,
        "unit": metric.unit,
        **side._asdict(),
        **asdict(value),
        "effect_size": effect_size(value),
        "verdict": text.verdict(value),
        "seeds_needed": math.nan if needed is None else float(needed),
        **dict(zip(("agreement", "largest_difference", "agreement_p"), agreed, strict=True)),
        "parameters_ratio": ours.parameters / baseline.parameters,
        "flops_ratio": ours.flops / baseline.flops,
        "replication": again.word,
        **{f"other_{key}": getattr(again.found, key) for key in ("mean", "low", "high", "n")},
    }
