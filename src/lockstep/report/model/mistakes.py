"""The most confident errors, and who else makes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lockstep.evaluation import probabilities
from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.model.subject import Model
from lockstep.report.robustness.gallery import draw
from lockstep.report.runs import Run
from lockstep.report.style import WIDTH, Figure, canvas, finish, space

SHOWN = 12
"""Of the errors, the most confident ones."""
ACROSS = 6


@dataclass(frozen=True)
class Mistake:
    """A test image that a run got wrong, and how many runs of the experiment did."""

    image: int
    """Its position in the source."""
    label: int
    predicted: int
    probability: float
    of_label: float
    seeds_same: int
    """Of this backend's runs, those that say the same wrong class; the run itself is one."""
    same: int
    """Of all backends' runs."""
    wrong: int
    """Of all backends' runs, those that say any wrong class."""
    backends: int
    """That make the same mistake with any seed."""


@dataclass(frozen=True)
class Mistakes:
    """All errors of a run, the most confident first, beside `runs` runs on `backends` backends."""

    run: Run
    found: list[Mistake]
    seeds: int
    runs: int
    backends: int

    @property
    def shown(self) -> list[Mistake]:
        return self.found[:SHOWN]

    def is_hard(self, mistake: Mistake) -> bool:
        """Whether every run is wrong, on more than one backend."""
        return self.backends > 1 and mistake.wrong == self.runs


def find(model: Model, run: Run) -> Mistakes:
    """Errors of `run`; ties in confidence by position."""
    index, labels = run.array("predictions.npz", "index"), run.predictions.labels
    alike = model.alike
    said = np.stack([each.predictions.predicted for each in alike])
    mine = np.array([each.side == model.side for each in alike])
    shares = probabilities(run.logits)
    predicted = shares.argmax(axis=1)
    order = np.argsort(-shares.max(axis=1), kind="stable")
    found = []
    for place in order[predicted[order] != labels[order]]:
        same = said[:, place] == predicted[place]
        mistake = Mistake(
            image=int(index[place]),
            label=int(labels[place]),
            predicted=int(predicted[place]),
            probability=float(shares[place].max()),
            of_label=float(shares[place, labels[place]]),
            seeds_same=int(same[mine].sum()),
            same=int(same.sum()),
            wrong=int((said[:, place] != labels[place]).sum()),
            backends=len({each.side for each, agrees in zip(alike, same, strict=True) if agrees}),
        )
        found.append(mistake)
    return Mistakes(run, found, int(mine.sum()), len(alike), len({each.side for each in alike}))


def sentences(mistakes: Mistakes) -> list[str]:
    """Whether the errors are this network's own, or everyone's."""
    total = len(mistakes.found)
    if not total:
        return ["This run makes no mistake on the test images."]
    said = [f"Seed {mistakes.run.cell.seed} is wrong on {text.count(total, 'test image')}."]
    if mistakes.runs > 1:
        everywhere = sum(each.wrong == mistakes.runs for each in mistakes.found)
        alone = sum(each.wrong == 1 for each in mistakes.found)
        among = f"{mistakes.runs} completed runs, on {text.count(mistakes.backends, 'backend')},"
        said.append(
            f"All {among} are wrong on {everywhere} of these; this run alone is wrong on {alone} of them."
        )
    if mistakes.backends > 1:
        said.append(
            "What every run on every backend gets wrong is a hard image. Runs of one seed start from the "
            "same weights and see the same batches, so they are not independent."
        )
    return said


def grid(mistakes: Mistakes) -> Grid:
    rows: list[Sequence[str]] = [
        (
            str(each.image),
            f"{each.label} → {each.predicted}",
            text.percent(each.probability, 1),
            text.percent(each.of_label, 1),
            f"{each.seeds_same} of {mistakes.seeds}",
            f"{each.same} of {mistakes.runs}",
            f"{each.backends} of {mistakes.backends}",
            f"{each.wrong} of {mistakes.runs}",
        )
        for each in mistakes.shown
    ]
    columns = (
        "image", "label → predicted", "probability, %", "of the label, %", "same: seeds here",
        "same: all runs", "same: backends", "wrong: all runs",
    )  # fmt: skip
    return Grid(columns, 2, [Group(rows=rows)])


def gallery(model: Model, mistakes: Mistakes, images: np.ndarray) -> Figure:
    """Of at least one mistake; images: the source's, uint8 [n, H, W, C]."""
    shown = mistakes.shown
    across = min(ACROSS, len(shown))
    lines = math.ceil(len(shown) / across)
    with canvas(WIDTH * across / ACROSS, 2.15 * lines) as drawn:
        grid = drawn.subplots(lines, across, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, each in zip(grid.flat, shown, strict=False):
            axes.set_axis_on()
            draw(axes, images[each.image] / 255)
            axes.set_title(
                f"{each.label} → {each.predicted}: {100 * each.probability:.0f} %", loc="center", fontsize=9
            )
            hard = " (hard)" if mistakes.is_hard(each) else ""
            axes.set_xlabel(f"{each.same} of {mistakes.runs} runs{hard}", fontsize=8, labelpad=3)
        space(drawn, h_pad=0.06)
        return finish(
            drawn,
            f"mistakes-{model.key}",
            f"The {len(shown)} most confident errors of {model.label}: "
            + ", ".join(f"{each.label} taken for {each.predicted}" for each in shown)
            + ".",
            f"{model.about}. Above each digit its label, the class that the network says and its "
            f"probability; below, how many of {mistakes.runs} runs (all backends, all seeds) make the same "
            "mistake. Hard: every run of every backend is wrong.",
        )
