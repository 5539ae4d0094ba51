"""Some digits under each attack: what changes, and what the network then says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from lockstep.evaluation import probabilities
from lockstep.report.robustness.attacked import Attacked, Robustness
from lockstep.report.robustness.names import FAST, NOISES, title
from lockstep.report.style import INK, WIDTH, Figure, canvas, finish, space

DIGITS = 5
"""Of the examples, which are the first image of each class: evenly from all classes."""
WRONG = "#B3400A"


def draw(axes: Axes, image: np.ndarray, low: float = 0, high: float = 1) -> None:
    """[H, W, C] as a picture: ink is dark, as on paper; colours as they are."""
    scaled = (np.clip(image, low, high) - low) / (high - low)
    if image.shape[-1] == 1:
        axes.imshow(scaled[..., 0], cmap="gray_r", vmin=0, vmax=1)
    else:
        axes.imshow(scaled[..., :3])
    bare(axes)


def bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def says(axes: Axes, logits: np.ndarray, label: int) -> None:
    """Below a picture: the predicted class and its probability, marked where it is wrong."""
    shares = probabilities(logits)
    guess = int(shares.argmax())
    right = guess == label
    said = f"{'' if right else '✗ '}{guess}: {100 * shares[guess]:.0f} %"
    weight, colour = ("normal", INK) if right else ("bold", WRONG)
    axes.set_xlabel(said, fontsize=8, labelpad=2, color=colour, weight=weight)


def chosen(first: Attacked) -> np.ndarray:
    count = len(first.arrays["labels"])
    return np.linspace(0, count - 1, min(DIGITS, count)).astype(int)


def shown(robustness: Robustness, first: Attacked) -> list[str]:
    """The attacks that left examples: all of eps, one noise, one pattern for all, the sticker."""
    names = [*robustness.settings.names, *FAST, "universal", "sticker", NOISES[0]]
    return [name for name in names if f"examples/{name}" in first.arrays]


def about(robustness: Robustness, first: Attacked) -> str:
    cell = first.run.cell
    return f"{cell.name}, {robustness.results.label(first.run.side)}, seed {cell.seed}"


def figure(robustness: Robustness) -> Figure | None:
    first = robustness.first
    if first is None:
        return None
    eps, arrays, rows = robustness.settings.shown, first.arrays, shown(robustness, first)
    places = chosen(first)
    labels = arrays["labels"][places]
    with canvas(WIDTH, 1.12 * (len(rows) + 1) + 0.2) as drawn:
        grid = drawn.subplots(len(rows) + 1, 2 * len(places), squeeze=False)
        for axes in grid.flat:
            bare(axes)
        for column, (place, label) in enumerate(zip(places, labels, strict=True)):
            draw(grid[0, 2 * column + 1], arrays["examples/clean"][place])
            says(grid[0, 2 * column + 1], arrays["logits/clean"][place], int(label))
            for row, name in enumerate(rows, 1):
                limit = 1.0 if name == "sticker" else eps
                after = arrays[f"examples/{name}"][place]
                change, picture = grid[row, 2 * column : 2 * column + 2]
                draw(change, after - arrays["examples/clean"][place], -limit, limit)
                draw(picture, after)
                says(picture, arrays[f"logits/{name}"][place], int(label))
        _titles(list(grid[:, 0]), ["no attack", *map(title, rows)])
        space(drawn, w_pad=0.02, h_pad=0.03)
        return finish(
            drawn,
            "gallery",
            f"{len(places)} digits without attack and under {len(rows)} attacks, with what the network says.",
            f"{about(robustness, first)}. Beside each attacked digit what was changed, {1 / (2 * eps):.2g} "
            "times as strong: grey is no change, dark is more ink, light is less; for the sticker half as "
            "strong. Below: the class that the network says and its probability; ✗ is wrong. The digits are "
            "the first test images of their classes, not chosen for the attacks.",
        )


def _titles(column: Sequence[Axes], names: Sequence[str]) -> None:
    for axes, name in zip(column, names, strict=True):
        words = name.replace(" (", "\n(").replace(" for ", "\nfor ").replace(" noise", "\nnoise")
        axes.set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8.5)
