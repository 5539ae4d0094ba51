"""Files of a run: written beside their target and renamed into place, plain JSON, CSV and .npz."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

SCHEMA = 1
"""Version of the files' layout; every JSON file says which one it has."""


def write(path: Path, save: Callable[[IO[bytes]], Any]) -> None:
    """Let `save` write a temporary file beside `path`, then rename: nobody sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            save(file)
            file.flush()
            os.fsync(file.fileno())  # a rename that outlives a power cut must not outlive its content
        temporary.chmod(0o644)  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which file it was
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    write(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file.  Raises OSError or ValueError where it is no such file, or a damaged one."""
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def write_text(path: Path, text: str) -> None:
    write(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_text(path, json.dumps({"schema": SCHEMA, **value}, indent=2) + "\n")
