"""A finished cell, opened again: its settings, its network, its data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from lockstep import cell as cells
from lockstep.backend import Backend
from lockstep.config import Cell
from lockstep.data import sources, store
from lockstep.data.dataset import Dataset
from lockstep.errors import LockstepError
from lockstep.experiment import Experiment
from lockstep.results import read_npz

LINKS = 40
"""More of them in one path are a circle, as for the system."""


@dataclass(frozen=True)
class Trained:
    """What a cell's folder holds; backend and data are opened when they are asked for."""

    folder: Path
    cell: Cell
    weights: dict[str, np.ndarray]
    """Of the last epoch."""
    sha256: str
    """Of the data that it was trained on."""

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
        """The data it was trained on, decoded again if they are gone.  Raises LockstepError."""
        source = self.cell.experiment.data.source
        known = sources.find(source)
        folder = self._data(known.name)
        if known.sha256 != self.sha256:
            raise LockstepError(
                f"{self.folder}: trained on other images than {known.name} has now; train the cell again"
            )
        sources.ensure(source, folder)
        return cells.load_data(self.cell, folder)

    def _data(self, name: str) -> Path:
        """Where its results folder keeps a decoded source.

        Decoded images are large and replace what is there: only a folder that Lockstep has filled is taken.
        """
        beside = [place.parents[4] for place in _in_results(self.folder)]
        for results in beside:
            if store.about(results / "data" / name) or (results / ".work").is_dir():
                return results / "data" / name
        found = f": {beside[0]} holds no data of {name}, and was not made by training" if beside else ""
        raise LockstepError(
            f"{self.folder}: not in a results folder (.../cells/experiment/backend/device/seed-n){found}; "
            "copy the whole results folder, or name the cell as it is found from there"
        )


def outcome(folder: Path) -> str:
    """How a cell ended.  Raises LockstepError where it has not."""
    return _value(folder / "metrics.json", "outcome")


def cell_hash(folder: Path) -> str:
    """Of the settings, code and versions that a finished cell was made by.  Raises LockstepError."""
    return _value(folder / "provenance.json", "cell_hash")


def _value(file: Path, key: str) -> str:
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
        outcome, settings, sha256 = metrics["outcome"], dict(identity["experiment"]), identity["data"]
        layers = settings.pop("spec")["layers"]
        experiment = Experiment.model_validate_json(json.dumps({**settings, "model": {"layers": layers}}))
        name = next(_in_results(folder), folder.resolve()).parents[2].name
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
    return Trained(folder, cell, weights, sha256)


def _in_results(folder: Path) -> Iterator[Path]:
    """The paths of a cell's folder that end in cells/experiment/backend/device/seed-n.

    `cells`, and any other folder on the way, may be a link to another disk, where nothing of the rest is
    beside it.  So the path comes as it was given, then with one link after the other replaced by its target.
    """
    here, shell = Path.cwd(), Path(os.environ.get("PWD", ""))
    if shell.is_dir() and shell.samefile(here):  # it keeps links
        here = shell
    path = _without_dots(here / folder)
    for _ in range(LINKS):
        if path.parts[-5:-4] == ("cells",):
            yield path
        link = next((part for part in (*reversed(path.parents), path) if part.is_symlink()), None)
        if link is None:
            return
        path = _without_dots(link.parent / link.readlink() / path.relative_to(link))


def _without_dots(path: Path) -> Path:
    """As the system reads it: ".." is the parent of what a link stands for."""
    found = Path(path.anchor)
    for part in path.parts[1:]:
        if part == "..":
            found = (found.resolve() if found.is_symlink() else found).parent
        else:
            found /= part
    return found
