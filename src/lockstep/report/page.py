"""The pages: HTML files that need no network, no script and no server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lockstep.discovery import REFERENCE
from lockstep.report import certificates, figures, grids, latex, pictures, tables, text, verdicts
from lockstep.report.certificates import Certified
from lockstep.report.divergence import divergence
from lockstep.report.effects import page as effects
from lockstep.report.effects.augmented import run_of
from lockstep.report.environment import environment
from lockstep.report.equivalence import margins
from lockstep.report.explanation import paragraphs
from lockstep.report.findings import can_be_fooled, findings, how_fast, same_run, what_settings_do
from lockstep.report.robustness import attacked
from lockstep.report.robustness import page as robustness
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import FILTERS, Results, Run, Side
from lockstep.report.speed import files
from lockstep.report.speed import page as speed
from lockstep.report.speed.timings import Timings
from lockstep.report.style import Figure
from lockstep.results import write_text

INDEX, CONFORMANCE, EFFECTS = "index.html", "conformance.html", "effects.html"
ROBUSTNESS, SPEED = "robustness.html", "speed.html"


def build(results: Results) -> Path:
    """Write tables/, figures/ and pages into the config's reports folder; returns the path of index.html."""
    config = results.config
    certified = certificates.read_all(config)
    frames = tables.build(results)
    tables.save(frames, config.reports / "tables")
    under_attack, timings = attacked.read(results), files.read(results)
    latex.save(results, frames, under_attack, timings, config.reports / "tables")
    drawn = {figure.name: figure for figure in _figures(results, certified, frames)}
    if under_attack:
        drawn |= {figure.name: figure for figure in robustness.figures(under_attack)}
    if timings:
        drawn |= {figure.name: figure for figure in speed.figures(timings)}
    for figure in drawn.values():
        write_text(config.reports / "figures" / f"{figure.name}.svg", figure.svg)
    engine = _engine(results, frames, drawn)
    contents = {
        CONFORMANCE: _conformance(results, certified),
        EFFECTS: _effects(results, frames),
        ROBUSTNESS: _robustness(under_attack),
        SPEED: _speed(timings),
        INDEX: _index(results, certified, frames),
    }
    for name, content in contents.items():
        write_text(config.reports / name, engine.get_template(f"{name}.j2").render(content))
    return config.reports / INDEX


def _figures(results: Results, certified: list[Certified], frames: dict[str, Any]) -> Iterator[Figure]:
    """Those that the results allow."""
    yield pictures.padding()
    yield from filter(None, (divergence(results, certified), margins(results, certified)))
    if len(frames["history"]):
        yield figures.curves(results, frames["history"])
    augmented = run_of(results)
    yield from effects.figures(results, frames, _images(results, augmented) if augmented else None)
    first = results.first
    if first is None:
        return
    yield figures.accuracies(results)
    if any(map(results.pairs, results.experiments)):
        yield figures.pair_differences(results)
    yield pictures.confusion(results, first)
    yield pictures.probabilities(results, first, _images(results, first))
    if FILTERS in first.cell.experiment.spec.weights:
        yield pictures.filters(results, _same_start(results, first))


def _same_start(results: Results, first: Run) -> dict[Side, Run]:
    """The runs of the first one's experiment and seed, by backend."""
    found = {side: results.seeds(first.cell.name, side).get(first.cell.seed) for side in results.sides}
    return {side: run for side, run in found.items() if run}


def _images(results: Results, run: Run) -> Any:
    folder = results.config.data_path(run.cell.experiment.data.source)
    return pictures.load_images(folder, run.provenance["identity"]["data"])


def _engine(results: Results, frames: dict[str, Any], drawn: dict[str, Figure]) -> Environment:
    """Templates, and what they all know."""
    folder = FileSystemLoader(Path(__file__).parent)
    engine = Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    engine.filters["unbroken"] = lambda value: value.replace(" %", "\N{NO-BREAK SPACE}%")
    engine.globals |= {
        "config": results.config,
        "sides": [grids.chip(results, side) for side in results.sides],
        "label": results.label,
        "few": text.seeds(results.counts),
        "counted": lambda name: text.seeds([n for n in frames[name]["n"] if n]),
        "figures": drawn,
        "inline": lambda figure: Markup(figure.inline),
        "built": datetime.now(UTC).isoformat(sep=" ", timespec="minutes"),
    }
    return engine


def _index(results: Results, certified: list[Certified], frames: dict[str, Any]) -> dict[str, Any]:
    config, first = results.config, results.first
    return {
        "findings": findings(results, certified, frames),
        "names": list(results.experiments),
        "cells": len(results.runs),
        "completed": sum(run.usable for run in results.runs),
        "first": first,
        "has_images": first is not None and _images(results, first) is not None,
        "data_path": first and config.data_path(first.cell.experiment.data.source),
        "accuracy": grids.accuracy(results, frames["accuracy"]),
        "differences": grids.differences(results, frames["differences"]),
        "experiments": grids.experiments(results),
        "errors": grids.errors(results, first.cell.name) if first else None,
        "errors_by_class": grids.errors_by_class(results, first) if first else None,
        "layers": grids.layers(results),
        "timing": grids.timing(results),
        "environment": environment(results),
        "unfinished": grids.unfinished(results),
        "tables": {name: len(frame) for name, frame in frames.items()},
    }


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


def _speed(timings: Timings | None) -> dict[str, Any]:
    return {"finding": how_fast(timings) if timings else None, **speed.contents(timings)}


def _conformance(results: Results, certified: list[Certified]) -> dict[str, Any]:
    return {
        "finding": same_run(results, certified),
        "asked": text.tiers(results.config.conformance.tiers),
        "reference": REFERENCE,
        "paragraphs": paragraphs(results, certified),
        "certified": certified,
        "missing": [(each.side, why) for each in certified for why in each.why_absent],
        "overview": verdicts.overview(results, certified),
        "tiers": verdicts.tiers(certified),
        "details": [(each, verdicts.checks(each), verdicts.files(results, each)) for each in certified],
        "means": verdicts.means(results, certified),
        "bits": verdicts.bits(results, certified),
        "environments": verdicts.environments(results, certified),
    }
