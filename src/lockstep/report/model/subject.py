"""What a page is about: a backend's runs of one experiment, and the run that is taken apart."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lockstep.errors import LockstepError, one_line
from lockstep.report import text
from lockstep.report.runs import Results, Run, Side
from lockstep.results import read_npz


@dataclass(frozen=True)
class Model:
    """A backend on a device.  `run` is its first completed seed of the baseline, or its first experiment."""

    results: Results
    side: Side

    @property
    def key(self) -> str:
        """ "torch", or "torch-cpu" where the config has more than one device; part of names and ids."""
        one = len(self.results.config.devices) == 1
        return self.side.backend if one else f"{self.side.backend}-{self.side.device}"

    @property
    def label(self) -> str:
        return self.results.label(self.side)

    @cached_property
    def experiments(self) -> list[str]:
        """Those that it was to train."""
        return [name for name in self.results.experiments if self.side in self.results.sides_of(name)]

    @property
    def experiment(self) -> str:
        if self.results.baseline in self.experiments:
            return self.results.baseline
        return self.experiments[0] if self.experiments else ""

    @property
    def runs(self) -> list[Run]:
        """The completed seeds of that experiment."""
        return list(self.results.seeds(self.experiment, self.side).values())

    @property
    def run(self) -> Run | None:
        return self.runs[0] if self.runs else None

    @property
    def about(self) -> str:
        """Of captions: "baseline, torch, seed 0"."""
        return f"{self.experiment}, {self.label}, seed {self.run.cell.seed}" if self.run else self.label

    @property
    def alike(self) -> list[Run]:
        """Completed runs of the experiment on all backends, as far as they have the same data, and so the
        same test images."""
        ours = [run for run in self.results.runs if run.usable and run.cell.name == self.experiment]
        return [run for run in ours if self.run and _data(run) == _data(self.run)]

    @property
    def why_nothing(self) -> list[str]:
        """One line for each way in which its runs did not complete."""
        if not self.experiments:
            return ["the config trains nothing on it"]
        return [
            f"{outcome} ({text.listed_seeds(seeds)}): {reason.removeprefix(f'{outcome}: ')}"
            for (name, side, outcome, reason, _), seeds in self.results.problems.items()
            if (name, side) == (self.experiment, self.side)
        ]


def _data(run: Run) -> str:
    """The checksum of what it was trained and tested on."""
    return str(run.provenance["identity"]["data"])


def read_weights(run: Run) -> dict[str, np.ndarray]:
    """Of the last epoch.  Raises LockstepError where they are damaged or are not those of the spec."""
    path = run.folder / "weights.npz"
    try:
        found = read_npz(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LockstepError(
            f"{path}: damaged ({one_line(error)}); delete it and train the run again"
        ) from None
    expected = run.cell.experiment.spec.weights
    if {name: array.shape for name, array in found.items()} != expected:
        raise LockstepError(f"{path}: not the weights of the spec; delete it and train the run again")
    return found
