"""Training in a process of its own, which sets itself up before it imports NumPy and ends with the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lockstep.config import Cell
from lockstep.errors import LockstepError

WIDTH = 110
"""Characters that a line fills, so that nothing of a longer one is left beside it."""


def train(config: Path, cell: Cell) -> None:
    """Run `lockstep train`; print what it says, each epoch over the one before.

    An interruption here ends it.  Raises LockstepError with its reason where it fails.
    """
    names = {"experiment": cell.name, "backend": cell.backend, "device": cell.device, "seed": cell.seed}
    options = [f"--{name}={value}" for name, value in {"config": config, **names}.items()]
    command = [sys.executable, "-m", "lockstep", "train", *options]
    # A kernel asks for colours, and rich then draws its bar; lines are what can be shown here.
    plain = {
        name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")
    }
    shown = "epoch ", "warning: ", "gpu: ", str(cell)  # and nothing of what frameworks say
    reason = f"{cell}: its process died; training again goes on from its last checkpoint"
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=plain,
    ) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                text = line.rstrip()
                if text.startswith("lockstep: "):
                    reason = text.removeprefix("lockstep: ")
                elif text.startswith(shown):
                    print(text.ljust(WIDTH), end="\r" if text.startswith("epoch ") else "\n", flush=True)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise LockstepError(reason)
