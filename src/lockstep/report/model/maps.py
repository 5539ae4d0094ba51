"""The figure of a digit's way through the network, and what can be said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from lockstep.evaluation import probabilities
from lockstep.report import text
from lockstep.report.model.features import Journey
from lockstep.report.model.subject import Model
from lockstep.report.model.walk import size
from lockstep.report.robustness.gallery import bare, draw
from lockstep.report.style import GREY, INK, PALETTE, WIDTH, Figure, canvas, finish
from lockstep.spec import Activation, Dropout, Flatten, Node

MAPS = 16
"""Of a layer, the first ones."""
EDGE, INPUT, ROW, CLASSES = 0.05, 1.4, 0.92, 1.6
"""Inches: beside the rows, and the heights of the first row, of each layer's and of the last one."""


def figure(model: Model, journey: Journey) -> Figure:
    spec = journey.run.cell.experiment.spec
    drawn_nodes = [node for node in spec.nodes if not isinstance(node.layer, Flatten | Dropout)]
    hidden, last = [node for node in drawn_nodes if node is not spec.nodes[-1]], spec.nodes[-1]
    logits = journey.outputs[last.name]
    height = INPUT + ROW * len(hidden) + CLASSES
    with canvas(WIDTH, height) as drawn:
        # Every place is known, and a layout engine takes longer than all the rest.
        drawn.set_layout_engine("none")

        def place(left: float, top: float, width: float, high: float) -> Axes:
            """Axes by inches from the top left."""
            return drawn.add_axes((left / WIDTH, 1 - (top + high) / height, width / WIDTH, high / height))

        _input([place(EDGE + 1.15 * i, 0.3, 0.95, 0.95) for i in range(2)], journey)
        for row, node in enumerate(hidden):
            axes = place(EDGE, INPUT + ROW * row + 0.28, WIDTH - 2 * EDGE, ROW - 0.32)
            _tile(axes, journey.outputs[node.name])
            axes.set_title(_title(node, journey.outputs[node.name]), fontsize=9)
        half = WIDTH / 2 - 0.7
        panels = [
            place(0.55 + i * WIDTH / 2, height - CLASSES + 0.35, half, CLASSES - 0.65) for i in range(2)
        ]
        _classes(panels, last.name, logits, journey.label)
        guess, share = int(logits.argmax()), float(probabilities(logits).max())
        return finish(
            drawn,
            f"feature_maps-{model.key}",
            f"A handwritten {journey.label} and what each of {len(hidden) + 1} layers of {model.label} makes "
            f"of it, down to {100 * share:.1f} % for class {guess}.",
            f"{model.about}, image {journey.image} of the data. The first {MAPS} maps of a layer, "
            "numbered as the weights above. Orange is above 0, purple below, white 0; each row has a "
            "scale of its own.",
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
        f"(limit {limit}): these are not the weights that were tested, or the backend and the reference "
        "compute different things."
    )


def _title(node: Node, output: np.ndarray) -> str:
    """ "activation1, relu: 24×24×32, from 0.00 to 2.04; the first 16 maps" """
    function = f", {node.layer.label}" if isinstance(node.layer, Activation) else ""
    least, most = (f"{each:.2f}".replace("-", "−") for each in (output.min(), output.max()))
    part = f"; the first {MAPS} maps" if output.ndim == 3 and output.shape[-1] > MAPS else ""
    return f"{node.name}{function}: {size(output.shape)}, from {least} to {most}{part}"


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
    axes.set_anchor("W")
    bare(axes)


def _input(panels: Sequence[Axes], journey: Journey) -> None:
    draw(panels[0], journey.pixels / 255)
    given = journey.outputs["input"]
    limit = float(np.abs(given).max()) or 1.0
    panels[1].imshow(given.mean(axis=-1), cmap="PuOr_r", vmin=-limit, vmax=limit)
    bare(panels[1])
    panels[0].set_title("image", fontsize=9)
    panels[1].set_title("as the network gets it", fontsize=9)


def _classes(panels: Sequence[Axes], name: str, logits: np.ndarray, label: int) -> None:
    for axes, values, title in zip(
        panels, (logits, 100 * probabilities(logits)), (f"{name}: logits", "softmax, %"), strict=True
    ):
        colours = [PALETTE[2] if each == label else GREY for each in range(len(values))]
        axes.bar(range(len(values)), values, color=colours)
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(len(values)))
