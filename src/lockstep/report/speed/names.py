"""What the page calls backends."""

from __future__ import annotations

from markupsafe import Markup

from lockstep.report import grids
from lockstep.report.speed.timings import Timings


def chip(timings: Timings, backend: str) -> Markup:
    """With the colour that it has in the figures."""
    return grids.chip(timings.results, timings.side(backend), timings.label(backend))
