"""The page: one HTML file that needs no network, no script and no server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lockstep.config import Config
from lockstep.report import figures, grids, pictures, runs, tables, text
from lockstep.report.environment import environment
from lockstep.report.findings import findings
from lockstep.report.runs import Results, Run, Side
from lockstep.report.style import Figure
from lockstep.results import write_text

INDEX = "index.html"


def build(config: Config) -> Path:
    """Write tables/, figures/ and index.html into the config's reports folder."""
    results = runs.read(config)
    frames = tables.build(results)
    tables.save(frames, config.reports / "tables")
    drawn = {figure.name: figure for figure in _figures(results, frames)}
    for figure in drawn.values():
        write_text(config.reports / "figures" / f"{figure.name}.svg", figure.svg)
    path = config.reports / INDEX
    write_text(path, _render(results, frames, drawn))
    return path


def _figures(results: Results, frames: dict[str, Any]) -> Iterator[Figure]:
    """Those that the results allow."""
    yield pictures.padding()
    if len(frames["history"]):
        yield figures.curves(results, frames["history"])
    first = results.first
    if first is None:
        return
    yield figures.accuracies(results)
    if results.pairs:
        yield figures.pair_differences(results)
    if len(results.config.experiments) > 1:
        yield figures.effects(results)
    yield pictures.confusion(results, first)
    yield pictures.probabilities(results, first, _images(results, first))
    if "conv1/kernel" in first.cell.experiment.spec.weights:
        yield pictures.filters(results, _same_start(results, first))


def _same_start(results: Results, first: Run) -> dict[Side, Run]:
    """The runs of the first one's experiment and seed, by backend."""
    found = {side: results.seeds(first.cell.name, side).get(first.cell.seed) for side in results.sides}
    return {side: run for side, run in found.items() if run}


def _images(results: Results, run: Run) -> Any:
    return pictures.load_images(results.config.data_path(run.cell.experiment.data.source))


def _render(results: Results, frames: dict[str, Any], drawn: dict[str, Figure]) -> str:
    folder = FileSystemLoader(Path(__file__).parent)
    engine = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    engine.filters["unbroken"] = lambda value: value.replace(" %", "\N{NO-BREAK SPACE}%")
    config, first = results.config, results.first
    page = engine.get_template("index.html.j2")
    return page.render(
        config=config,
        sides=[grids.chip(results, side) for side in results.sides],
        findings=findings(results, frames),
        few=text.seeds(len(config.seeds)),
        cells=len(results.runs),
        completed=sum(run.usable for run in results.runs),
        figures=drawn,
        inline=lambda figure: Markup(figure.inline),
        first=first,
        has_images=first is not None and _images(results, first) is not None,
        data_path=first and config.data_path(first.cell.experiment.data.source),
        accuracy=grids.accuracy(results, frames["accuracy"]),
        differences=grids.differences(results, frames["differences"]),
        effects=grids.effects(results, frames["effects"]),
        experiments=grids.experiments(results),
        errors=grids.errors(results, first.cell.name) if first else None,
        errors_by_class=grids.errors_by_class(results, first) if first else None,
        layers=grids.layers(results),
        timing=grids.timing(results),
        environment=environment(results),
        unfinished=grids.unfinished(results),
        tables={name: len(frame) for name, frame in frames.items()},
        built=datetime.now(UTC).isoformat(sep=" ", timespec="minutes"),
    )
