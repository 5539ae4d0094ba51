"""The tidy tables `speed` and `speed_peers`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lockstep.report.speed.timings import Timings

NUMBERS = ["median", "q10", "q90", "n"]
COLUMNS: list[str] = ["device", "threads", "phase", "quantity", "backend", *NUMBERS, "ratio", "low", "high"]
PEERS: list[str] = ["device", "threads", "backend", "peer", "quantity", *NUMBERS, "ratio", "low", "high"]


def speed(timings: Timings) -> Iterable[dict[str, Any]]:
    """A row for each number, in seconds, bytes, images a second and FLOP/s; ratio: to the first backend."""
    for timing in timings.usable:
        for backend, phases in timing.content["backends"].items():
            for phase, quantities in phases.items():
                for quantity, spread in quantities.items():
                    ratio = timing.ratio(backend, phase, quantity)
                    key = (timing.device, timing.threads, phase, quantity, backend)
                    yield _row(COLUMNS, key, spread, ratio)


def peers(timings: Timings) -> Iterable[dict[str, Any]]:
    """What each script did in whole epochs; its ratio is backend / script, of images a second."""
    for timing in timings.usable:
        for backend, peer in timing.content["peers"].items():
            for quantity, spread in peer["epoch"].items():
                ratio = peer["ratio"] if quantity == "images_per_second" else None
                yield _row(
                    PEERS, (timing.device, timing.threads, backend, peer["peer"], quantity), spread, ratio
                )


def _row(
    columns: list[str], key: tuple[Any, ...], spread: Mapping[str, Any], ratio: Mapping[str, Any] | None
) -> dict[str, Any]:
    ends = [ratio and ratio[name] for name in ("ratio", "low", "high")]
    numbers = [spread[name] for name in NUMBERS]
    return dict(
        zip(columns, (*key, *numbers, *(math.nan if end is None else end for end in ends)), strict=True)
    )
