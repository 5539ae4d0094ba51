"""Pictures of what a network has learnt, and of what padding does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from lockstep.data import store
from lockstep.report.runs import FILTERS, Results, Run, Side
from lockstep.report.style import INK, WIDTH, Figure, canvas, finish, space
from lockstep.spec import Conv2D, Padding

PADDINGS: tuple[Padding, ...] = ("full", "same", "valid")
MAX_FILTERS = 32
SHOWN = 8
"""Test digits in the figure of probabilities."""


def confusion(results: Results, run: Run) -> Figure:
    """Counts of (label, predicted), pooled over the seeds of the run's experiment and backend."""
    from sklearn.metrics import confusion_matrix  # takes a second; what draws no picture need not wait

    runs = list(results.seeds(run.cell.name, run.side).values())
    classes = run.cell.experiment.spec.output_shape[-1]
    labels = np.concatenate([each.predictions.labels for each in runs])
    predicted = np.concatenate([each.predictions.predicted for each in runs])
    counts = confusion_matrix(labels, predicted, labels=range(classes))
    wrong = np.where(np.eye(classes, dtype=bool), 0, counts)
    with canvas(5.4, 5.0) as figure:
        axes = figure.subplots()
        axes.imshow(wrong, cmap="Oranges", vmin=0, vmax=1.4 * max(wrong.max(), 1))
        for row, column in np.ndindex(counts.shape):
            right = row == column
            if right:
                axes.add_patch(
                    Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="#eeeeee", edgecolor="none")
                )
            text = f"{counts[row, column]:,}" if right or counts[row, column] else ""
            weight = "normal" if right else "bold"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, weight=weight)
        cells_of(axes, classes, classes)
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        which = f"{run.cell.name}, {results.label(run.side)}, {_seeds(len(runs))} pooled"
        total = int(wrong.sum())
        return finish(
            figure,
            "confusion",
            f"Confusion matrix of {which}: {total} of {len(labels)} test predictions are wrong.",
            f"{which}: {total:,} wrong of {len(labels):,} predictions. The diagonal is grey; the "
            "more often two classes are confused, the darker their field.",
        )


def filters(results: Results, runs: dict[Side, Run]) -> Figure:
    """The first layer's kernels of one experiment and seed, one panel per backend, one colour scale."""
    kernels = {side: run.array("weights.npz", FILTERS) for side, run in runs.items()}
    first_side, first = next(iter(kernels.items()))
    run = runs[first_side]
    limit = max(float(np.abs(kernel).max()) for kernel in kernels.values())
    across = min(4, len(kernels))
    lines = math.ceil(len(kernels) / across)
    tiles = {side: _tile(kernel) for side, kernel in kernels.items()}
    height, width = tiles[first_side].shape
    panel = WIDTH / 4 * 0.96
    with canvas(max(panel * across, 5.0), lines * ((panel - 0.2) * height / width + 0.45) + 0.55) as figure:
        grid = figure.subplots(lines, across, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, (side, tile) in zip(grid.flat, tiles.items(), strict=False):
            shown = axes.imshow(tile, cmap="PuOr_r", vmin=-limit, vmax=limit)
            far = np.abs(kernels[side] - first).max()
            note = "" if side == first_side else f"max |difference| {far:.1e}"
            axes.set_title(f"{results.label(side)}\n", fontsize=9.5)
            axes.text(0, 1.02, note or "reference of the differences", transform=axes.transAxes, fontsize=7.5)
        space(figure, w_pad=0.11)
        figure.colorbar(
            shown, ax=grid, orientation="horizontal", aspect=50, shrink=0.4, pad=0.03, label="weight"
        )
        count = min(first.shape[3], MAX_FILTERS)
        return finish(
            figure,
            "filters",
            f"The first {count} convolution filters of {len(kernels)} backends after training.",
            f"{run.cell.name}, seed {run.cell.seed}: {count} of {first.shape[3]} filters of conv1 after "
            "training, on one colour scale. All backends started from the same weights, so filter by filter "
            "they can be compared; the largest difference of any weight is given against the first panel.",
        )


def _tile(kernel: np.ndarray) -> np.ndarray:
    """Filters [k, k, channels, n] (the first channel of each) in rows of four, a gap of NaN between them."""
    size, count = kernel.shape[0], min(kernel.shape[3], MAX_FILTERS)
    across = min(4, count)
    tile = np.full((math.ceil(count / across) * (size + 1) - 1, across * (size + 1) - 1), np.nan)
    for place in range(count):
        top, left = place // across * (size + 1), place % across * (size + 1)
        tile[top : top + size, left : left + size] = kernel[:, :, 0, place]
    return tile


def choose(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Half from the most confident errors, half from the least confident hits; ties by position."""
    right, confidence = probabilities.argmax(axis=1) == labels, probabilities.max(axis=1)
    wrong = [i for i in np.argsort(-confidence, kind="stable") if not right[i]][: SHOWN // 2]
    hits = [i for i in np.argsort(confidence, kind="stable") if right[i]][: SHOWN - len(wrong)]
    return np.array([*wrong, *hits], dtype=int)


def probabilities(results: Results, run: Run, images: np.ndarray | None) -> Figure:
    """Softmax of some test digits as a heat map, each with its picture if there is one."""
    logits, labels = run.logits.astype(np.float64), run.predictions.labels
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    chosen = choose(shares, labels)
    values, classes = shares[chosen], shares.shape[1]
    with canvas(7.4, 0.5 * len(chosen) + 0.6) as figure:
        ratios = [1, classes * 1.15] if images is not None else [0.001, 1]
        pictures, axes = figure.subplots(1, 2, width_ratios=ratios)
        pictures.set_axis_off()
        shown = () if images is None else images[run.array("predictions.npz", "index")[chosen]]
        for row, image in enumerate(shown):
            pictures.imshow(image.squeeze(), cmap="gray_r", extent=(0, 0.92, row + 0.46, row - 0.46))
            pictures.set(xlim=(0, 0.92), ylim=(len(chosen) - 0.5, -0.5))
        axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in np.ndindex(values.shape):
            if values[row, column] >= 0.005:
                shade = "white" if values[row, column] > 0.55 else INK
                text = f"{100 * values[row, column]:.0f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=shade)
        for row, label in enumerate(labels[chosen]):
            corner = (label - 0.46, row - 0.44)
            axes.add_patch(Rectangle(corner, 0.92, 0.88, fill=False, edgecolor="#D55E00", linewidth=2))
        predicted = values.argmax(axis=1)
        marks = [
            "right" if guess == label else f"label {label}, predicted {guess}"
            for guess, label in zip(predicted, labels[chosen], strict=True)
        ]
        axes.set_xticks(range(classes))
        axes.set_yticks(range(len(chosen)), marks)
        axes.yaxis.tick_right()
        cells_of(axes, len(chosen), classes)
        axes.set_xlabel("class")
        wrong = int((predicted != labels[chosen]).sum())
        return finish(
            figure,
            "probabilities",
            f"Class probabilities of {len(chosen)} test digits, {wrong} of them classified wrongly.",
            f"Softmax in %, of {run.cell.name}, {results.label(run.side)}, seed {run.cell.seed}. The frame "
            "marks the label. Chosen by rule: the most confident errors, then the least confident hits; so "
            "these are the hardest digits, not typical ones.",
        )


def load_images(folder: Path, sha256: str) -> np.ndarray | None:
    """A source's images uint8 [n, H, W, C]; None where those with this checksum are not on this machine."""
    if store.about(folder).get("made_of", {}).get("sha256") != sha256:
        return None
    try:
        return np.asarray(np.load(folder / store.IMAGES, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None


def uses(convolution: Conv2D, size: int) -> np.ndarray:
    """How many windows of a convolution contain each of `size` elements along one axis."""
    before = convolution.pads(size)[0]
    outputs = convolution.output_shape((size, size, 1))[0]
    counts = np.zeros(size, dtype=int)
    for output in range(outputs):
        start = output * convolution.stride - before
        counts[max(start, 0) : max(start + convolution.kernel, 0)] += 1
    return counts


def padding() -> Figure:
    """Counts for a signal of 8 with a kernel of 3, and an image of 28x28 with a kernel of 5x5."""
    signal, small, image, large = 8, 3, 28, 5
    with canvas(WIDTH * 0.86, 4.3) as figure:
        grid = figure.subplots(2, 3, height_ratios=[1, 4.2])
        for column, kind in enumerate(PADDINGS):
            line, square = (Conv2D(filters=1, kernel=kernel, padding=kind) for kernel in (small, large))
            counts = uses(line, signal)[np.newaxis]
            top, bottom = grid[0, column], grid[1, column]
            top.imshow(counts, cmap="viridis", vmin=0, vmax=small)
            for place, count in enumerate(counts[0]):
                shade = INK if count == small else "white"
                top.text(place, 0, str(count), ha="center", va="center", fontsize=8.5, color=shade)
            cells_of(top, 1, signal)
            top.set_title(f"{kind}: {signal} → {line.output_shape((signal, signal, 1))[0]}")
            along = uses(square, image)
            shown = bottom.imshow(np.outer(along, along), cmap="viridis", vmin=0, vmax=large**2)
            out = square.output_shape((image, image, 1))[0]
            bottom.set_title(f"{kind}: {image}×{image} → {out}×{out}")
            for axes in (top, bottom):
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
        figure.colorbar(shown, ax=grid[1], shrink=0.85, aspect=25, label="windows that use the pixel")
        return finish(
            figure,
            "padding",
            "How many windows use each input element under full, same and valid padding.",
            f"Above a signal of {signal} with a kernel of {small}, below an image of {image}×{image} with a "
            f"kernel of {large}×{large}. Full padding uses every element equally often; valid padding uses a "
            f"corner pixel once and a pixel of the middle {large**2} times; same padding keeps the size and "
            "lies between.",
        )


def cells_of(axes: Axes, rows: int, columns: int) -> None:
    """White lines between the fields of a heat map."""
    axes.set_xticks(np.arange(1, columns) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, rows) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"
