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
    step = size + 1 + size // 4  # a gap for the number above
    tile = np.full((lines * step, ACROSS * (size + 1) - 1), np.nan)
    with canvas(WIDTH, WIDTH * len(tile) / tile.shape[1] + 0.75) as drawn:
        axes = drawn.subplots()
        for place in range(count):
            top, left = place // across * step + step - size, place % across * (size + 1)
            tile[top : top + size, left : left + size] = kernel[:, :, 0, place]
            axes.text(left + size / 2 - 0.5, top - 0.7, str(place), ha="center", va="bottom", fontsize=7.5)
        shown = axes.imshow(tile, cmap="PuOr_r", vmin=-limit, vmax=limit)
        axes.set_axis_off()
        drawn.colorbar(
            shown, ax=axes, orientation="horizontal", aspect=50, shrink=0.4, pad=0.03, label="weight"
        )
        part = f" Of each, the first of {channels} channels." if channels > 1 else ""
        return finish(
            drawn,
            f"filters-{model.key}",
            f"The first {count} convolution filters of {model.label} after training.",
            f"{model.about}: {count} of {filters} filters of conv1 after training.{part} Orange weights "
            "count ink in favour, purple ones against: an edge detector is orange on one side and purple on "
            "the other.",
        )
