"""A trained network as a file that others open without Lockstep.

Every file holds the whole function: from pixels in [0, 1], float32 [n, H, W, C], through preprocessing,
layers and softmax to class probabilities, float32 [n, classes].  `docs/export.md` shows how to read each.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lockstep import outputs, process, trained
from lockstep.data import sources
from lockstep.errors import LockstepError
from lockstep.results import SCHEMA, write
from lockstep.spec import Conv2D, Spec

SUFFIXES = {"keras": ".keras", "torch": ".pt2", "npz": ".npz", "safetensors": ".safetensors"}
HOLDS = {
    "keras": "model.weights.h5",
    "torch": "archive_format",
    "npz": "description.npy",
    "safetensors": '"description"',
}
"""What a file of the format has among its bytes, and a run's own files have not."""
SCALE, SHIFT = "preprocessing/scale", "preprocessing/shift"


@dataclass(frozen=True)
class Network:
    """What is exported, in float32 whatever the run's dtype was."""

    spec: Spec
    weights: dict[str, np.ndarray]
    """In the contract's layouts."""
    scale: np.ndarray
    """[], of pixels in [0, 1]: the first layer sees pixels * scale + shift."""
    shift: np.ndarray
    """[H, W, C]"""
    classes: tuple[str, ...]
    cell: dict[str, Any]
    """Which run it is."""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """For files of plain arrays, as `description` names them."""
        return {SCALE: self.scale, SHIFT: self.shift, **self.weights}

    @property
    def description(self) -> str:
        """JSON: all that the arrays leave open, with the zeros around each convolution worked out."""
        layers = []
        for node in self.spec.nodes:
            pads = {"pads": node.pads} if isinstance(node.layer, Conv2D) else {}
            layers.append({"name": node.name, **node.layer.model_dump(mode="json"), **pads})
        known = {"input_shape": self.spec.input_shape, "layers": layers, "classes": self.classes}
        return json.dumps({"schema": SCHEMA, **known, "cell": self.cell})


def read(folder: Path) -> Network:
    """The network of a finished cell.  Raises LockstepError where there is none, or its data are not."""
    run = trained.read(folder)
    spec, cell = run.cell.experiment.spec, run.cell
    affine = run.dataset().transform
    return Network(
        spec,
        {name: weight.astype(np.float32) for name, weight in run.weights.items()},
        affine.scale.astype(np.float32),
        np.broadcast_to(affine.shift, spec.input_shape).astype(np.float32),
        sources.find(cell.experiment.data.source).classes,
        {
            "experiment": cell.name,
            "backend": cell.backend,
            "device": cell.device,
            "seed": cell.seed,
            "cell_hash": trained.cell_hash(folder),
        },
    )


def export(folder: Path, to: str, path: Path | None = None) -> Path:
    """Write a cell's network in a format of `SUFFIXES`; returns the file.

    Raises LockstepError where the format, its framework or the cell is not there.
    """
    if to not in SUFFIXES:
        raise LockstepError(f"--to {to}: unknown format; known: {', '.join(SUFFIXES)}")
    if path and path.suffix != SUFFIXES[to]:
        raise LockstepError(f"--out {path}: name a file that ends in {SUFFIXES[to]}, as those of {to} do")
    outputs.require(path, outputs.text_with(f"an export to {to}", HOLDS[to]))
    network = read(folder)
    if path is None:
        path = Path("{experiment}-{backend}-seed-{seed}".format(**network.cell) + SUFFIXES[to])
        outputs.require_new(path, "--out")
    process.hide_gpus()
    try:
        save = importlib.import_module(f"lockstep.export.{to}_file").save
    except ModuleNotFoundError as error:
        package = (error.name or to).partition(".")[0]
        if package == "lockstep":  # a mistake of ours, and nothing to install
            raise
        raise LockstepError(f"--to {to}: {package} is not installed here; see docs/export.md") from None
    with tempfile.TemporaryDirectory() as folder_of_one:
        made = Path(folder_of_one, path.name)
        save(network, made)
        write(path, lambda file: file.write(made.read_bytes()))
    return path
