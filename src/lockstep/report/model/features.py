"""A digit on its way through the network: the output of every layer, computed by the NumPy reference.

A report imports no framework.  NumPy is none, so the page can say what each layer does to an image, and
prove that the weights on disk are what the run computed its test logits with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockstep import cell as cells
from lockstep import discovery
from lockstep.config import Cell
from lockstep.data.dataset import spread
from lockstep.errors import LockstepError
from lockstep.evaluation import probabilities
from lockstep.report.runs import Run

TOLERANCE = 1e-4
"""Of the largest logit: rounding in float32 is a hundredth of it."""
CHECKED = 100
"""Test images, spread over all, whose logits are compared beside the example's."""


@dataclass(frozen=True)
class Journey:
    """What became of one test image of a run."""

    run: Run
    image: int
    """Its position in the source."""
    label: int
    pixels: np.ndarray
    """uint8 [H, W, C]."""
    outputs: Mapping[str, np.ndarray]
    """{"input" and each layer: float64, without the batch axis}."""
    far: float
    """The largest difference from the stored logits, of `checked` test images."""
    checked: int
    limit: float

    @property
    def proven(self) -> bool:
        return self.far <= self.limit


def example(run: Run) -> int:
    """The place among the test images of the one that the run gets right with median confidence."""
    shares = probabilities(run.logits)
    right = np.flatnonzero(shares.argmax(axis=1) == run.predictions.labels)
    if not len(right):
        raise LockstepError(f"{run.cell}: no test image is classified rightly, so there is no example")
    order = right[np.argsort(shares.max(axis=1)[right], kind="stable")]
    return int(order[(len(order) - 1) // 2])


def follow(run: Run, weights: Mapping[str, np.ndarray], folder: Path, place: int) -> Journey:
    """Send a test image through the layers, one by one, in float64.

    folder: of the decoded source; place: of the image among the test images.
    Raises LockstepError where the images or the reference are not there, or are not the run's.
    """
    data = cells.load_data(run.cell, folder)
    if not np.array_equal(data.test.index, run.array("predictions.npz", "index")):
        raise LockstepError(f"{folder}: its test images are not those that this run was tested on")
    places = np.array([place, *spread(len(data.test), CHECKED)])
    images = data.test.images[places]
    given = data.transform(images, "float64")
    outputs = {"input": given, **_outputs(run.cell, weights, given)}
    stored, again = run.logits[places].astype(np.float64), next(reversed(outputs.values()))
    return Journey(
        run=run,
        image=int(data.test.index[place]),
        label=int(data.test.labels[place]),
        pixels=images[0],
        outputs={name: output[0] for name, output in outputs.items()},
        far=float(np.abs(again - stored).max()),
        checked=len(np.unique(places)),
        limit=TOLERANCE * max(1.0, float(np.abs(stored).max())),
    )


def _outputs(cell: Cell, weights: Mapping[str, np.ndarray], images: np.ndarray) -> dict[str, np.ndarray]:
    """{layer: its output [n, ...]}: each layer is a network of its own, fed with the output before it."""
    plugin = discovery.find(discovery.REFERENCE)
    if reason := plugin.unusable("cpu"):
        raise LockstepError(f"the reference, {plugin.name}, is {reason}")
    reference, spec = discovery.load(plugin), cell.experiment.spec
    outputs = {}
    for place, node in enumerate(spec.nodes):
        layer, names = spec.part(place, place + 1)
        network = reference(
            layer, cell.experiment.optimizer, device="cpu", dtype="float64", threads=1, deterministic=True
        )
        network.load({there: weights[here] for there, here in names.items() if here in weights})
        images = outputs[node.name] = network.logits(images)
    return outputs
