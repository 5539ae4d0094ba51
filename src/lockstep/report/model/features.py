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
from lockstep.backend import Backend
from lockstep.config import Cell
from lockstep.data.dataset import spread
from lockstep.errors import LockstepError, one_line
from lockstep.evaluation import in_batches, probabilities
from lockstep.report.runs import Run

TOLERANCE = 1e-4
"""Of the largest logit: rounding in float32 is a hundredth of it."""
CHECKED, BUDGET = 100, 2_000_000_000
"""Test images, spread over all, whose logits are compared beside the example's, at most; and FLOP for these:
a second or so."""
AT_ONCE = 10
"""Images whose maps are in memory together."""


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
    affordable = BUDGET // max(run.cell.experiment.spec.flops, 1)
    places = np.array([place, *spread(len(data.test), min(CHECKED, affordable))])
    images = data.test.images[places]
    given = data.transform(images, "float64")
    try:
        layers = _layers(run.cell, weights)
        outputs = {"input": given[:1], **_through(layers, given[:1])}
        again = in_batches(lambda some: list(_through(layers, some).values())[-1], given, size=AT_ONCE)
    except Exception as error:  # a folder of a person's own may stand in for the reference
        raise LockstepError(f"the reference cannot compute this network: {one_line(error)}") from error
    stored = run.logits[places].astype(np.float64)
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


def _layers(cell: Cell, weights: Mapping[str, np.ndarray]) -> dict[str, Backend]:
    """{layer: a network of that layer alone}, by the reference in float64."""
    plugin = discovery.find(discovery.REFERENCE)
    if reason := plugin.unusable("cpu"):
        raise LockstepError(f"the reference, {plugin.name}, is {reason}")
    settings = {"device": "cpu", "dtype": "float64", "threads": 1, "deterministic": True, **plugin.options}
    reference, spec, layers = discovery.load(plugin), cell.experiment.spec, {}
    for place, node in enumerate(spec.nodes):
        layer, names = spec.part(place, place + 1)
        network = reference(layer, cell.experiment.optimizer, **settings)
        network.load({there: weights[here] for there, here in names.items() if here in weights})
        layers[node.name] = network
    return layers


def _through(layers: Mapping[str, Backend], images: np.ndarray) -> dict[str, np.ndarray]:
    """{layer: its output [n, ...]}: each is fed with the output before it."""
    outputs = {}
    for name, layer in layers.items():
        images = outputs[name] = layer.logits(images)
    return outputs
