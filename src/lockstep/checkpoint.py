"""Where a run stands between epochs, so that a killed run goes on and ends in the same bits.

Checkpoints lie in `.work/<cell hash>/` of the results, outside the declared outputs of the pipeline, which
deletes those before a rerun.  A changed cell has another hash and never meets a stale checkpoint.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np

from lockstep.errors import LockstepError
from lockstep.inside import Activity
from lockstep.results import write_npz
from lockstep.spec import Spec
from lockstep.training import Epoch, Progress

SECONDS_BETWEEN = 20.0
"""A checkpoint costs about 0.1 s; an interruption costs at most this much work, or one epoch."""


@dataclass
class Checkpoint:
    folder: Path
    spec: Spec
    saved: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint.npz"

    def is_due(self) -> bool:
        return time.monotonic() - self.saved >= SECONDS_BETWEEN

    def save(self, state: Mapping[str, np.ndarray], progress: Progress) -> None:
        write_npz(
            self.path,
            {
                "history": np.array([astuple(row) for row in progress.history]),
                "activity": np.array(json.dumps([astuple(row) for row in progress.activity])),
                **{f"state/{name}": value for name, value in state.items()},
                **{f"best/{name}": value for name, value in progress.best.items()},
            },
        )
        self.saved = time.monotonic()

    def load(self) -> tuple[dict[str, np.ndarray], Progress] | None:
        """State and progress, or None if this run has not come far enough to be resumed."""
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            history = [Epoch(int(row[0]), *map(float, row[1:])) for row in arrays.pop("history")]
            activity = [Activity(*row) for row in json.loads(str(arrays.pop("activity")))]
        except Exception as error:  # NumPy and zipfile raise many kinds for a damaged file
            raise LockstepError(
                f"{self.path}: damaged checkpoint ({str(error)[:100]}); "
                "delete it to train this cell from the start"
            ) from None
        state = {n.removeprefix("state/"): value for n, value in arrays.items() if n.startswith("state/")}
        best = {n.removeprefix("best/"): value for n, value in arrays.items() if n.startswith("best/")}
        for name, shape in self.spec.weights.items():
            tensors = [state.get(f"{prefix}{name}") for prefix in ("", "adam/m/", "adam/v/")] + [
                best.get(name)
            ]
            if any(tensor is None or tensor.shape != shape for tensor in tensors):
                raise LockstepError(
                    f"{self.path}: a checkpoint of another spec ({name} should have the shape {shape}); "
                    "delete it to train this cell from the start"
                )
        return state, Progress(history, best, activity)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
