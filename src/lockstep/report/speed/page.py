"""speed.html: its figures, and what its template is filled with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lockstep.report.speed import (
    absent,
    accuracy,
    batch_sizes,
    disturbed,
    lead,
    peers,
    scaling,
    setting,
    share,
    values,
)
from lockstep.report.speed.timings import Timings
from lockstep.report.style import Figure


def figures(timings: Timings) -> Iterable[Figure]:
    """Those that the files allow."""
    yield from filter(None, (draw(timings) for draw in (peers.figure, batch_sizes.figure, share.figure)))


def contents(timings: Timings | None) -> dict[str, Any]:
    """With nothing asked or nothing timed, that alone."""
    if timings is None:
        return {"asked": False}
    if not timings.usable:
        return {"asked": True, "timed": False, "absent": absent.sentences(timings)}
    return {
        "asked": True,
        "timed": True,
        "absent": absent.sentences(timings),
        "disturbed": disturbed.sentences(timings),
        "beside": lead.peers(timings),
        "limits": disturbed.limits(timings),
        "files": [timing.path for timing in timings.usable if timing.content["disturbed"]],
        "machine": timings.machine,
        "setting": setting.grid(timings),
        "ratios": [(timing, values.ratios(timings, timing)) for timing in timings.usable],
        "values": [(timing, values.values(timings, timing)) for timing in timings.usable],
        "peers": peers.grid(timings),
        "scaling": scaling.grid(timings),
        "accuracy": accuracy.grid(timings),
    }
