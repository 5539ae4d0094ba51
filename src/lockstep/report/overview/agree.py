"""Do the backends agree?  Certificates against the reference, and accuracies paired by seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd
from scipy.special import bdtrc

from lockstep.discovery import REFERENCE
from lockstep.report import findings, tables, text
from lockstep.report.certificates import Certified, largest
from lockstep.report.grids import Grid, Group
from lockstep.report.overview.cards import Card, Link, Tone
from lockstep.report.runs import Results, Side
from lockstep.statistics import CONFIDENCE, Estimate

LINKS = (Link("conformance.html", "How this was measured"), Link("#backends", "All differences"))


def card(results: Results, certified: Sequence[Certified], differences: pd.DataFrame) -> Card:
    proof = findings.same_run(results, certified)
    shown = differences[differences["n"] > 0]
    estimates = [tables.estimate_of(row) for row in tables.rows(shown)]
    rows = [*_proved(certified), *_measured(results, shown)]
    return Card(
        "Do the backends agree?",
        _tone(certified, estimates),
        proof.answer,
        LINKS,
        Grid(("", "value", "read it by", "n"), 1, [Group(rows=rows)]) if rows else None,
        notes=(_told(estimates), *proof.details),
    )


def _tone(certified: Sequence[Certified], estimates: Sequence[Estimate]) -> Tone:
    """In doubt while no other backend is proved in step, or more accuracies differ than would by chance."""
    if any(each.falls_short for each in certified):
        return "bad"
    proved = any(each.same_run and not each.is_reference for each in certified)
    unsure = any(each.worst == "cannot tell" for each in certified)
    tested = sum(each.has_interval for each in estimates)
    apart = sum(each.excludes_zero for each in estimates)
    chance = 1 - CONFIDENCE  # of each interval; of so many apart or more, by the binomial distribution:
    differ = apart > 0 and bdtrc(apart - 1, tested, chance) <= chance + 1e-9
    return "good" if proved and not unsure and not differ else "unsure"


def _proved(certified: Sequence[Certified]) -> Iterator[tuple[str, ...]]:
    """How far the farthest is from the reference, and how far it may be."""
    others = [each for each in certified if not each.is_reference]
    checks = [check for each in others for check in each.float64 if check.limit]
    farthest = largest(checks)
    if farthest is not None:
        limit = min(check.limit for check in checks if check.limit)
        backends = sum(any(check.limit for check in each.float64) for each in others)
        yield (
            f"float64: largest distance from {REFERENCE}",
            text.scientific(farthest),
            f"limit {text.scientific(limit)}",
            text.count(backends, "backend"),
        )


def _measured(results: Results, shown: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """The largest mean difference in accuracy; churn, beside that between seeds, the scale to read it by."""
    if shown.empty:
        return
    row = max(tables.rows(shown), key=lambda row: abs(row.mean_points))
    value = tables.estimate_of(row)
    second, first = Side(row.backend, row.device), Side(row.minus_backend, row.minus_device)
    yield (
        f"float32: largest difference in accuracy, {results.label(second)} − {results.label(first)} "
        f"({row.experiment})",
        f"{text.points(value.mean)} points",
        text.interval(value),
        text.count(value.n, "seed"),
    )
    seeds = shown["seed_churn"].mean()
    beside = "" if math.isnan(seeds) else f"between seeds {100 * seeds:.2f} %"
    pairs = text.count(len(shown), "pair")
    yield "float32: images classified differently", f"{100 * shown['churn'].mean():.2f} %", beside, pairs


def _told(estimates: Sequence[Estimate]) -> str:
    """How many intervals exclude 0, beside how many would by chance."""
    if not estimates:
        return "No accuracies to compare yet: that takes two backends that completed the same seed."
    tested = sum(each.has_interval for each in estimates)
    apart = sum(each.excludes_zero for each in estimates)
    few = text.seeds([each.n for each in estimates])
    if not tested:
        pairs = text.count(len(estimates), "pair")
        return f"Accuracies: cannot tell; none of {pairs} has a 95 % interval yet ({few})."
    if not apart:
        said = "the only interval includes" if tested == 1 else f"all {tested} intervals include"
        return f"Accuracies: no difference can be told from 0; {said} it, which proves no equality ({few})."
    word = "excludes" if apart == 1 else "exclude"
    return (
        f"Accuracies: {apart} of {text.count(tested, '95 % interval')} {word} 0, where about "
        f"{(1 - CONFIDENCE) * tested:.1f} would if nothing differed ({few})."
    )
