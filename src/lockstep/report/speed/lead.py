"""The page in a few sentences: who trains fastest, and how each does beside its framework's plain script."""

from __future__ import annotations

from collections.abc import Iterable

from lockstep.report import text
from lockstep.report.speed import absent, disturbed
from lockstep.report.speed.ratios import said, told
from lockstep.report.speed.timings import Timing, Timings
from lockstep.speed import rows

QUESTION = "How fast are the backends?"


def answer(timings: Timings) -> tuple[str, tuple[str, ...]]:
    """The answer, and what is to be added."""
    without = absent.sentences(timings)
    if not timings.usable:
        return "Not measured yet.", tuple(without)
    details = (
        f"Whole epochs, on {timings.machine}; 95 % intervals over rounds. No time here is a property of a "
        "framework.",
        *disturbed.counts(timings),
        *_switched(timings),
        "Something was not timed, or is out of date." if without else "",
    )
    return " ".join(_fastest(timings, timing) for timing in timings.usable), details


def _switched(timings: Timings) -> Iterable[str]:
    """Whoever set them may have forgotten."""
    for switches in dict.fromkeys(timing.switches for timing in timings.usable if timing.switches):
        yield f"The environment chose the kernels of some libraries, which changes their speed: {switches}."


def peers(timings: Timings) -> tuple[str, ...]:
    """How each backend does beside the plain script of its framework."""
    return tuple(said for timing in timings.usable if (said := _peers(timings, timing)))


def order(timing: Timing) -> list[str]:
    """Backends by their rate of whole epochs, the highest first."""
    rates = {name: rate for name in timing.backends if (rate := timing.median(name, "epoch"))}
    return sorted(rates, key=lambda name: -rates[name])


def level(timing: Timing) -> list[str]:
    """The first of them, and those that its interval does not tell it from."""
    best, *others = order(timing)
    return [best, *(other for other in others if told(timing.lead(best, other)) != "faster")]


def _fastest(timings: Timings, timing: Timing) -> str:
    """By the rate of whole epochs, and only where its interval against every other says so."""
    best, *others = order(timing)
    name, where = timings.label, f"With {timing.label}"
    if not others:
        rate = rows.number(timing.median(best, "epoch") or 0)
        return f"{where} only {name(best)} was timed: {rate} images a second."
    leads = {other: timing.lead(best, other) for other in others}
    against = timing.first if timing.first in leads else others[0]
    times = f"{said(leads[against])} times as many images a second as {name(against)}"
    if timing.content["rounds"] == 1:
        return f"{where} {name(best)} had the highest rate, {times}."
    _, *close_behind = level(timing)
    if not close_behind:
        next_ = "" if against == others[0] else f", and {said(leads[others[0]])} times {name(others[0])}'s"
        return f"{where} {name(best)} trains fastest: {times}{next_}."
    close = f"{name(best)} / {name(close_behind[0])} is {said(leads[close_behind[0]])}"
    first = "" if against in close_behind else f"; {name(best)} trains {times}"
    which = text.listed([name(each) for each in (best, *close_behind)])
    return f"{where} it cannot be told which of {which} trains fastest: {close}{first}."


def _peers(timings: Timings, timing: Timing) -> str:
    parts = [
        f"{timings.label(name)} {said(peer['ratio'])}, {told(peer['ratio'])}"
        for name, peer in timing.content["peers"].items()
    ]
    return f"Over its framework's plain script, with {timing.label}: {'; '.join(parts)}." if parts else ""
