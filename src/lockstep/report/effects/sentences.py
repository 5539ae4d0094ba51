"""What the table of effects says, in sentences that claim no more than n seeds allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lockstep.report import text
from lockstep.report.effects import replication
from lockstep.report.effects.compare import AGREE, ALL, DIFFER, UNKNOWN
from lockstep.report.effects.metrics import METRICS
from lockstep.statistics import CONFIDENCE, Estimate


def pooled(effects: pd.DataFrame, metric: str) -> list[Any]:
    """The rows of one metric that are means over backends."""
    return list(effects[(effects["metric"] == metric) & (effects["backend"] == ALL)].itertuples(index=False))


def estimate_of(row: Any) -> Estimate:
    return Estimate(row.mean, row.sd, row.low, row.high, row.n)


def elsewhere(row: Any) -> str:
    """ "−0.16 (−0.73 to +0.41, 5 seeds)": with the seeds that references have, if any."""
    metric, value = (
        METRICS[row.metric],
        Estimate(row.other_mean, math.nan, row.other_low, row.other_high, row.other_n),
    )
    if not value.n:
        return ""
    return f"{metric.signed(value.mean)} ({metric.interval(value)}, {text.count(value.n, 'seed')})"


def verdict(row: Any) -> str:
    """ "lower", and what other seeds say: "lower, not with other seeds: −0.16 (−0.73 to +0.41, 5 seeds)" """
    numbers = f": {elsewhere(row)}" if row.replication == replication.NO else ""
    return ", ".join(filter(None, (row.verdict, row.replication))) + numbers


def sentences(effects: pd.DataFrame) -> list[tuple[str, str]]:
    """(experiment, what can be said of it)."""
    rows = [row for metric in METRICS for row in pooled(effects, metric)]
    return [
        (
            first.experiment,
            _sentence(effects, first, [row for row in rows if row.experiment == first.experiment]),
        )
        for first in pooled(effects, "accuracy")
    ]


def _sentence(effects: pd.DataFrame, accuracy: Any, rows: Sequence[Any]) -> str:
    if not accuracy.n:
        return f"no run yet that {accuracy.baseline} has from the same backend and seed."
    told = [row for row in rows if row.metric != "accuracy" and row.verdict in ("higher", "lower")]
    others = "; ".join(
        f"{METRICS[row.metric].title.lower()} {_measured(row)}: {verdict(row)}" for row in told
    )
    said = [f"accuracy {_measured(accuracy)}: {verdict(accuracy)}{_needed(accuracy)}."]
    said += [f"Also {others}."] if others else []
    ran = effects[(effects["experiment"] == accuracy.experiment) & (effects["metric"] == "accuracy")]
    backends = int(((ran["backend"] != ALL) & (ran["n"] > 0)).sum())
    if backends > 1:
        said.append(f"Mean over {backends} backends, which {agreed(accuracy)}.")
    return " ".join(said)


def measured(row: Any) -> str:
    """ "+0.12 points (−0.40 to +0.64, 5 seeds): cannot tell" """
    return f"{_measured(row)}: {verdict(row)}"


def _measured(row: Any) -> str:
    metric, value = METRICS[row.metric], estimate_of(row)
    few = f", {text.count(row.n, 'seed')}" if value.has_interval or row.n > 1 else ""
    return f"{metric.signed(row.mean)} {metric.unit} ({metric.interval(value)}{few})"


def _needed(row: Any) -> str:
    """How many seeds would tell, where there are too few."""
    if math.isnan(row.seeds_needed) or row.seeds_needed <= row.n:
        return ""
    return f"; {row.seeds_needed:,.0f} seeds would be needed for ±{METRICS[row.metric].precision:g}"


def agreed(row: Any) -> str:
    """ "agree: largest difference 0.10 points, p = 0.62" """
    if row.agreement not in (AGREE, DIFFER, UNKNOWN):
        return row.agreement
    word = "cannot be compared" if row.agreement == UNKNOWN else row.agreement
    if math.isnan(row.largest_difference):
        return f"{word}: fewer than two seeds in common"
    p = "" if math.isnan(row.agreement_p) else f", p {text.probability(row.agreement_p)}"
    return f"{word}: largest difference {text.scientific(row.largest_difference)} {row.unit}{p}"


def chance(rows: Sequence[Any]) -> str:
    """How many of several intervals exclude 0, and how many would by chance."""
    estimates = [estimate_of(row) for row in rows]
    tested = sum(each.has_interval for each in estimates)
    if not tested:
        return "None of the differences has a 95 % interval yet."
    apart = sum(each.excludes_zero for each in estimates)
    said = (
        f"Of {text.count(tested, 'interval')} of 95 %, {apart} {'excludes' if apart == 1 else 'exclude'} 0; "
        f"about {(1 - CONFIDENCE) * tested:.1f} would by chance if nothing had an effect."
    )
    return " ".join(filter(None, (said, replication.counted([row.replication for row in rows]))))
