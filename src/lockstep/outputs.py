"""Where a command may write: it replaces what it makes itself, and nothing else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from lockstep.errors import LockstepError

Kind = tuple[str, Callable[[Path], bool]]
"""What a file is called, and whether one is such a file."""


def require(path: Path | None, kind: Kind) -> None:
    """Raise LockstepError, before any work, unless a file can and may be written: it is not there, of the
    kind, or a device such as /dev/stdout.

    path: as somebody named it; None where nothing is asked for.
    """
    if path is None:
        return
    called, is_one = kind
    if path.is_dir():
        raise LockstepError(f"{path}: a folder; name a file")
    if path.is_file() and path.stat().st_size and not is_one(path):
        raise LockstepError(
            f"{path}: is there already, and is not {called}; nothing is overwritten: name another"
        )
    if path.is_file() or not path.exists():
        _try(path)


def _try(path: Path) -> None:
    """Write nothing where the file would be: minutes of work are lost when that fails after them."""
    place = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise LockstepError(f"{path}: cannot be written in {place}: {error.strerror}; name another") from None


def require_new(path: Path, option: str) -> None:
    """Raise LockstepError where a file is there that nobody named; option: that names it."""
    if path.exists():
        raise LockstepError(f"{path}: is there already; {option} {path} replaces it, or name another file")


def json_with(called: str, *keys: str) -> Kind:
    """A JSON object that has these keys, among others."""

    def is_one(path: Path) -> bool:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(content, dict) and set(keys) <= content.keys()

    return called, is_one


def text_with(called: str, *parts: str) -> Kind:
    def is_one(path: Path) -> bool:
        content = path.read_bytes()
        return all(part.encode() in content for part in parts)

    return called, is_one
