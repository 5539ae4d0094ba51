"""Which files a source on disk consists of: found by name, in a fixed order, before any is opened."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lockstep.data.names import Plain, is_missing, plain
from lockstep.data.store import Refused
from lockstep.data.table import read
from lockstep.errors import LockstepError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Listing:
    root: str
    """Names are relative to this folder."""
    classes: tuple[str, ...]
    names: list[str]
    labels: np.ndarray
    """Positions in `classes`: unsigned [n]."""
    parts: np.ndarray | None = None
    """Positions in PARTS, uint8 [n], where the folders say to which part an image belongs."""
    refused: tuple[Refused, ...] = ()
    """What is no image by its name or label."""
    table: str | None = None
    """The CSV file that the names come from."""


def directory(root: str, classes: Sequence[str] | None, subfolders: bool) -> Listing:
    """root/class/**/image, or root/train/class/**/image and so on: class after class, sorted by name.

    As in Keras, classes are the sorted subfolders or those of a list, and links to folders below a class
    are not followed.  Raises LockstepError for a class without a folder or without an image.
    """
    tops = [os.path.join(root, part) for part in PARTS] if subfolders else [root]
    known = [_folders(top) for top in tops]
    if classes is None:
        classes = known[0]
        for top, folders in zip(tops, known, strict=True):
            if new := sorted(set(folders) - set(classes)):
                raise LockstepError(
                    f"{top}/{new[0]}: no such class in {tops[0]}; move it away or list `classes`"
                )
    if not classes:
        raise LockstepError(f"{tops[0]}: no folder in it; expected one for each class")
    for top, folders in zip(tops, known, strict=True):
        written = {plain(folder): folder for folder in folders}
        for name in classes:
            if name not in folders and (near := written.get(plain(name))):
                raise LockstepError(
                    f"{top}: no class folder {name!r}; if it is {near!r}, write that in `classes`"
                )
    names: list[str] = []
    labels: list[int] = []
    parts: list[int] = []
    for part, top in enumerate(tops):
        for label, name in enumerate(classes):
            found = _images(os.path.join(top, name))
            names += found
            labels += [label] * len(found)
            parts += [part] * len(found)
    start = len(os.path.join(root, ""))
    return Listing(
        root,
        tuple(classes),
        [name[start:] for name in names],
        _smallest(labels, classes),
        np.array(parts, np.uint8) if subfolders else None,
    )


def dataframe(table: str, root: str | None, x_col: str, y_col: str, classes: Sequence[str] | None) -> Listing:
    """The rows of a CSV file in their order: a file name and a label, which is text.

    Rows without a name, with a name that is no image's or with a label that is not in `classes` are
    refused; by default the classes are all labels but those such as `nan`.  Raises LockstepError for a
    file that is no such table.
    """
    rows = read(table, x_col, y_col, EXTENSIONS)
    if classes is None:
        found = {row.label for row in rows}
        classes = sorted(label for label in found if label and not is_missing(label))
    if not classes:
        raise LockstepError(f"{table}: no row has a label in column {y_col!r}; expected one for each image")
    number = {name: label for label, name in enumerate(classes)}
    written = {plain(name): name for name in classes}
    names: list[str] = []
    labels: list[int] = []
    refused: list[Refused] = []
    for line, name, label in rows:
        if not name:
            refused.append((f"line {line}", "no file name"))
        elif not name.lower().endswith(EXTENSIONS):
            refused.append((f"line {line}: {name}", f"its name ends in none of {' '.join(EXTENSIONS)}"))
        elif label not in number:
            refused.append((f"line {line}: {name}", _no_class(label, written)))
        else:
            names.append(name)
            labels.append(number[label])
    folder = os.path.dirname(table) if root is None else root
    if folder and not os.path.isdir(folder):
        raise LockstepError(f"{folder}: no such folder; name the one that holds the images of {table}")
    return Listing(
        folder, tuple(classes), names, _smallest(labels, classes), refused=tuple(refused), table=table
    )


def contents(listing: Listing) -> dict[str, bytes]:
    """{name: SHA-256 of the file's content}, sorted by name; empty for a file that cannot be read.

    The table is "".
    """
    found = {"": _content(listing.table)} if listing.table is not None else {}
    for name in sorted(set(listing.names)):
        found[name] = _content(os.path.join(listing.root, name))
    return found


def sha256(contents: Mapping[str, bytes]) -> str:
    """Of all names and contents."""
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(b"%d%b\0%b" % (len(content), os.fsencode(name), content))
    return digest.hexdigest()


def _content(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return hashlib.sha256(file.read()).digest()
    except OSError:
        return b""


def _no_class(label: str, written: Mapping[Plain, str]) -> str:
    """Why a row has none.  written: {`plain` name of a class: its name}."""
    if not label:
        return "no label"
    if near := written.get(plain(label)):
        return f"unknown label {label!r}; write {near!r} if it is that class"
    if is_missing(label):
        return f"the label {label!r} stands for a missing value; if it is a class, list it in `classes`"
    return f"unknown label {label!r}"


def _folders(top: str) -> list[str]:
    try:
        with os.scandir(top) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as error:
        raise LockstepError(
            f"{top}: {error.strerror}; name a folder that holds one folder of images for each class"
        ) from None


def _images(folder: str) -> list[str]:
    """Paths of the images in a folder and below it: folder after folder, each sorted by name."""

    def stop(error: OSError) -> None:
        reason = "no such class folder" if isinstance(error, FileNotFoundError) else error.strerror
        raise LockstepError(f"{error.filename}: {reason}; make it readable, or leave it out of `classes`")

    found = [
        os.path.join(place, name)
        for place, _, names in sorted(os.walk(folder, onerror=stop))
        for name in sorted(names)
        if name.lower().endswith(EXTENSIONS)
    ]
    if not found:
        raise LockstepError(
            f"{folder}: a class folder without images ({' '.join(EXTENSIONS)}); "
            "add some, move it away, or leave it out of `classes`"
        )
    return found


def _smallest(labels: Iterable[int], classes: Sequence[str]) -> np.ndarray:
    return np.array(list(labels), np.min_scalar_type(len(classes) - 1))
