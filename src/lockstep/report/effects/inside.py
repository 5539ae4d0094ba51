"""Subnetworks and knocked-out units, beside the whole network on the same images: the table `inside`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lockstep.evaluation import probabilities, quality
from lockstep.inside import looked_at
from lockstep.report.runs import Results, Run, Runs, by_seed
from lockstep.statistics import Estimate, differences, estimate

WHOLE, SUBNETWORKS, KNOCKED_OUT = "whole", "subnetworks", "knocked_out"
COLUMNS: list[str] = [
    "experiment", "what", "level", "metric", "mean", "sd", "low", "high", "n", "images", "minus_whole",
    "minus_whole_low", "minus_whole_high",
]  # fmt: skip


@dataclass
class Values:
    """{backend and seed: value} of one experiment, quantity, level and metric, and the images it is of."""

    runs: dict[Runs, float] = field(default_factory=dict)
    images: int = 0

    @property
    def seeds(self) -> Estimate:
        return mean_of(self.runs)


Key = tuple[str, str, float, str]
"""(experiment, WHOLE or SUBNETWORKS or KNOCKED_OUT, how many or which share, metric)"""


def mean_of(values: Mapping[Runs, float]) -> Estimate:
    """Over seeds, of means over backends."""
    return estimate(list(by_seed(values).values()))


def inside(results: Results) -> dict[Key, Values]:
    """Of all completed runs, in the order of the config; WHOLE is dropout off and nothing knocked out."""
    found: dict[Key, Values] = {}
    for run in results.runs:
        if not run.usable or run.cell.name not in results.experiments or run.side not in results.compared:
            continue
        for what, level, metric, value, images in [*_whole(run), *_measured(run)]:
            values = found.setdefault((run.cell.name, what, level, metric), Values())
            values.runs[run.side, run.cell.seed] = value
            values.images = images
    return found


def _measured(run: Run) -> Iterable[tuple[str, float, str, float, int]]:
    for row in run.metrics["measurements"]:
        what, _, level = row["condition"].partition("=")
        if what in (SUBNETWORKS, KNOCKED_OUT):
            yield what, float(level), row["metric"], row["value"], row["n"]


def _whole(run: Run) -> Iterable[tuple[str, float, str, float, int]]:
    """The network as it is used, on the very images that its inside was measured on, from its logits."""
    sizes = {images for *_, images in _measured(run)}
    labels = run.predictions.labels[looked_at(len(run.predictions.labels))]
    if sizes != {len(labels)}:
        return
    for row in quality(probabilities(run.predictions.looked_at), labels, ""):
        yield WHOLE, math.nan, row["metric"], row["value"], row["n"]


def whole_of(found: Mapping[Key, Values], key: Key) -> Values:
    """What a value is compared with: the whole network of the same runs on the same images."""
    experiment, _, _, metric = key
    same = (
        each for (name, what, _, m), each in found.items() if (name, what, m) == (experiment, WHOLE, metric)
    )
    return next(same, Values())


def table(results: Results) -> Iterable[dict[str, Any]]:
    found = inside(results)
    for key, values in found.items():
        name, what, level, metric = key
        change = mean_of(differences(whole_of(found, key).runs, values.runs) if what != WHOLE else {})
        yield {
            "experiment": name,
            "what": what,
            "level": level,
            "metric": metric,
            **asdict(values.seeds),
            "images": values.images,
            "minus_whole": change.mean,
            "minus_whole_low": change.low,
            "minus_whole_high": change.high,
        }
