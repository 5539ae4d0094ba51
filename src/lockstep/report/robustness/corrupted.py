"""Changes that no one aims: corruptions, and shifts by any number of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from lockstep.report import text
from lockstep.report.effects.lines import colours, errorbars
from lockstep.report.grids import Grid, Group
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.curves import about as images_of
from lockstep.report.robustness.curves import finished
from lockstep.report.robustness.gallery import about, bare, chosen, draw, says
from lockstep.report.robustness.names import condition
from lockstep.report.runs import by_seed
from lockstep.report.style import WIDTH, Figure, canvas, finish, space
from lockstep.statistics import Estimate, paired

EXAMPLES = 2
"""Digits in the figure of corruptions."""


def figures(robustness: Robustness) -> Iterable[Figure]:
    if robustness.first and robustness.levels("corruption"):
        yield _examples(robustness)
    if robustness.levels("shift"):
        yield _shifts(robustness)


def grid(robustness: Robustness) -> Grid | None:
    """Mean ± SD over seeds; the best of a column is marked only where it is clear of the next."""
    names = robustness.levels("corruption")
    if not names:
        return None
    conditions = ["clean", *(condition("corruption", name) for name in names)]
    ahead = {name: best(robustness, name) for name in conditions}
    rows: list[Sequence[str]] = []
    for experiment in robustness.experiments:
        numbers = [
            _cell(robustness.estimate(experiment, name), ahead[name] == experiment) for name in conditions
        ]
        count = robustness.estimate(experiment, "clean").n
        rows.append((experiment, *numbers, str(count)))
    return Grid(("experiment", "no change", *names, "n seeds"), 1, [Group(rows=rows)])


def _cell(value: Estimate, first: bool) -> str | Markup:
    if not value.n:
        return text.NONE
    spread = f" ± {value.sd:.1f}" if value.n > 1 else ""
    shown = f"{value.mean:.1f}{spread}"
    return Markup("<strong>{}</strong>").format(shown) if first else shown


def best(robustness: Robustness, name: str) -> str | None:
    """The experiment with the highest mean if its lead over every other, paired by seed, excludes 0."""
    found = {each: by_seed(robustness.values(each, name)) for each in robustness.experiments}
    found = {each: values for each, values in found.items() if values}
    if len(found) < 2:
        return None
    first = max(found, key=lambda each: sum(found[each].values()) / len(found[each]))
    leads = [paired(values, found[first]) for each, values in found.items() if each != first]
    return first if all(lead.low > 0 for lead in leads) else None


def _examples(robustness: Robustness) -> Figure:
    first = robustness.first
    assert first
    names = [name for name in robustness.levels("corruption") if f"examples/{name}" in first.arrays]
    places = chosen(first)[-EXAMPLES:]
    with canvas(WIDTH, 1.35 * len(places) + 0.3) as drawn:
        grid = drawn.subplots(len(places), len(names) + 1, squeeze=False)
        for row, place in enumerate(places):
            for column, name in enumerate(["clean", *names]):
                axes = grid[row, column]
                draw(axes, first.arrays[f"examples/{name}"][place])
                says(axes, first.arrays[f"logits/{name}"][place], int(first.arrays["labels"][place]))
                if not row:
                    axes.set_title("no change" if name == "clean" else name, fontsize=8.5, weight="normal")
        for axes in grid.flat:
            bare(axes)
        space(drawn, w_pad=0.03)
        return finish(
            drawn,
            "corruptions",
            f"{len(places)} digits under {len(names)} corruptions, with what the network says.",
            f"{about(robustness, first)}. Corruptions after MNIST-C (Mu & Gilmer 2019), at its severities, "
            "always the same digits. Below each the class that the network says and its probability; ✗ is "
            "wrong.",
        )


def _shifts(robustness: Robustness) -> Figure:
    levels = {0.0: "clean"} | {
        float(level): condition("shift", level) for level in robustness.levels("shift")
    }
    with canvas(0.82 * WIDTH, 3.8) as drawn:
        axes = drawn.subplots()
        for name, colour in colours(robustness.experiments).items():
            curve = {pixels: robustness.estimate(name, each) for pixels, each in sorted(levels.items())}
            errorbars(axes, curve, 1, colour, name)
        finished(axes, "shift, pixels")
        axes.set_xticks(sorted(levels), [f"{pixels:g}" for pixels in sorted(levels)])
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8.5)
        return finish(
            drawn,
            "shifts",
            f"Accuracy of {len(robustness.experiments)} experiments against the size of a shift.",
            "The image moved up, down, left and right by whole pixels, mean of the four; "
            f"{images_of(robustness)}. A flat line would be translation invariance: a digit is the same "
            "digit wherever it stands. Convolution alone does not give it. Bars: 95 % intervals over seeds.",
        )
