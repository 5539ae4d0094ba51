"""Which files a bundle holds: one rule for who writes it and for who reads it.

A bundle is opened elsewhere, so its names are ones that Linux, macOS and Windows can write, and that are
different files on each of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from lockstep.check import CLAIMS

ABOUT, CONFIG, RESULTS, REPORTS = "bundle.json", "config.yaml", "results", "reports"
FORBIDDEN = '<>:"|?*\\'
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
LONGEST_PART, LONGEST = 255, 1000
"""Bytes of a file's or folder's name, and of a whole one."""


def require(names: Iterable[str]) -> None:
    """Raise ValueError where a name has no place in a bundle, or some system could not write it."""
    folded: dict[str, str] = {}
    for name in sorted(names):
        if fault := _misplaced(name) or unwritable(name):
            raise ValueError(f"{name!a} {fault}")
        other = folded.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise ValueError(f"{name!a} is the same as {other!a} where capitals do not count")
    for key, name in folded.items():
        for parent in PurePosixPath(key).parents:
            if str(parent) in folded:
                raise ValueError(f"{name!a} would be in a folder where {folded[str(parent)]!a} is a file")


def _misplaced(name: str) -> str:
    parts = name.split("/")
    within = parts[0] in (RESULTS, REPORTS) and len(parts) > 1 and not {"", ".", ".."} & set(parts)
    return "" if within or name in (ABOUT, CONFIG, CLAIMS.as_posix()) else "has no place in a bundle"


def unwritable(name: str) -> str:
    """Why some system could not write a file of this name; empty if all can."""
    for part in name.split("/"):
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in part):
            return "holds control characters, or bytes that are no text"
        if set(FORBIDDEN) & set(part):
            return f"holds one of {' '.join(FORBIDDEN)}"
        if part.endswith((".", " ")):
            return "ends in a dot or a space"
        if DEVICES.fullmatch(part):
            return "is a device on Windows"
        if len(part.encode()) > LONGEST_PART:
            return f"has a part of more than {LONGEST_PART} bytes"
    return f"has more than {LONGEST} bytes" if len(name.encode()) > LONGEST else ""
