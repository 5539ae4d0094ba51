"""effects.html: its figures, and what its template is filled with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lockstep.report.effects import activation, augmented, dropout, effect_tables, forests, inside, sizes
from lockstep.report.effects.metrics import METRICS
from lockstep.report.effects.sentences import chance, measured, pooled, sentences
from lockstep.report.runs import Results
from lockstep.report.style import Figure

Frames = Mapping[str, pd.DataFrame]


def _units(results: Results, frames: Frames) -> pd.DataFrame:
    """Of the backends that experiments are compared on."""
    units = frames["units"]
    sides = zip(units["backend"], units["device"], strict=True)
    return units[np.array([side in results.compared for side in sides], dtype=bool)]


def figures(results: Results, frames: Frames, images: np.ndarray | None) -> Iterable[Figure]:
    """Those that the results allow; images: of the run with augmentation, if readable."""
    yield from forests.figures(results)
    augmenting = augmented.run_of(results)
    if augmenting and images is not None:
        yield augmented.sheet(augmenting, images)
    yield from dropout.figures(results, inside.inside(results))
    if len(frames["functions"]):
        yield activation.drawn(results, frames["functions"])
    yield from filter(
        None,
        (activation.dead(results, _units(results, frames)), sizes.figure(results, frames["learning_curve"])),
    )


def contents(results: Results, frames: Frames) -> dict[str, Any]:
    effects = frames["effects"]
    shown = [row for metric in METRICS for row in pooled(effects, metric)]
    found = inside.inside(results)
    return {
        "baseline": results.baseline,
        "sentences": sentences(effects),
        "chance": chance(shown) if shown else "",
        "by_metric": effect_tables.by_metric(results, effects),
        "redundancy": dropout.costs(results, found),
        "augmenting": augmented.experiment_of(results),
        "dropouts": dropout.with_dropout(found),
        "dropout": dict(dropout.sections(results, found)),
        "functions": activation.comparison(results, frames["functions"]),
        "dead": activation.dead_sentences(results, _units(results, frames)),
        "activity": activation.activity_table(results, _units(results, frames)),
        "activation_effects": [
            (row.experiment, measured(row), measured(start))
            for row, start in zip(pooled(effects, "accuracy"), pooled(effects, "convergence"), strict=True)
            if row.experiment in activation.compared(results)
        ],
        "costs": effect_tables.costs(results, effects),
        "sizes": sizes.sentences(results, frames["learning_curve"]),
        "has_sizes": bool(sizes.curves(results)),
    }
