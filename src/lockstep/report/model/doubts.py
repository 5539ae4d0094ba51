"""What the network says of the hardest digits, class by class."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from lockstep.evaluation import probabilities
from lockstep.report.model.subject import Model
from lockstep.report.pictures import cells_of
from lockstep.report.runs import Run
from lockstep.report.style import INK, Figure, canvas, finish

SHOWN = 8
"""Test digits in the figure."""


def choose(shares: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Half from the most confident errors, half from the least confident hits; ties by position."""
    right, confidence = shares.argmax(axis=1) == labels, shares.max(axis=1)
    wrong = [i for i in np.argsort(-confidence, kind="stable") if not right[i]][: SHOWN // 2]
    hits = [i for i in np.argsort(confidence, kind="stable") if right[i]][: SHOWN - len(wrong)]
    return np.array([*wrong, *hits], dtype=int)


def figure(model: Model, run: Run, images: np.ndarray | None) -> Figure:
    """Softmax of some test digits as a heat map, each with its picture if there is one."""
    labels, all_shares = run.predictions.labels, probabilities(run.logits)
    chosen = choose(all_shares, labels)
    values, classes = all_shares[chosen], all_shares.shape[1]
    with canvas(7.4, 0.5 * len(chosen) + 0.6) as drawn:
        ratios = [1, classes * 1.15] if images is not None else [0.001, 1]
        pictures, axes = drawn.subplots(1, 2, width_ratios=ratios)
        pictures.set_axis_off()
        shown = () if images is None else images[run.array("predictions.npz", "index")[chosen]]
        for row, image in enumerate(shown):
            pictures.imshow(image.squeeze(), cmap="gray_r", extent=(0, 0.92, row + 0.46, row - 0.46))
            pictures.set(xlim=(0, 0.92), ylim=(len(chosen) - 0.5, -0.5))
        axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in np.ndindex(values.shape):
            if values[row, column] >= 0.005:
                shade = "white" if values[row, column] > 0.55 else INK
                number = f"{100 * values[row, column]:.0f}"
                axes.text(column, row, number, ha="center", va="center", fontsize=8, color=shade)
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
            drawn,
            f"probabilities-{model.key}",
            f"Class probabilities of {len(chosen)} test digits, {wrong} of them classified wrongly.",
            f"Softmax in %, of {model.about}. The frame marks the label. Chosen by rule: the most "
            "confident errors, then the least confident hits; so these are the hardest digits, not typical "
            "ones.",
        )
