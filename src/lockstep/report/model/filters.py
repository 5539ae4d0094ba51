"""The first layer's kernels, still: what a reader without scripts sees of the weights."""

from __future__ import annotations

import math

import numpy as np

from lockstep.report.model.subject import Model
from lockstep.report.runs import FILTERS, Run
from lockstep.report.style import WIDTH, Figure, canvas, finish

MOST = 32
ACROSS = 16


def figure(model: Model, run: Run) -> Figure:
    """The first channel of conv1's filters, by number."""
    kernel = run.array("weights.npz", FILTERS)
    size, channels, filters = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    count = min(filters, MOST)
    across = min(ACROSS, count)
    lines = math.ceil(count / across)
    limit = float(np.abs(kernel[:, :, 0]).max()) or 1.0
    with canvas(WIDTH, lines * WIDTH / ACROSS * 1.12 + 0.75) as drawn:
        grid = drawn.subplots(lines, ACROSS, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for place in range(count):
            axes = grid[divmod(place, across)]
            shown = axes.imshow(kernel[:, :, 0, place], cmap="PuOr_r", vmin=-limit, vmax=limit)
            axes.set_title(str(place), loc="center", fontsize=7.5, weight="normal", pad=2)
        drawn.colorbar(
            shown, ax=grid, orientation="horizontal", aspect=50, shrink=0.4, pad=0.06, label="weight"
        )
        part = f" Of each, the first of {channels} channels." if channels > 1 else ""
        return finish(
            drawn,
            f"filters-{model.key}",
            f"The first {count} convolution filters of {model.label} after training, {size}×{size} each.",
            f"{run.cell.name}, {model.label}, seed {run.cell.seed}: {count} of {filters} filters of conv1 "
            f"after training.{part} Orange weights count ink in favour, purple ones against: an edge detector is "
            "orange on one side and purple on the other.",
        )
