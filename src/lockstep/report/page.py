"""All that a report consists of: tables, figures and pages, HTML files that need no network and no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from lockstep.discovery import REFERENCE
from lockstep.report import (
    certificates,
    claims,
    environment,
    grids,
    latex,
    pictures,
    site,
    tables,
    text,
    verdicts,
)
from lockstep.report.certificates import Certified
from lockstep.report.divergence import divergence
from lockstep.report.effects import page as effects
from lockstep.report.effects.augmented import run_of
from lockstep.report.equivalence import margins
from lockstep.report.explanation import paragraphs
from lockstep.report.findings import can_be_fooled, how_fast, same_run, what_settings_do
from lockstep.report.model import pages as models
from lockstep.report.overview import page as overview
from lockstep.report.robustness import attacked
from lockstep.report.robustness import page as robustness
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import FILTERS, Results, Run, Side
from lockstep.report.site import Page
from lockstep.report.speed import files
from lockstep.report.speed import page as speed
from lockstep.report.speed.timings import Timings
from lockstep.report.style import Figure
from lockstep.results import write_text


def build(results: Results) -> Path:
    """Write tables/, figures/ and pages into the config's reports folder; returns the path of index.html."""
    config = results.config
    certified = certificates.read_all(config)
    frames = tables.build(results)
    tables.save(frames, config.reports / "tables")
    under_attack, timings = attacked.read(results), files.read(results)
    papers = latex.save(results, frames, under_attack, timings, config.reports / "tables")
    judgement = claims.judged(results)
    backend_pages, taken_apart = models.build(results)
    drawn = [*_figures(results, certified, frames, under_attack, timings), *taken_apart]
    for figure in drawn:
        write_text(config.reports / "figures" / f"{figure.name}.svg", figure.svg)
    summary = overview.contents(results, certified, frames, under_attack, timings, judgement)
    pages = [
        Page("index.html", "Summary", "index.html.j2", summary | {"papers": papers}),
        Page("conformance.html", "Conformance", "conformance.html.j2", _conformance(results, certified)),
        Page("effects.html", "Effects", "effects.html.j2", _effects(results, frames)),
        Page("robustness.html", "Robustness", "robustness.html.j2", _robustness(under_attack)),
        Page("speed.html", "Speed", "speed.html.j2", _speed(results, timings)),
        Page(
            "environment.html",
            "Environment",
            "environment.html.j2",
            environment.contents(results, certified),
        ),
        *backend_pages,
    ]
    site.write(pages, _engine(results, frames, {figure.name: figure for figure in drawn}), config.reports)
    return config.reports / pages[0].file


def _figures(
    results: Results,
    certified: list[Certified],
    frames: dict[str, Any],
    under_attack: Robustness | None,
    timings: Timings | None,
) -> Iterator[Figure]:
    """Those that the results allow."""
    yield pictures.padding()
    yield from filter(None, (divergence(results, certified), margins(results, certified)))
    augmented = run_of(results)
    yield from effects.figures(results, frames, _images(results, augmented) if augmented else None)
    yield from overview.figures(results, frames)
    if results.first and FILTERS in results.first.cell.experiment.spec.weights:
        yield pictures.filters(results, _same_start(results, results.first))
    if under_attack:
        yield from robustness.figures(under_attack)
    if timings:
        yield from speed.figures(timings)


def _same_start(results: Results, first: Run) -> dict[Side, Run]:
    """The runs of the first one's experiment and seed, by backend."""
    found = {side: results.seeds(first.cell.name, side).get(first.cell.seed) for side in results.sides}
    return {side: run for side, run in found.items() if run}


def _images(results: Results, run: Run) -> Any:
    folder = results.config.data_path(run.cell.experiment.data.source)
    return pictures.load_images(folder, run.provenance["identity"]["data"])


def _engine(results: Results, frames: dict[str, Any], drawn: dict[str, Figure]) -> Environment:
    """Templates, and what they all know."""
    engine = site.engine()
    engine.globals |= {
        "config": results.config,
        "sides": [grids.chip(results, side) for side in results.sides],
        "label": results.label,
        "few": text.seeds(results.counts),
        "counted": lambda name: text.seeds([n for n in frames[name]["n"] if n]),
        "figures": drawn,
        "inline": lambda figure: Markup(figure.inline),
    }
    return engine


def _effects(results: Results, frames: dict[str, Any]) -> dict[str, Any]:
    return {
        "finding": what_settings_do(results, frames["effects"]),
        "experiments": list(results.experiments),
        "settings": grids.experiments(results),
        **effects.contents(results, frames),
    }


def _robustness(under_attack: Robustness | None) -> dict[str, Any]:
    finding = can_be_fooled(under_attack) if under_attack else None
    return {"finding": finding, **robustness.contents(under_attack)}


def _speed(results: Results, timings: Timings | None) -> dict[str, Any]:
    finding = how_fast(timings) if timings else None
    return {"finding": finding, "training": grids.timing(results), **speed.contents(timings)}


def _conformance(results: Results, certified: list[Certified]) -> dict[str, Any]:
    return {
        "finding": same_run(results, certified),
        "asked": text.tiers(results.config.conformance.tiers),
        "reference": REFERENCE,
        "paragraphs": paragraphs(results, certified),
        "certified": certified,
        "missing": [(each.side, why) for each in certified for why in each.remarks],
        "overview": verdicts.overview(results, certified),
        "tiers": verdicts.tiers(certified),
        "details": [(each, verdicts.checks(each), verdicts.files(results, each)) for each in certified],
        "means": verdicts.means(results, certified),
        "bits": verdicts.bits(results, certified),
        "environments": verdicts.environments(results, certified),
    }
