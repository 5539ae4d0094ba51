"""The figure of a digit's way through the network, and what can be said of it."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from lockstep.evaluation import probabilities
from lockstep.report import text
from lockstep.report.model.features import Journey
from lockstep.report.model.subject import Model
from lockstep.report.model.walk import size
from lockstep.report.robustness.gallery import bare, draw
from lockstep.report.style import GREY, INK, PALETTE, WIDTH, Figure, canvas, finish, space
from lockstep.spec import Activation, Dropout, Flatten

MAPS = 16
"""Of a layer, the first ones."""


def figure(model: Model, journey: Journey) -> Figure:
    spec = journey.run.cell.experiment.spec
    moved = {node.name for node in spec.nodes if isinstance(node.layer, Flatten | Dropout)}
    rows = [(name, each) for name, each in journey.outputs.items() if name not in moved]
    heights = [_height(name, output) for name, output in rows]
    with canvas(WIDTH, sum(heights) + 0.34 * len(rows) + 1.2) as drawn:
        grid = drawn.add_gridspec(len(rows), 1, height_ratios=heights)
        for line, (name, output) in enumerate(rows):
            if name == "input":
                _input(drawn.add_subfigure(grid[line]).subplots(1, MAPS // 2), journey)
            elif line == len(rows) - 1:
                _classes(drawn.add_subfigure(grid[line]).subplots(1, 2), name, output, journey.label)
            else:
                axes = drawn.add_subfigure(grid[line]).subplots()
                _tile(axes, output)
                axes.set_title(f"{name}  {size(output.shape)}{_which(output)}", fontsize=9)
        space(drawn, h_pad=0.02)
        logits = rows[-1][1]
        guess, share = int(logits.argmax()), float(probabilities(logits).max())
        return finish(
            drawn,
            f"feature_maps-{model.key}",
            f"A handwritten {journey.label} and what each of {len(rows) - 1} layers of {model.label} makes "
            f"of it, down to {100 * share:.1f} % for class {guess}.",
            f"{journey.run.cell.name}, {model.label}, seed {journey.run.cell.seed}, image {journey.image} of "
            f"the data. The first {MAPS} maps of a layer, numbered as the weights above. Orange is above 0, "
            "purple below, white 0; each row has a scale of its own.",
        )


def sentences(journey: Journey) -> list[str]:
    """What ReLU and the like leave of the digit, and how it ends."""
    nodes = journey.run.cell.experiment.spec.nodes
    said = []
    for node in nodes:
        zeros = float((journey.outputs[node.name] == 0).mean())
        if isinstance(node.layer, Activation) and zeros:
            said.append(f"{100 * zeros:.0f} % after {node.name}")
    found = [f"Numbers that are 0 for this digit: {text.listed(said)}."] if said else []
    shares = probabilities(journey.outputs[nodes[-1].name])
    first, second = np.argsort(-shares, kind="stable")[:2]
    found.append(
        f"The network says {first} with {100 * shares[first]:.2f} %; next comes {second} with "
        f"{100 * shares[second]:.2g} %. The label is {journey.label}."
    )
    return found


def proof(journey: Journey) -> str:
    """Whether the weights on disk gave the logits on disk."""
    among = f"{text.count(journey.checked, 'test image')}, this one among them"
    far, limit = text.scientific(journey.far), text.scientific(journey.limit)
    if journey.proven:
        return (
            f"On {among}, the last layer's outputs are the logits that the run stored, but for {far} at most "
            f"(limit {limit}). So these are the weights that were tested, and the layers do what is said."
        )
    return (
        f"On {among}, the last layer's outputs differ from the logits that the run stored by up to {far} "
        f"(limit {limit}): these are not the weights that were tested, or the backend computes otherwise."
    )


def _height(name: str, output: np.ndarray) -> float:
    if name == "input":
        return 0.95
    return 0.62 if output.ndim == 3 else 0.5


def _which(output: np.ndarray) -> str:
    least, most = (f"{each:.2f}".replace("-", "−") for each in (output.min(), output.max()))
    first = (
        f"first {MAPS} of {output.shape[-1]} maps, " if output.ndim == 3 and output.shape[-1] > MAPS else ""
    )
    return f"   ({first}from {least} to {most})"


def _tile(axes: Axes, output: np.ndarray) -> None:
    """Maps side by side, a gap of NaN between them; a vector in rows of a sixteenth of the width."""
    if output.ndim == 3:
        height, width, channels = output.shape
        tile = np.full((height, MAPS * (width + 1) - 1), np.nan)
        for place in range(min(channels, MAPS)):
            tile[:, place * (width + 1) : place * (width + 1) + width] = output[:, :, place]
    else:
        lines = max(1, round(math.sqrt(len(output) / MAPS)))
        across = math.ceil(len(output) / lines)
        tile = np.full(lines * across, np.nan)
        tile[: len(output)] = output
        tile = tile.reshape(lines, across)
    limit = float(np.abs(output).max()) or 1.0
    axes.imshow(tile, cmap="PuOr_r", vmin=-limit, vmax=limit)
    bare(axes)


def _input(panels: np.ndarray, journey: Journey) -> None:
    for axes in panels:
        axes.set_axis_off()
    draw(panels[0], journey.pixels / 255)
    given = journey.outputs["input"]
    limit = float(np.abs(given).max()) or 1.0
    panels[1].imshow(given.mean(axis=-1), cmap="PuOr_r", vmin=-limit, vmax=limit)
    panels[0].set_title("image", fontsize=9)
    panels[1].set_title("as the network gets it", fontsize=9)


def _classes(panels: np.ndarray, name: str, logits: np.ndarray, label: int) -> None:
    for axes, values, title in zip(
        panels, (logits, 100 * probabilities(logits)), (f"{name}: logits", "softmax, %"), strict=True
    ):
        colours = [PALETTE[2] if each == label else GREY for each in range(len(values))]
        axes.bar(range(len(values)), values, color=colours)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(len(values)))
