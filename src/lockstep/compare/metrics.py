"""Metrics of two results side by side: a row for each experiment, backend, device and metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from lockstep.compare.contrast import Contrast, contrast
from lockstep.compare.read import METRICS, Attack, Measure, Number, Numbers, Run, Source
from lockstep.statistics import churn

Settings = Mapping[str, Any]


class Group(NamedTuple):
    """The cells that differ by their seeds alone."""

    experiment: str
    backend: str
    device: str


@dataclass(frozen=True)
class Row:
    group: Group
    metric: str
    """accuracy, cross_entropy or calibration_error of the test images; accuracy under attack: pgd=0.1."""
    first: float
    """Means over all seeds of either side; the contrast is of those that are paired."""
    second: float
    contrast: Contrast
    """Of shares, or of nats."""
    other_settings: bool
    """Whether cells of this group were made by other settings: like is not compared with like."""
    churn: float | None = None
    """Share of test images with another predicted class, a mean over pairs; None: not looked at."""
    bounds: tuple[Sequence[str], Sequence[str]] = ((), ())
    """Why the first and the second are upper bounds of accuracy under attack, where checks say so."""

    @property
    def attack(self) -> bool:
        return self.metric not in METRICS

    @property
    def in_points(self) -> bool:
        """Differences of shares are told in percentage points, those of cross-entropy in nats."""
        return self.metric != "cross_entropy"


def rows(first: Source, second: Source) -> Iterator[Row]:
    """Of every group that both completed a run of."""
    ours, theirs = _groups(first), _groups(second)
    for group in (group for group in ours if group in theirs):
        yield from _rows(group, ours[group], theirs[group])


def _groups(source: Source) -> dict[Group, dict[int, Run]]:
    """{group: {seed: completed run}}."""
    found: dict[Group, dict[int, Run]] = {}
    for key, run in source.runs.items():
        if run.measured:
            found.setdefault(Group(*key[:3]), {})[key.seed] = run
    return found


def _rows(group: Group, first: Mapping[int, Run], second: Mapping[int, Run]) -> Iterator[Row]:
    shared = [(first[seed], second[seed]) for seed in first if seed in second]
    other = _any_differ(
        [run.facts["settings"] for run in first.values()], [run.facts["settings"] for run in second.values()]
    )
    alike = _identical((a.measured, b.measured) for a, b in shared)
    churned = None if alike else _churn(shared)
    for metric in METRICS:
        measure = Measure("test", metric, "")
        a, b = ({seed: run.measured[measure] for seed, run in runs.items()} for runs in (first, second))
        yield _row(group, metric, a, b, alike, other, churned if metric == "accuracy" else None)
    ours, theirs = _attacked(first), _attacked(second)
    other = other or _any_differ(
        [attack.settings for attack in ours.values()], [attack.settings for attack in theirs.values()]
    )
    alike = _identical((ours[seed].measured, theirs[seed].measured) for seed in ours if seed in theirs)
    for condition in dict.fromkeys(name for attack in ours.values() for name in attack.bounds):
        measure = Measure("test", "accuracy", condition)
        a, b = (
            {seed: attack.measured[measure] for seed, attack in each.items() if measure in attack.measured}
            for each in (ours, theirs)
        )
        if a and b:
            bounds = _bounds(ours, condition), _bounds(theirs, condition)
            yield replace(_row(group, condition, a, b, alike, other), bounds=bounds)


def _attacked(runs: Mapping[int, Run]) -> dict[int, Attack]:
    return {seed: run.attack for seed, run in runs.items() if run.attack.measured}


def _bounds(attacked: Mapping[int, Attack], condition: str) -> list[str]:
    return [
        f"seed {seed}: {why}" for seed, each in attacked.items() for why in each.bounds.get(condition, ())
    ]


def _row(
    group: Group,
    metric: str,
    first: Mapping[int, Number],
    second: Mapping[int, Number],
    identical: bool,
    other_settings: bool,
    churned: float | None = None,
) -> Row:
    a, b = ({seed: number.value for seed, number in numbers.items()} for numbers in (first, second))
    images = min(number.n for numbers in (first, second) for number in numbers.values())
    grain = 1 / images if metric not in ("cross_entropy", "calibration_error") else 0.0  # a count of images
    found = contrast(a, b, grain, identical)
    means = [float(np.mean(list(values.values()))) for values in (a, b)]
    return Row(group, metric, means[0], means[1], found, other_settings, churned)


def _any_differ(first: Sequence[Settings], second: Sequence[Settings]) -> bool:
    """Whether any two runs of either side, of whatever seeds, have other settings."""
    return any(a != b for a in first for b in second)


def _identical(pairs: Iterable[tuple[Numbers, Numbers]]) -> bool:
    """Whether all that both measured is equal to the last digit; newer code may measure more."""
    compared = [a[measure] == b[measure] for a, b in pairs for measure in a.keys() & b.keys()]
    return bool(compared) and all(compared)


def _churn(pairs: Iterable[tuple[Run, Run]]) -> float | None:
    """None where the test images of a pair are not the same ones, or cannot be read."""
    shares = []
    for first, second in pairs:
        try:
            (index, a), (other, b) = _predicted(first), _predicted(second)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        same_data = first.facts["data"] == second.facts["data"]
        if not same_data or a.shape != b.shape or not np.array_equal(index, other):
            return None
        shares.append(churn(a, b))
    return float(np.mean(shares)) if shares else None


def _predicted(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the source and predicted classes of the test images."""
    with np.load(run.folder / "predictions.npz", allow_pickle=False) as arrays:
        return arrays["index"], arrays["logits"].argmax(axis=-1)
