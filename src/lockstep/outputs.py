"""Where a command may write: it replaces what it makes itself, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lockstep.errors import LockstepError

Kind = tuple[str, Callable[[Path], bool]]
"""What a file is called, and whether one is such a file."""


def require(path: Path | None, kind: Kind) -> None:
    """Raise LockstepError, before any work, unless a file may be written: it is not there, or is of the kind.

    path: as somebody named it; None where nothing is asked for.
    """
    if path is None or not path.exists():
        return
    called, is_one = kind
    if not path.is_file():
        raise LockstepError(f"{path}: not a file that can be written; name another")
    if path.stat().st_size and not is_one(path):
        raise LockstepError(
            f"{path}: is there already, and is not {called}; nothing is overwritten: name another"
        )


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
