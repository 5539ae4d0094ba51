"""Rounds in which the machine did something else too."""

from __future__ import annotations

from lockstep.report import text
from lockstep.report.speed.timings import Timing, Timings


def counts(timings: Timings) -> list[str]:
    """ "2 of 5 rounds with 2 threads were disturbed." """
    return [
        f"{len(rounds)} of {text.count(timing.content['rounds'], 'round')} with {timing.label} "
        f"{'was' if len(rounds) == 1 else 'were'} disturbed."
        for timing in timings.usable
        if (rounds := timing.content["disturbed"])
    ]


def sentences(timings: Timings) -> list[str]:
    """Each process that was disturbed in all of its tries, and by what."""
    return [said for timing in timings.usable for said in _processes(timing)]


def _processes(timing: Timing) -> list[str]:
    kept = [(run, run["tries"][run["kept"]]) for run in timing.content["load"]]
    return [
        f"{timing.label}, round {run['round']}, {run['timed']}: steal {100 * load['steal']:.1f} %, other "
        f"processes {100 * load['others']:.1f} % (tries: {len(run['tries'])})."
        for run, load in kept
        if load["disturbed"]
    ]


def limits(timings: Timings) -> str:
    limits = timings.usable[0].content["limits"]
    return f"steal above {100 * limits['steal']:.0f} %, other processes above {100 * limits['others']:.0f} %"
