"""What a config asks for and nobody timed, and what a reader should know of the rest."""

from __future__ import annotations

from collections.abc import Iterable

from lockstep.discovery import find
from lockstep.report.speed.timings import Timing, Timings


def sentences(timings: Timings) -> list[str]:
    """Of whole files, backends that failed or were not there, and timings that are out of date."""
    return [f"{timing.label}: {said}." for timing in timings.every for said in _of(timings, timing)]


def _of(timings: Timings, timing: Timing) -> Iterable[str]:
    if not timing.usable:
        yield timing.reason
        return
    failed = timing.content["failed"]
    yield from (f"{name} was left out: {reason}" for name, reason in failed.items())
    for name in _asked(timings):
        if name not in timing.backends and name not in failed:
            reason = find(name).unusable(timing.device)
            yield f"{name} was not timed{f': {reason}' if reason else ''}"
    if timing.remark:
        yield timing.remark


def _asked(timings: Timings) -> Iterable[str]:
    config = timings.results.config
    assert config.speed
    named = config.backends if config.speed.backends == "all" else config.speed.backends
    return (name for name in named if name in config.backends)
