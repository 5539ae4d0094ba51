"""Tables, figures and the page, from the files of runs; no backend is imported."""

from __future__ import annotations

from pathlib import Path

from lockstep.config import Config


def build(config: Config) -> Path:
    """Write the tables, figures and index.html of the results that are there; returns the page's path."""
    from lockstep.report import page  # the summary is printed without matplotlib and pandas

    return page.build(config)
