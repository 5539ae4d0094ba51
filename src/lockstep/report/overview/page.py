"""index.html: its figures, and what its template is filled with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from lockstep.check.judge import Judgement
from lockstep.report import claims, grids
from lockstep.report import figures as drawings
from lockstep.report.certificates import Certified
from lockstep.report.findings import can_be_fooled, what_settings_do
from lockstep.report.overview import agree, best, fastest, trust
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import Results
from lockstep.report.speed.timings import Timings
from lockstep.report.style import Figure

Frames = Mapping[str, pd.DataFrame]


def figures(results: Results, frames: Frames) -> Iterable[Figure]:
    """Those that the results allow."""
    if len(frames["history"]):
        yield drawings.curves(results, frames["history"])
    if results.first is None:
        return
    yield drawings.accuracies(results)
    if any(map(results.pairs, results.experiments)):
        yield drawings.pair_differences(results)


def contents(
    results: Results,
    certified: Sequence[Certified],
    frames: Frames,
    under_attack: Robustness | None,
    timings: Timings | None,
    judgement: Judgement | None,
) -> dict[str, Any]:
    ranking, others, first = best.read(results), best.elsewhere(results), results.first
    return {
        "cards": [
            agree.card(results, certified, frames["differences"]),
            best.card(results, ranking, others),
            fastest.card(results, timings),
            trust.card(results, certified, under_attack, judgement),
        ],
        "names": list(results.experiments),
        "cells": len(results.runs),
        "completed": sum(run.usable for run in results.runs),
        "ranking": best.grid(results, ranking, others),
        "ranked_over": best.over(results, ranking),
        "ranked_told": best.told(ranking, others),
        "findings": [
            what_settings_do(results, frames["effects"]),
            *([can_be_fooled(under_attack)] if under_attack else []),
        ],
        "judgement": judgement,
        "claims": claims.grid(judgement) if judgement else None,
        "accuracy": grids.accuracy(results, frames["accuracy"]),
        "differences": grids.differences(results, frames["differences"]),
        "first": first,
        "errors": grids.errors(results, first.cell.name) if first else None,
        "errors_by_class": grids.errors_by_class(results, first) if first else None,
        "unfinished": grids.unfinished(results),
        "tables": {name: len(frame) for name, frame in frames.items()},
    }
