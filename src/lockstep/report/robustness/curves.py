"""Accuracy against eps: of the baseline under each attack, and of each experiment in the worst case."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from lockstep.report import text
from lockstep.report.effects.lines import colours, errorbars
from lockstep.report.grids import Grid, Group, chip
from lockstep.report.robustness import bounds, checks
from lockstep.report.robustness.attacked import Robustness, percent
from lockstep.report.robustness.names import FAST, NOISES, condition, title
from lockstep.report.runs import Side, by_seed
from lockstep.report.style import PALETTE, WIDTH, Figure, canvas, finish

COLOURS = dict(
    zip(
        ("pgd", "fgsm", "uniform_noise", "universal", "pgd_margin", "gaussian_noise", "salt_and_pepper"),
        PALETTE,
        strict=False,
    )
) | {"bim": PALETTE[7], "mifgsm": PALETTE[5]}
STANDARD = {"autoattack_fast": ("*", "#B3400A"), "autoattack": ("P", "#B3400A")}
"""{attack: marker and colour}: points, as they are measured at one eps."""
DASHED = "--"
"""Of noise, which knows nothing of the network."""


def measured(robustness: Robustness) -> list[str]:
    """The attacks and controls that have curves, in the order of the settings."""
    return [*robustness.settings.names, "universal", *NOISES]


def figures(robustness: Robustness) -> Iterable[Figure]:
    if robustness.of(robustness.baseline):
        yield _attacks(robustness)
    if any(robustness.of(name) for name in robustness.experiments):
        yield _defences(robustness)


def _attacks(robustness: Robustness) -> Figure:
    baseline, judged = robustness.baseline, checks.judge(robustness)
    with canvas(0.82 * WIDTH, 4.2) as figure:
        axes = figure.subplots()
        for attack in measured(robustness):
            style = DASHED if attack in NOISES else "-"
            curve = robustness.curve(baseline, attack)
            name = title(attack) + bounds.label(robustness, judged, baseline, attack)
            errorbars(axes, curve, 1, COLOURS[attack], name, linestyle=style)
        for attack in STANDARD:
            points(axes, robustness, baseline, attack)
        finished(axes, "eps, largest change of any pixel (of 0 to 1)")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8.5)
        return finish(
            figure,
            "attacks",
            f"Accuracy of {baseline} against eps, under attacks and under noise.",
            f"{baseline}, {about(robustness)}. Solid: attacks, which look at the network. Dashed: "
            "noise of the same size, which does not. For Gaussian noise eps is the standard deviation, for "
            "salt and pepper the share of pixels. AutoAttack is measured at one eps. Bars: 95 % intervals "
            f"over seeds; {bounds.moves(robustness)}. (≤): an upper bound, as a check failed.",
        )


def points(axes: Axes, robustness: Robustness, name: str, attack: str) -> None:
    """An experiment under an attack of `STANDARD`, where it was measured."""
    marker, colour = STANDARD[attack]
    for eps in robustness.levels(attack):
        value = robustness.estimate(name, condition(attack, eps))
        if value.n:
            images = robustness.images_of(name, condition(attack, eps))
            other = f", {text.count(images, 'image')}" if images != robustness.images else ""
            label = title(attack) + other
            axes.plot(float(eps), value.mean, marker, color=colour, markersize=10, label=label, zorder=3)


def _defences(robustness: Robustness) -> Figure:
    judged, eps = checks.judge(robustness), robustness.settings.shown
    with canvas(WIDTH, 4.3) as figure:
        worst, noise = figure.subplots(1, 2, sharey=True)
        for name, colour in colours(robustness.experiments).items():
            for axes, attack in ((worst, "worst"), (noise, "uniform_noise")):
                label = name + bounds.label(robustness, judged, name, "worst")
                errorbars(axes, robustness.curve(name, attack), 1, colour, label)
        worst.set_title("worst case")
        noise.set_title("uniform noise of the same size")
        for axes in (worst, noise):
            finished(axes, "eps")
        noise.set_ylabel("")
        handles, labels = worst.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=4, fontsize=8.5)
        return finish(
            figure,
            "defences",
            f"Accuracy of {len(robustness.experiments)} experiments against eps, in the worst case and under "
            "noise.",
            f"Left: an image counts as right only if it survives every attack, which at eps {eps:g} are "
            f"{text.listed(bounds.counted(robustness, eps))}; {about(robustness)}. {_alone(robustness)}"
            "Right: the same eps of uniform noise. Bars: 95 % intervals over seeds; "
            f"{bounds.moves(robustness)}. (≤): an upper bound, as a check failed.",
        )


def _alone(robustness: Robustness) -> str:
    shown = robustness.settings.shown
    others = [f"{eps:g}" for eps in sorted(robustness.settings.eps) if eps != shown]
    if not others or len(bounds.counted(robustness, shown)) == len(robustness.settings.names):
        return ""
    return f"AutoAttack (fast) runs at eps {shown:g} alone, so the lines may bend there. "


def finished(axes: Axes, label: str) -> None:
    """Labels, and a scale in percent."""
    axes.set_ylim(-3, 103)
    axes.set_ylabel("accuracy, %")
    axes.set_xlabel(label)
    axes.grid(axis="y")


def about(robustness: Robustness) -> str:
    """ "100 test images, on torch" """
    attacked = {each.run.side for each in robustness.runs if each.usable}
    sides = [robustness.results.label(side) for side in robustness.compared if side in attacked]
    return f"{text.count(robustness.images, 'test image')}, on {text.listed(sides)}"


class Beside(NamedTuple):
    """The baseline under one attack, on each backend: means in percent over the seeds that all have."""

    attack: str
    eps: str
    means: list[float]

    @property
    def apart(self) -> float:
        known = [mean for mean in self.means if not math.isnan(mean)]
        return max(known) - min(known)


def sides(robustness: Robustness) -> list[Side]:
    """The backends with results of the baseline."""
    return [side for side in robustness.results.sides if robustness.of(robustness.baseline, side)]


def shared(robustness: Robustness) -> list[int]:
    """Seeds of the baseline that each of them has."""
    runs = [robustness.of(robustness.baseline, side) for side in sides(robustness)]
    seeds = [{each.run.cell.seed for each in mine} for mine in runs]
    return sorted(set.intersection(*seeds)) if seeds else []


def beside(robustness: Robustness) -> list[Beside]:
    """Nothing with fewer than two backends, or without a seed in common."""
    seeds, compared = shared(robustness), sides(robustness)
    if len(compared) < 2 or not seeds:
        return []
    attacks = [*(name for name in measured(robustness) if name not in NOISES[1:]), *FAST, "worst"]
    names = [condition(attack, eps) for attack in attacks for eps in sorted(robustness.settings.eps)]
    found = [
        Beside(*name.partition("=")[::2], [_mean(robustness, name, side, seeds) for side in compared])
        for name in ("clean", *names)
    ]
    return [each for each in found if not all(map(math.isnan, each.means))]


def _mean(robustness: Robustness, name: str, side: Side, seeds: Sequence[int]) -> float:
    values = by_seed(robustness.values(robustness.baseline, name, sides=[side]))
    return percent(values[seed] for seed in seeds if seed in values).mean


def backends(robustness: Robustness) -> Grid:
    judged, rows = checks.judge(robustness), list[Sequence[str]]()
    for row in beside(robustness):
        means = []
        for mean, side in zip(row.means, sides(robustness), strict=True):
            mine = [each for each in judged if each.attacked.run.side == side]
            reasons = checks.upper_bound(mine, robustness.baseline, row.attack, float(row.eps or 0))
            means.append(bounds.marked(text.number(mean, ".1f"), reasons))
        rows.append((title(row.attack), row.eps, *means, f"{row.apart:.1f}"))
    names = (chip(robustness.results, side) for side in sides(robustness))
    return Grid(("attack", "eps", *names, "largest difference, points"), 2, [Group(rows=rows)])


def agreement(robustness: Robustness) -> str:
    """Whether backends show the same accuracy under attack; in images, since few of them decide."""
    rows, seeds = beside(robustness), shared(robustness)
    if not rows:
        return "There are no two backends with a seed of the baseline in common, so nothing can be compared."
    far = max(rows, key=lambda row: row.apart)
    where = f"“{title(far.attack)}”{f' at eps {far.eps}' if far.eps else ''}"
    at_most = max((row.apart for row in rows if row.attack == "worst"), default=far.apart)
    few = f"seed {seeds[0]}" if len(seeds) == 1 else f"mean over {len(seeds)} seeds"
    alike = (
        "Backends that start from the same seed are nearly the same network, but not bit for bit, and near "
        "the boundary of two classes a bit decides."
    )
    if not far.apart:
        return f"{alike} Here their accuracies are equal under every attack ({few})."
    return (
        f"{alike} They differ most under {where}: by {far.apart:.1f} points, which is "
        f"{far.apart * robustness.images / 100:.1f} of {text.count(robustness.images, 'image')}; "
        f"in the worst case by at most {at_most:.1f} ({few})."
    )
