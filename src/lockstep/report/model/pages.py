"""backend-<name>.html: its figures, and what its template is filled with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lockstep.errors import LockstepError
from lockstep.experiment import Experiment
from lockstep.report import grids, pictures, text
from lockstep.report.grids import Grid, Group, chip
from lockstep.report.model import confusion, doubts, features, filters, maps, mistakes, sure, walk, weights
from lockstep.report.model.features import Journey
from lockstep.report.model.mistakes import Mistakes
from lockstep.report.model.subject import Model, read_weights
from lockstep.report.runs import FILTERS, Results, Run
from lockstep.report.site import Page, backend_file
from lockstep.report.style import Figure
from lockstep.statistics import estimate

TEMPLATE = "model.html.j2"


@dataclass(frozen=True)
class Opened:
    """A model's first completed run with all that its page draws; what cannot be had is None, and `why` says
    for each of "weights", "images" and "journey" what is amiss."""

    model: Model
    run: Run
    weights: dict[str, np.ndarray] | None
    images: np.ndarray | None
    journey: Journey | None
    mistakes: Mistakes
    why: dict[str, str] = field(default_factory=dict)


def build(results: Results) -> tuple[list[Page], list[Figure]]:
    """One page for each backend and device of the config, whether or not it completed anything."""
    pages, figures = [], []
    for side in results.sides:
        model = Model(results, side)
        opened = _open(model, model.run) if model.run else None
        figures += list(_figures(opened)) if opened else []
        contents = {**_always(model), **(_contents(opened) if opened else {"run": None})}
        title = chip(results, side)
        pages.append(Page(backend_file(results, side), title, TEMPLATE, contents, group="Backends"))
    return pages, figures


def _open(model: Model, run: Run) -> Opened:
    why: dict[str, str] = {}
    folder = model.results.config.data_path(run.cell.experiment.data.source)
    images = pictures.load_images(folder, run.provenance["identity"]["data"])
    if images is None:
        why["images"] = f"the images of {folder} cannot be read here, or are not those of this run"
    trained = journey = None
    try:
        trained = read_weights(run)
        # The first of all backends chooses the digit, so that it is the same on all pages.
        journey = features.follow(run, trained, folder, features.example(model.alike[0]))
    except LockstepError as error:
        why["journey" if trained else "weights"] = str(error)
    return Opened(model, run, trained, images, journey, mistakes.find(model, run), why)


def _figures(opened: Opened) -> Iterator[Figure]:
    model, run = opened.model, opened.run
    yield confusion.figure(model)
    yield doubts.figure(model, run, opened.images)
    yield sure.figure(model, run)
    if opened.images is not None and opened.mistakes.found:
        yield mistakes.gallery(model, opened.mistakes, opened.images)
    if FILTERS in run.cell.experiment.spec.weights:
        yield filters.figure(model, run)
    if opened.journey:
        yield maps.figure(model, opened.journey)


def _always(model: Model) -> dict[str, Any]:
    return {
        "model": model,
        "chip": chip(model.results, model.side),
        "why_nothing": model.why_nothing,
        "accuracy": _accuracy(model),
    }


def _contents(opened: Opened) -> dict[str, Any]:
    run = opened.run
    spec = run.cell.experiment.spec
    embedded, too_large = weights.embedded(spec, opened.weights) if opened.weights else ("", [])
    return {
        "run": run,
        "why": opened.why,
        "steps": walk.steps(spec),
        "total": walk.total(spec),
        "mflop": f"{spec.flops / 1e6:.2f}",
        "shares": walk.shares(spec),
        "others": grids.layers(_other_networks(opened.model, run)),
        "classes": confusion.classes(opened.model),
        "mistaken": mistakes.sentences(opened.mistakes),
        "mistakes": mistakes.grid(opened.mistakes),
        "weights": embedded,
        "too_large": text.listed(too_large) if too_large else "",
        "journey": opened.journey,
        "proof": maps.proof(opened.journey) if opened.journey else "",
        "mapped": maps.sentences(opened.journey) if opened.journey else [],
        "sure": sure.sentences(opened.model),
    }


def _other_networks(model: Model, run: Run) -> dict[str, Experiment]:
    """The experiments that the backend was to train whose networks are not the one on the page."""
    known = {name: model.results.experiments[name] for name in model.experiments}
    return {name: each for name, each in known.items() if each.spec != run.cell.experiment.spec}


def _accuracy(model: Model) -> Grid:
    """Of every experiment that the backend was to train."""
    rows: list[Sequence[str]] = []
    for name in model.experiments:
        value = estimate([100 * each for each in model.results.accuracies(name, model.side).values()])
        rows.append((name, text.number(value.mean, ".2f"), text.interval(value, signed=False), str(value.n)))
    return Grid(("experiment", "test accuracy, %", "95 % interval", "n seeds"), 1, [Group(rows=rows)])
