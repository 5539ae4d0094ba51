"""Where images come from.  A source is named in the config and never replaced by another.

`prepare` decodes a source once into a folder (`store.py`), which every cell reads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, get_args

from filelock import FileLock
from pydantic import Discriminator, Tag

from lockstep.data import splits, store
from lockstep.data.files import Dataframe, Directory, Files
from lockstep.data.mnist import NAMED
from lockstep.data.store import Decoded, Prepared

Name = Literal["mnist-5k", "mnist"]
Chosen = Name | Directory | Dataframe


class Source(Protocol):
    """What is known of a source before it is decoded, and how it is decoded and split."""

    @property
    def name(self) -> str:
        """Of its folder among the prepared data."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def listed(self) -> int:
        """Images, if none is skipped."""

    @property
    def train(self) -> int:
        """Training images, if none is skipped, with split_seed 0."""

    @property
    def sha256(self) -> str:
        """Changes with every image."""

    @property
    def made_of(self) -> dict[str, Any]:
        """All that the decoded arrays depend on, in plain JSON."""

    @property
    def versions(self) -> dict[str, str]:
        """Of the packages that decode."""

    def decode(self, folder: Path, advance: Callable[[int], None]) -> Decoded: ...

    def split(self, prepared: Prepared, seed: int) -> splits.Parts: ...


def _kind(value: Any) -> str | None:
    """Which branch of `Setting` is meant; None if that cannot be told."""
    if isinstance(value, str):
        return "Name" if value in get_args(Name) else None
    if isinstance(value, dict):
        kinds = [kind.__name__ for kind in (Directory, Dataframe) if kind.__name__.lower() in value]
        return kinds[0] if len(kinds) == 1 else None
    return type(value).__name__ if isinstance(value, Directory | Dataframe) else None


Setting = Annotated[
    Annotated[Name, Tag("Name")]
    | Annotated[Directory, Tag("Directory")]
    | Annotated[Dataframe, Tag("Dataframe")],
    Discriminator(
        _kind,
        custom_error_type="source",
        custom_error_message="expected 'mnist-5k' or 'mnist', or keys with either directory or dataframe",
    ),
]
"""What a config says of a source."""


def find(setting: Chosen) -> Source:
    return NAMED[setting] if isinstance(setting, str) else _files(setting)


@cache
def _files(setting: Directory | Dataframe) -> Files:
    """One for a process: files are listed once, and read once for their checksum."""
    return Files(setting)


def is_prepared(setting: Chosen, folder: Path) -> bool:
    """Whether a folder holds what the source would be decoded to now."""
    return store.about(folder).get("made_of") == find(setting).made_of


def ensure(setting: Chosen, folder: Path, advance: Callable[[int], None] = lambda images: None) -> None:
    """Prepare a source unless it is; of several processes one does, and the others wait for it."""
    if is_prepared(setting, folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not is_prepared(setting, folder):
            prepare(setting, folder, advance)


def prepare(
    setting: Chosen, folder: Path, advance: Callable[[int], None] = lambda images: None
) -> dict[str, Any]:
    """Decode a source into a folder; returns what its source.json says.

    advance: is told how many files are done.  What may be a mistake in them is a warning on stderr.
    """
    source = find(setting)
    decoded = source.decode(folder, advance)
    about = store.finish(folder, source.name, source.classes, source.made_of, decoded)
    for _, line in store.doubts(about):
        print(f"warning: {line}; see {folder / store.ABOUT}", file=sys.stderr, flush=True)
    return about
