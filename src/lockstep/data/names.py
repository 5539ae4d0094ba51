"""Names of classes: which differ only by how they are written, and which stand for no class at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d{1,3})?")
MISSING = ("nan", "na", "n/a", "#n/a", "<na>", "null", "none")
"""How programs write that there is no value, in any case."""
NAMED_AT_MOST = 5

Plain = str | Decimal


def plain(name: str) -> Plain:
    """What is left of a name without case, spaces and forms of letters, or the number that it writes."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cf")
    return Decimal(text) if NUMBER.fullmatch(text) else text


def seen(name: str) -> str:
    """In quotes.  A letter that is put together of several is escaped: it looks like the one that is not."""
    return repr(name) if unicodedata.is_normalized("NFC", name) else ascii(name)


def is_missing(label: str) -> bool:
    return label.strip().casefold() in MISSING


def told(about: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the classes of a source (`store.about`) whose names may be mistakes."""
    classes: Sequence[str] = about["classes"]
    groups: dict[Plain, list[str]] = {}
    for name in classes:
        groups.setdefault(plain(name), []).append(name)
    if alike := [" and ".join(map(seen, group)) for group in groups.values() if len(group) > 1]:
        yield (
            f"classes of {about['name']} differ only by case, spaces or the form of a letter or number, "
            f"and are learnt as different ones: {listed(alike)}"
        )
    if spaced := [repr(name) for name in classes if name != name.strip()]:
        yield f"classes of {about['name']} have spaces around their names: {listed(spaced)}"
    known = about["made_of"].get("settings", {}).get("classes") or ()
    if missing := [repr(name) for name in classes if is_missing(name) and name not in known]:
        yield (
            f"classes of {about['name']} have names that programs write where there is no value; "
            f"list them in `classes` if they are meant: {listed(missing)}"
        )


def listed(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more:,} more" if more > 0 else "")
