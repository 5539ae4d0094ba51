"""The pages of a report: one list, which is what is written and what the navigation on every page shows.

To add a page, append a `Page` to the list in `page.build`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lockstep.report.runs import Results, Side
from lockstep.results import write_text


class Page(NamedTuple):
    file: str
    title: str
    """In the navigation; Markup is left as it is."""
    template: str
    contents: Mapping[str, Any]
    """What the template is filled with, beside `page` itself and the globals of the engine."""
    group: str = ""
    """What the navigation writes before the first of several pages that belong together."""


def backend_file(results: Results, side: Side) -> str:
    """backend-torch.html, or backend-torch-gpu.html where there are several devices."""
    return f"backend-{results.label(side).replace(' on ', '-')}.html"


def engine(*folders: Path) -> Environment:
    """What fills the templates in some folders; those of a report can be taken from each."""
    made = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["unbroken"] = lambda value: value.replace(" %", "\N{NO-BREAK SPACE}%")
    made.globals["built"] = datetime.now(UTC).isoformat(sep=" ", timespec="minutes")
    return made


def write(pages: Sequence[Page], engine: Environment, folder: Path) -> None:
    """Fill every page's template; all of them know all pages as `site`."""
    engine.globals["site"] = pages
    for page in pages:
        write_text(folder / page.file, engine.get_template(page.template).render(page.contents, page=page))
