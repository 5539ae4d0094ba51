"""Files of a run: written beside their target and renamed into place, plain JSON, CSV and .npz."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

SCHEMA = 1
"""Version of the files' layout; every JSON file says which one it has."""


def write(path: Path, save: Callable[[IO[bytes]], Any]) -> None:
    """Let `save` write a temporary file beside `path`, then rename: nobody sees half a file.

    What is there and no file, such as /dev/null or a pipe, is written to and stays what it is.
    """
    if path.exists() and (not path.is_file() or path.parent == Path("/dev")):  # /dev/stdout may be a file
        with path.open("wb") as device:
            save(device)
        return
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
    write_text(path, json_text({"schema": SCHEMA, **value}))


def json_text(value: Any) -> str:
    """JSON that every reader takes: NaN and infinity, which it lacks, are null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
    return value
