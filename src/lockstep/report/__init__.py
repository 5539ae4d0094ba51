"""Tables, figures and the page, from the files of runs; no backend is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # how numbers are written is known without pandas
    from lockstep.report.runs import Results


def build(results: Results) -> Path:
    """Write the tables, figures and index.html of results; returns the page's path."""
    from lockstep import freshness
    from lockstep.report import folder, page  # the summary is printed without matplotlib

    with folder.held(results.config, freshness.known_report_hash(results.config)):
        return page.build(results)
