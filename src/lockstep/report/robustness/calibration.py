"""Whether confidence can be believed: calibration errors, and accuracy by confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from lockstep.evaluation import BINS, probabilities
from lockstep.report import text
from lockstep.report.effects.compare import effects_by_seed
from lockstep.report.effects.metrics import METRICS
from lockstep.report.grids import Grid, Group
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import Run, by_seed
from lockstep.report.style import GREY, INK, WIDTH, Figure, canvas, finish, space
from lockstep.statistics import estimate

METRIC = METRICS["calibration_error"]
ACROSS = 3


def _runs(robustness: Robustness, name: str) -> list[Run]:
    """Completed training runs of an experiment, attacked or not, on the backends compared."""
    results = robustness.results
    return [run for side in robustness.compared for run in results.seeds(name, side).values()]


def grid(robustness: Robustness) -> Grid:
    rows: list[Sequence[str]] = []
    for name in robustness.experiments:
        runs = {(run.side, run.cell.seed): METRIC.value(run) for run in _runs(robustness, name)}
        value = estimate(list(by_seed(runs).values()))
        changes = effects_by_seed(robustness.results, name, METRIC, robustness.compared)
        change = estimate(list(changes.values()))
        compared = (METRIC.signed(change.mean), METRIC.interval(change), text.verdict(change))
        if name == robustness.baseline:
            compared = ("", "", "")
        mean = text.number(value.mean, ".2f")
        rows.append((name, mean, text.interval(value, signed=False), str(value.n), *compared))
    columns = (
        "experiment", "calibration error, points", "95 % interval", "n seeds",
        f"− {robustness.baseline}, points", "95 % interval", "verdict",
    )  # fmt: skip
    return Grid(columns, 1, [Group(rows=rows)])


def bins(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean confidence, accuracy, count) of each bin that has test images."""
    shares = probabilities(run.logits)
    confidence = shares.max(axis=1)
    right = run.predictions.predicted == run.predictions.labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    used = counts > 0
    sums = (np.bincount(place, weights, BINS)[used] for weights in (confidence, right.astype(float)))
    means, accuracy = (total / counts[used] for total in sums)
    return means, accuracy, counts[used]


def panel(above: Axes, below: Axes, run: Run) -> None:
    """Accuracy by confidence of one run, and how many images there are in each bin."""
    confidence, accuracy, counts = bins(run)
    above.set_axis_on()
    below.set_axis_on()
    above.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--")
    above.plot(confidence, accuracy, "o-", color=INK, markersize=4, linewidth=1)
    above.set(xlim=(0, 1.02), ylim=(-0.03, 1.05))
    above.grid()
    below.bar(confidence, counts, width=0.035, color=GREY)
    below.set_yscale("log")
    below.set_ylim(0.5, 3 * counts.max())
    below.set_yticks(marks := [10.0**n for n in range(int(math.log10(counts.max())) + 1)])
    below.set_yticklabels(f"{each:,.0f}" for each in marks)
    below.minorticks_off()
    below.tick_params(labelbottom=True)


def figure(robustness: Robustness) -> Figure | None:
    """Of the first completed run of each experiment."""
    runs = [found[0] for name in robustness.experiments if (found := _runs(robustness, name))]
    if not runs:
        return None
    lines = math.ceil(len(runs) / ACROSS)
    across = min(ACROSS, len(runs))
    with canvas(WIDTH * across / ACROSS, 3.3 * lines) as drawn:
        ratios = [3.2, 1] * lines
        grid = drawn.subplots(2 * lines, across, squeeze=False, height_ratios=ratios, sharex=True)
        for axes in grid.flat:
            axes.set_axis_off()
        for place, run in enumerate(runs):
            row, column = divmod(place, across)
            above, below = grid[2 * row : 2 * row + 2, column]
            panel(above, below, run)
            above.set_ylabel("accuracy" if not column else "")
            above.set_title(f"{run.cell.name}, seed {run.cell.seed}")
            below.set_ylabel("images" if not column else "")
        space(drawn, h_pad=0.07)
        drawn.supxlabel("confidence", fontsize=9)
        return finish(
            drawn,
            "reliability",
            f"Accuracy by confidence of {len(runs)} networks, above how many images have each confidence.",
            f"Test images without attack, in {BINS} bins of confidence; each mark stands at the mean "
            "confidence of its bin. On the dashed line confidence and accuracy are the same; below it the "
            "network is too sure, above it not sure enough. Bars, on a logarithmic scale: images in the "
            "bin. Bins of a few images say little.",
        )
