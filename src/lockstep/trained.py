"""A finished cell, opened again: its settings, its network, its data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from lockstep import cell as cells
from lockstep.backend import Backend
from lockstep.config import Cell
from lockstep.data import sources
from lockstep.data.dataset import Dataset
from lockstep.errors import LockstepError
from lockstep.experiment import Experiment
from lockstep.results import read_npz


@dataclass(frozen=True)
class Trained:
    """What a cell's folder holds; backend and data are opened when they are asked for."""

    folder: Path
    cell: Cell
    weights: dict[str, np.ndarray]
    """Of the last epoch."""

    def backend(self, until: str | None = None) -> Backend:
        """The network with its weights in this process, or its layers up to one.

        Raises LockstepError where it cannot run here.
        """
        whole = self.cell.experiment.spec
        backend = cells.build(
            cells.load_backend(self.cell), self.cell, whole.until(until) if until else whole
        )
        backend.load(self.weights)
        return backend

    def dataset(self) -> Dataset:
        """The data it was trained on, decoded again if it is gone.  Raises LockstepError."""
        source, place = self.cell.experiment.data.source, self.folder.resolve()
        if place.parts[-5:-4] != ("cells",):
            raise LockstepError(
                f"{self.folder}: not in a results folder (.../cells/experiment/backend/device/seed-n), "
                "and its data are looked for beside cells/; copy the whole results folder"
            )
        folder = place.parents[4] / "data" / sources.find(source).name
        sources.ensure(source, folder)
        return cells.load_data(self.cell, folder)


def outcome(folder: Path) -> str:
    """How a cell ended.  Raises LockstepError where it has not."""
    return _said(folder / "metrics.json", "outcome")


def cell_hash(folder: Path) -> str:
    """Of the settings, code and versions that a finished cell was made by.  Raises LockstepError."""
    return _said(folder / "provenance.json", "cell_hash")


def _said(file: Path, key: str) -> str:
    try:
        return str(json.loads(file.read_text())[key])
    except (OSError, ValueError, KeyError, TypeError):
        raise LockstepError(f"{file.parent}: not a finished cell; train it first") from None


def read(folder: Path) -> Trained:
    """Open a cell's folder.  Raises LockstepError where it holds no finished run, or a damaged one."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        identity = json.loads((folder / "provenance.json").read_text())["identity"]
        weights = read_npz(folder / "weights.npz")
        outcome, settings = metrics["outcome"], dict(identity["experiment"])
        layers = settings.pop("spec")["layers"]
        experiment = Experiment.model_validate_json(json.dumps({**settings, "model": {"layers": layers}}))
        name = folder.resolve().parents[2].name
        cell = Cell(name, experiment, identity["backend"], identity["device"], identity["seed"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, ValidationError) as error:
        raise LockstepError(
            f"{folder}: not a finished cell ({type(error).__name__}: {' '.join(str(error).split())[:80]}); "
            "name a folder such as results/default/cells/baseline/torch/cpu/seed-0"
        ) from None
    if outcome != "completed":
        raise LockstepError(f"{folder}: this run {outcome}: {metrics['reason']}; name a completed one")
    shapes = {name: weight.shape for name, weight in weights.items()}
    if shapes != experiment.spec.weights:
        raise LockstepError(
            f"{folder / 'weights.npz'}: not of the spec in provenance.json; train the cell again"
        )
    return Trained(folder, cell, weights)
