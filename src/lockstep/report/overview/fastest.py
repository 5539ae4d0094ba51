"""Which backend is fastest here?  From times alone: training runs share the machine."""

from __future__ import annotations

from markupsafe import Markup

from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.overview.cards import Card, Link, Tone
from lockstep.report.runs import Results
from lockstep.report.speed import absent, disturbed, lead
from lockstep.report.speed.names import chip
from lockstep.report.speed.ratios import said
from lockstep.report.speed.timings import Timing, Timings
from lockstep.speed import rows

QUESTION = "Which is fastest here?"
SHOWN = 5
"""Backends on the card; the page of times has all."""
LINKS = (Link("speed.html", "All times, and how they were measured"),)


def card(results: Results, timings: Timings | None) -> Card:
    if timings is None or not timings.usable:
        return _not_measured(results, timings)
    levels = [lead.level(timing) for timing in timings.usable]
    answers = [_answer(timings, *pair) for pair in zip(timings.usable, levels, strict=True)]
    alone = all(len(timing.backends) == 1 for timing in timings.usable)
    tone: Tone = "none" if alone else "good" if all(len(level) == 1 for level in levels) else "unsure"
    shown = max(timings.usable, key=lambda timing: timing.threads)
    notes = (
        f"Whole epochs, {shown.label}, {timings.machine}. No time is a property of a framework.",
        *disturbed.counts(timings),
    )
    return Card(QUESTION, tone, " ".join(answers), LINKS, _grid(timings, shown), notes=notes)


def _answer(timings: Timings, timing: Timing, level: list[str]) -> str:
    names = [timings.label(name) for name in level]
    if len(timing.backends) == 1:
        return f"With {timing.label} only {names[0]} was timed."
    if len(names) == 1:
        return f"With {timing.label}: {names[0]}."
    return f"With {timing.label}: a tie of {text.listed(names)}."


def _grid(timings: Timings, timing: Timing) -> Grid:
    fastest, *_ = order = lead.order(timing)
    cells = [
        (
            chip(timings, name),
            rows.number(timing.median(name, "epoch") or 0),
            text.NONE if name == fastest else said(timing.lead(fastest, name)),
            str(timing.content["rounds"]),
        )
        for name in order[:SHOWN]
    ]
    return Grid(
        ("backend", "images/s", f"{timings.label(fastest)} / this (95 %)", "n rounds"), 1, [Group(rows=cells)]
    )


def _not_measured(results: Results, timings: Timings | None) -> Card:
    """How to get one, or why there is none; rates of training runs would be read as one."""
    asking = Markup(
        "To measure: <code>lockstep time {} --config {}</code>; "
        "with <code>speed: {{}}</code> in the config, snakemake does it."
    ).format(" ".join(results.config.backends), results.config.path)
    return Card(
        QUESTION,
        "none",
        "Not measured: training runs share the machine, so their rates are not a benchmark.",
        (Link("speed.html", "More on speed"),),
        notes=tuple(absent.sentences(timings)) if timings else (asking,),
    )
