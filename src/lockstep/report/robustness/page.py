"""robustness.html: its figures, and what its template is filled with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lockstep.report.robustness import (
    absent,
    calibration,
    carried,
    corrupted,
    curves,
    defences,
    gallery,
    heat,
    patterns,
    published,
    standard,
    trust,
)
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.style import Figure


def figures(robustness: Robustness) -> Iterable[Figure]:
    """Those that the results allow."""
    yield from curves.figures(robustness)
    yield from patterns.figures(robustness)
    yield from corrupted.figures(robustness)
    others = (gallery.figure, heat.figure, defences.scatter, standard.figure, calibration.figure)
    yield from filter(None, (draw(robustness) for draw in others))


def contents(robustness: Robustness | None) -> dict[str, Any]:
    """With nothing to attack, that alone."""
    if robustness is None:
        return {"asked": False}
    return {
        "asked": True,
        "baseline": robustness.baseline,
        "settings": robustness.settings,
        "images": robustness.images,
        "attacked": robustness.runs,
        "backends": curves.backends(robustness),
        "agreement": curves.agreement(robustness),
        "defended": defences.sentences(robustness),
        "noisy": defences.noisy(robustness),
        "clean": defences.clean(robustness),
        "defences": defences.grid(robustness),
        "standard": standard.grid(robustness),
        "standard_absent": standard.sentences(robustness),
        "any_eps": standard.any_eps(robustness),
        "trusted": trust.sentences(robustness),
        "failures": trust.failures(robustness),
        "checks": trust.grid(robustness),
        "patterns": patterns.grid(robustness),
        "transfer": carried.sentences(robustness),
        "corruptions": corrupted.grid(robustness),
        "calibration": calibration.grid(robustness),
        "published": published.grid(robustness),
        "compared_how": published.sentences(robustness),
        "unfinished": absent.unfinished(robustness),
    }
