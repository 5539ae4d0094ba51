"""AutoAttack (Croce & Hein 2020), the field's standard set: what each of its parts leaves, and accuracy
against any eps from the distances that one of them finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lockstep.attacks.losses import NEEDED
from lockstep.report import text
from lockstep.report.effects.lines import colours
from lockstep.report.grids import Grid, Group
from lockstep.report.robustness import bounds, checks
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.curves import STANDARD, finished
from lockstep.report.robustness.names import condition, title
from lockstep.report.style import MARKERS, PALETTE, WIDTH, Figure, canvas, finish

PARTS = {
    "autoattack_fast": ("clean", "pgd", "apgd", "apgd_targeted", "", "", "autoattack_fast"),
    "autoattack": (
        "strong_clean", "strong_pgd", "strong_apgd", "strong_apgd_targeted", "strong_fab", "strong_square",
        "autoattack",
    ),
}  # fmt: skip
"""{set: conditions of the columns}; after each part, the share of images that it and those before it left."""


def grid(robustness: Robustness) -> Grid:
    """A group for each set and eps, a row for each experiment that was attacked by it."""
    judged, groups = checks.judge(robustness), []
    for whole, parts in PARTS.items():
        for level in robustness.levels(whole):
            rows: list[Sequence[str]] = []
            for name in robustness.experiments:
                found = [bounds.kept(robustness, judged, name, part, float(level)) for part in parts]
                last = found[-1]
                if last.value.n:
                    rows.append((name, *(each.shown for each in found), *last.spread))
            if rows:
                groups.append(Group(f"{title(whole)}, eps {level}", rows=rows))
    columns = (
        "experiment", "no attack, %", "PGD, %", "APGD, %", "and targeted APGD, %", "and FAB, %",
        "and Square, %", "the set, %", *bounds.SPREAD,
    )  # fmt: skip
    return Grid(columns, 1, groups)


def sentences(robustness: Robustness) -> list[str]:
    """What is not there, and why."""
    said = []
    if not grid(robustness).size:
        said.append("No attacked run has results of it yet.")
    if not distances(robustness):
        said.append(
            "The full set, and accuracy against any eps, are measured on runs that attacks: strong names; "
            "here none has them."
        )
    classes = robustness.first.classes if robustness.first else NEEDED["dlr_targeted"]
    if classes < NEEDED["dlr_targeted"]:
        said.append(
            f"With {classes} classes the targeted loss (DLR) is not defined: the margin is climbed instead."
        )
    return said


def distances(robustness: Robustness) -> dict[str, np.ndarray]:
    """{experiment: how far the nearest misclassified image was found}, of all its runs that have them."""
    found = {}
    for name in robustness.experiments:
        runs = [each.distances for each in robustness.of(name) if each.distances is not None]
        if runs:
            found[name] = np.concatenate(runs)
    return found


def any_eps(robustness: Robustness) -> Grid | None:
    """What the figure shows, at some eps; None where no run has distances."""
    found, levels = distances(robustness), _levels(robustness)
    rows = [
        (
            name,
            f"{np.median(far):.3f}" if np.isfinite(np.median(far)) else text.NONE,
            *(f"{100 * np.mean(far > eps):.1f}" for eps in levels),
            f"{len(far):,}",
        )
        for name, far in found.items()
    ]
    columns = ("experiment", "median distance", *(f"eps {eps:g}, %" for eps in levels), "images of all runs")
    return Grid(columns, 1, [Group(rows=rows)]) if found else None


def _levels(robustness: Robustness) -> list[float]:
    strong = robustness.settings.strong
    return sorted({*robustness.settings.eps, *([strong.eps] if strong else [])})


def figure(robustness: Robustness) -> Figure | None:
    """Accuracy against any eps, with the attacks that were given an eps beside it."""
    found, levels = distances(robustness), _levels(robustness)
    if not found:
        return None
    last = 1.25 * max(levels)
    judged, (marker, _) = checks.judge(robustness), STANDARD["autoattack"]
    with canvas(0.82 * WIDTH, 4.2) as drawn:
        axes = drawn.subplots()
        for name, colour in colours(robustness.experiments).items():
            if name not in found:
                continue
            far = np.sort(found[name][found[name] > 0])  # the others are wrong as they are
            near = far[far < last]
            left = 100 * (len(far) - np.arange(len(near) + 1)) / len(found[name])
            label = name + bounds.label(robustness, judged, name, "worst")
            axes.step([0, *near, last], [*left, left[-1]], where="post", color=colour, label=label)
            for attack, shape in (("worst", MARKERS[PALETTE.index(colour)]), ("autoattack", marker)):
                for level in robustness.levels(attack):
                    value = robustness.estimate(name, condition(attack, level))
                    if value.n:
                        axes.plot(float(level), value.mean, shape, color=colour, markersize=7)
        finished(axes, "eps")
        axes.set_xlim(0, last)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8.5)
        return finish(
            drawn,
            "any_eps",
            f"Accuracy of {text.listed(list(found))} against any eps, as lines that only fall.",
            "Lines: the share of images that FAB found no wrong neighbour of within eps, for any eps from "
            "one run. Where it found none, another attack may: the line is an upper bound. Large plus: "
            "AutoAttack; other marks: the worst case of the attacks that were given that eps, on "
            f"{text.count(robustness.images, 'image')}, which are not all the same ones; (≤): upper bounds.",
        )
