"""Tables and pictures of activation functions: what backends compute, and the units that die of them."""

from __future__ import annotations

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lockstep.report import tables, text
from lockstep.report.effects.functions import deviation, labels
from lockstep.report.effects.inside import mean_of
from lockstep.report.effects.lines import colours
from lockstep.report.figures import handles_of
from lockstep.report.grids import Grid, Group, chip
from lockstep.report.runs import Results, Side
from lockstep.report.style import GREY, MARKERS, PALETTE, WIDTH, Figure, canvas, colour, face, finish, marker

MARKS_APART = 20
"""Of the places where functions are measured, as many lie between two marks of one backend."""
WRITTEN = {
    "relu": "max(z, 0)",
    "leaky_relu": "max(z, slope · z)",
    "swish": "z / (1 + e⁻ᶻ)",
    "tanh": "tanh z",
}


def comparison(results: Results, frame: pd.DataFrame) -> Grid:
    """What was measured at both ends and at 0: a row for each function, of its first backend."""
    rows = []
    for label, mine in frame.groupby("function", sort=False):
        sides = list(dict.fromkeys(zip(mine["backend"], mine["device"], strict=True)))
        first = mine[(mine["backend"] == sides[0][0]) & (mine["device"] == sides[0][1])]
        at = {z: first.iloc[int((first["z"] - z).abs().argmin())] for z in (-4, 0, 4)}
        slopes = [f"{at[z]['value']:.3g}, slope {at[z]['derivative']:.2g}".replace("-", "−") for z in (4, -4)]
        derivative = first["derivative"]
        span = f"{derivative.min():.2f} to {derivative.max():.2f}".replace("-", "−")
        far = text.scientific(deviation(mine))
        measured = chip(results, Side(*sides[0])) if len(sides) == 1 else f"{len(sides)} backends"
        written = WRITTEN.get(str(label).split()[0], text.NONE)
        rows.append((str(label), written, measured, *slopes, f"{at[0]['derivative']:.2g}", span, far))
    columns = (
        "function", "formula", "measured on", "at z = 4", "at z = −4", "slope at 0", "range of slopes",
        "largest |measured − formula|",
    )  # fmt: skip
    return Grid(columns, 3, [Group(rows=rows)])


def drawn(results: Results, frame: pd.DataFrame) -> Figure:
    """A column for each function: value above, derivative below."""
    groups = list(frame.groupby("function", sort=False))
    sides = [side for side in results.sides if side in set(map(Side, frame["backend"], frame["device"]))]
    with canvas(max(WIDTH * len(groups) / 4, 0.5 * WIDTH), 4.3) as figure:
        grid = figure.subplots(2, len(groups), squeeze=False, sharex=True, sharey="row")
        for column, (label, mine) in enumerate(groups):
            for axes, what in zip(grid[:, column], ("value", "derivative"), strict=True):
                exact = mine.drop_duplicates("z")
                # A step is a step: without the gap a line would lead from one side of a kink to the other.
                line = exact[f"formula_{what}"].where(exact[f"formula_{what}"].diff().abs().fillna(0) < 0.4)
                axes.plot(exact["z"], line, color=GREY, linewidth=1.3)
                for place, side in enumerate(sides):
                    own = mine[(mine["backend"] == side.backend) & (mine["device"] == side.device)]
                    start = place * MARKS_APART // len(sides)  # no mark hides another
                    own = own.iloc[start::MARKS_APART]
                    (marks,) = axes.plot(own["z"], own[what], marker(side), color=colour(side))
                    marks.set(markerfacecolor=face(side), markersize=3.5)
                axes.grid()
            grid[0, column].set_title(str(label))
            grid[1, column].set_xlabel("z")
        grid[0, 0].set_ylabel("value")
        grid[1, 0].set_ylabel("derivative")
        backends = {
            results.label(side): handle
            for side, handle in zip(results.trained, handles_of(results), strict=True)
        }
        handles = [Line2D([], [], color=GREY), *(backends[results.label(side)] for side in sides)]
        names = ["formula", *map(results.label, sides)]
        figure.legend(handles, names, loc="outside upper left", ncols=8, fontsize=8.5)
        shown = text.listed([str(label) for label, _ in groups])
        return finish(
            figure,
            "functions",
            f"Value and derivative of {shown} as measured by {text.count(len(sides), 'backend')}, on their "
            "formulas.",
            "Lines are the formulas, marks are what each backend computes for value and derivative; the "
            "marks of backends are at different places, so that most remain visible.",
        )


def compared(results: Results) -> list[str]:
    """The baseline, and the experiments with other activation functions."""
    functions = {name: labels(experiment.spec) for name, experiment in results.experiments.items()}
    usual = labels(results.config.experiments[results.baseline].spec)
    return [name for name, mine in functions.items() if name == results.baseline or mine != usual]


def _activity(results: Results, units: pd.DataFrame) -> pd.DataFrame:
    """Of the experiments to compare, the mean over backends of each seed, then over seeds."""
    mine = units[units["experiment"].isin(compared(results))]
    keys = ["experiment", "layer", "epoch"]
    seeds = mine.groupby([*keys, "seed"], sort=False)[["dead", "zeros"]].mean()
    return seeds.groupby(keys, sort=False).mean().reset_index()


def dead(results: Results, units: pd.DataFrame) -> Figure | None:
    """Share of dead units by epoch: a panel for each layer."""
    means = _activity(results, units)
    if means.empty:
        return None
    layers = list(dict.fromkeys(means["layer"]))
    with canvas(max(WIDTH * len(layers) / 3, 0.5 * WIDTH) if len(layers) < 4 else WIDTH, 2.9) as figure:
        panels = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
        for axes, layer in zip(panels, layers, strict=True):
            for name, shade in colours(compared(results)).items():
                mine = means[(means["layer"] == layer) & (means["experiment"] == name)]
                mark = MARKERS[PALETTE.index(shade)]
                axes.plot(
                    mine["epoch"], 100 * mine["dead"], mark + "-", color=shade, markersize=4, label=name
                )
            axes.set_title(layer)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.grid(axis="y")
        panels[0].set_ylabel("dead units, %")
        panels[0].set_ylim(0, max(1.0, 110 * means["dead"].max()))
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper left", ncols=6, fontsize=8.5)
        return finish(
            figure,
            "dead",
            f"Share of dead units by epoch in {text.listed(layers)}, for {text.listed(compared(results))}.",
            "Means over seeds (and backends). A unit, which is a filter or a hidden neuron, is dead when "
            "its output is exactly 0 everywhere on up to 500 validation images: with relu it then gets no "
            "gradient from them.",
        )


def dead_sentences(results: Results, units: pd.DataFrame) -> list[str]:
    """Of each experiment, the layer with most dead units at the end of training."""
    said = []
    for name in compared(results):
        layers = {
            str(layer): mean_of(
                {(Side(row.backend, row.device), row.seed): 100 * row.dead for row in tables.rows(mine)}
            )
            for layer, mine in _last(units, name).groupby("layer", sort=False)
        }
        if not layers:
            continue
        worst = max(layers, key=lambda layer: layers[layer].mean)
        value, few = layers[worst], text.count(layers[worst].n, "seed")
        if value.mean == 0:
            said.append(f"{name}: no dead unit in any layer ({few}).")
        else:
            spread = f"{text.interval(value, signed=False)}, {few}" if value.n > 1 else text.interval(value)
            start = (
                100
                * units[(units["experiment"] == name) & (units["layer"] == worst) & (units["epoch"] == 0)][
                    "dead"
                ].mean()
            )
            said.append(
                f"{name}: most in {worst}, {value.mean:.2f} % of its units ({spread}); "
                f"before training {text.number(start, '.2f')} %."
            )
    return said


def _last(units: pd.DataFrame, experiment: str) -> pd.DataFrame:
    """What an experiment's layers did in the last epoch."""
    mine = units[units["experiment"] == experiment]
    return mine[mine["epoch"] == mine["epoch"].max()]


def activity_table(results: Results, units: pd.DataFrame) -> Grid:
    """At the end of training: dead units and zeros of each layer, with intervals over seeds."""
    groups = []
    for name in compared(results):
        rows = []
        for (layer, function), mine in _last(units, name).groupby(["layer", "function"], sort=False):
            runs = [(Side(row.backend, row.device), row.seed) for row in tables.rows(mine)]
            dead, zeros = (
                mean_of(dict(zip(runs, 100 * mine[column], strict=True))) for column in ("dead", "zeros")
            )
            numbers = f"{dead.mean:.2f}", text.interval(dead, signed=False), f"{zeros.mean:.1f}", str(dead.n)
            rows.append((str(layer), str(function), f"{mine['units'].iloc[0]:,}", *numbers))
        if rows:
            groups.append(Group(name, rows=rows))
    columns = ("layer", "function", "units", "dead, %", "95 % interval", "zero outputs, %", "n seeds")
    return Grid(columns, 2, groups)
