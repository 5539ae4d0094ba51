"""What is one for all images: a sticker, a pattern against all, and patterns and pictures of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lockstep.report import text
from lockstep.report.grids import Grid, Group, chip
from lockstep.report.robustness.attacked import Robustness, percent
from lockstep.report.robustness.gallery import about, bare, draw
from lockstep.report.robustness.names import condition
from lockstep.report.runs import Side
from lockstep.report.style import WIDTH, Figure, canvas, finish, space


def figures(robustness: Robustness) -> list[Figure]:
    drawn = [for_all(robustness), classes(robustness), hidden(robustness)]
    return [figure for figure in drawn if figure]


def for_all(robustness: Robustness) -> Figure | None:
    """Sticker and universal perturbation, and a digit under each."""
    first = robustness.first
    if first is None or not {"sticker", "universal"} <= first.arrays.keys():
        return None
    arrays, eps = first.arrays, robustness.settings.shown
    level = next(iter(robustness.levels("sticker")), "")
    with canvas(0.66 * WIDTH, 1.85) as drawn:
        panels = drawn.subplots(1, 4)
        draw(panels[0], arrays["sticker"])
        draw(panels[1], arrays["examples/sticker"][0])
        draw(panels[2], arrays["universal"], -eps, eps)
        draw(panels[3], arrays["examples/universal"][0])
        shares = [
            f"accuracy {_share(first.value(name))}"
            for name in (condition("sticker", level), condition("universal", eps))
        ]
        titles = [f"sticker, {level}×{level} pixels", shares[0], f"one pattern, eps {eps:g}", shares[1]]
        for axes, name in zip(panels, titles, strict=True):
            axes.set_title(name, fontsize=8.5, weight="normal")
        return finish(
            drawn,
            "for_all",
            f"A sticker and one pattern for all images, and a digit with each. {titles[1]}; {titles[3]}.",
            f"{about(robustness, first)}. Both were made from validation images, and measured on test images "
            "that they had not seen. The sticker lies at another place, size and angle on each image; in the "
            f"pattern grey is no change, drawn {1 / (2 * eps):.2g} times as strong.",
        )


def classes(robustness: Robustness) -> Figure | None:
    """Of each class: the pattern that pulls other images to it, and the picture without a budget."""
    first = robustness.first
    if first is None or not {"patterns", "pictures"} <= first.arrays.keys():
        return None
    arrays, eps = first.arrays, robustness.settings.shown
    count = len(arrays["patterns"])
    with canvas(WIDTH, 2.55) as drawn:
        grid = drawn.subplots(2, count, squeeze=False)
        for unit in range(count):
            draw(grid[0, unit], arrays["patterns"][unit], -eps, eps)
            draw(grid[1, unit], arrays["pictures"][unit])
            grid[0, unit].set_title(f"{unit}", fontsize=9)
            taken = first.value(condition(f"pattern_{unit}", eps), "taken_for")
            grid[0, unit].set_xlabel(f"takes\n{_share(taken)}", fontsize=8.5, labelpad=2)
        for axes in grid.flat:
            bare(axes)
        for axes, name in zip(grid[:, 0], (f"pattern,\neps {eps:g}", "picture,\nunbounded"), strict=True):
            axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8.5)
        space(drawn, w_pad=0.03)
        return finish(
            drawn,
            "class_patterns",
            f"For each of {count} classes the pattern that raises its output most, and a picture that does.",
            f"{about(robustness, first)}. Above: what raises the output of a class most within eps {eps:g}; "
            "“takes” is the share of other classes' test images that are taken for it once the pattern is "
            "added. Below: the same without a budget, starting from the mean of some digits.",
        )


def hidden(robustness: Robustness) -> Figure | None:
    """A row for each layer: what its first units look for."""
    first = robustness.first
    layers = [name for name in first.arrays if name.startswith("pictures/")] if first else []
    if first is None or not layers:
        return None
    count = max(len(first.arrays[layer]) for layer in layers)
    with canvas(WIDTH, 1.0 * len(layers)) as drawn:
        grid = drawn.subplots(len(layers), count, squeeze=False)
        for axes in grid.flat:
            bare(axes)
        for row, layer in zip(grid, layers, strict=True):
            for axes, picture in zip(row, first.arrays[layer], strict=False):
                draw(axes, picture)
            name = layer.partition("/")[2]
            row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8.5)
        space(drawn, w_pad=0.03)
        names = text.listed([layer.partition("/")[2] for layer in layers])
        return finish(
            drawn,
            "hidden_units",
            f"Pictures that raise the outputs of the first units of {names}, one layer a row.",
            f"{about(robustness, first)}. The same for the first units of the hidden layers, before their "
            "activation function. A convolution looks for one thing everywhere: its pictures are textures.",
        )


def _share(value: float | None) -> str:
    return text.NONE if value is None else f"{100 * value:.0f} %"


def grid(robustness: Robustness) -> Grid:
    """Across experiments and backends: accuracy under sticker and pattern, and the class that takes most."""
    groups = []
    for name in robustness.experiments:
        sides = [side for side in robustness.results.sides if robustness.of(name, side)]
        rows: list[Sequence[str]] = [
            (chip(robustness.results, side), *_row(robustness, name, side)) for side in sides
        ]
        nothing = ("no result yet", *[text.NONE] * (len(_columns(robustness)) - 1))
        groups.append(Group(name, rows=rows or [nothing]))
    return Grid(_columns(robustness), 1, groups)


def _columns(robustness: Robustness) -> list[str]:
    universal = [f"one pattern, eps {eps:g}, %" for eps in sorted(robustness.settings.eps)]
    stickers = [f"sticker of {level}×{level}, %" for level in robustness.levels("sticker")]
    return ["backend", "no attack, %", *universal, *stickers, "patterns of classes take, %", "n seeds"]


def _row(robustness: Robustness, name: str, side: Side) -> list[str]:
    conditions = [
        "clean",
        *(condition("universal", eps) for eps in sorted(robustness.settings.eps)),
        *(condition("sticker", level) for level in robustness.levels("sticker")),
    ]
    means = [
        text.number(percent(robustness.values(name, each, sides=[side]).values()).mean, ".1f")
        for each in conditions
    ]
    taken = _taken(robustness, name, side)
    return [*means, taken, str(len(robustness.of(name, side)))]


def _taken(robustness: Robustness, name: str, side: Side) -> str:
    """ "12.3 on average, 41.0 by 8": of the classes, means over seeds."""
    found: dict[str, list[float]] = {}
    for each in robustness.of(name, side):
        for (where, metric), (value, _) in each.numbers.items():
            if metric == "taken_for":
                found.setdefault(where.removeprefix("pattern_").partition("=")[0], []).append(value)
    if not found:
        return text.NONE
    means = {unit: 100 * float(np.mean(values)) for unit, values in found.items()}
    most = max(means, key=lambda unit: means[unit])
    return f"{np.mean(list(means.values())):.1f} on average, {means[most]:.1f} by {most}"
