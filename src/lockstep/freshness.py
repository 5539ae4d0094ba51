"""Whether the results on disk are those of the cell as it stands now.

Snakemake remembers parameters only of jobs that it ran itself, so results of `lockstep train`, or copied
from elsewhere, would look up to date after any edit.  A stamp per cell tells it by time instead.
"""

from __future__ import annotations

import os
from pathlib import Path

from lockstep.cell import OUTPUTS, made_by
from lockstep.config import Cell, Config
from lockstep.identity import cell_hash
from lockstep.results import write_text


def stamp(config: Config, cell: Cell) -> Path:
    """A file that is newer than the cell's results exactly when they are of other settings or code."""
    path = config.results / ".work" / "stamps" / cell.path
    current = cell_hash(cell)
    if not path.is_file() or path.read_text() != current:
        write_text(path, current)
    made = made_by(config, cell)
    if made is not None:
        times = [(config.folder(cell) / name).stat().st_mtime for name in OUTPUTS]
        if made == current and path.stat().st_mtime >= min(times):
            os.utime(path, (min(times) - 1, min(times) - 1))
        elif made != current and path.stat().st_mtime <= max(times):
            os.utime(path)
    return path
