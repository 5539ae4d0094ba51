"""Which files a source on disk consists of: found by name, in a fixed order, before any is opened."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lockstep.data.names import Plain, is_missing, plain, seen
from lockstep.data.store import Refused, Remarks
from lockstep.data.table import read
from lockstep.errors import LockstepError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")
PARTS = ("train", "validation", "test")
TRAINING = {"train", "training", "trainset"}
EVALUATION = {"val", "valid", "validation", "valset", "dev", "eval", "test", "testing", "testset"}
"""Words in what others call the same, in lower case."""
WORD = re.compile(r"[^\W\d_]+")
SYSTEM = {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
"""Folders beside hidden ones that file managers and disks make: copies and thumbnails of images."""
RESULTS = {
    "cells": "*/*/*/seed-*",
    "data": "*/source.json",
    "conformance": "*/*/*.json",
    "speed": "*threads-*.json",
}
"""What a results folder of Lockstep has one of, and"""
REPORT = ("index.html", "figures", "tables")
"""what a report has all of."""
NO_FILE = "not a regular file"
OURS = "left out, results and reports of Lockstep"


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
    remarks: Remarks = field(default_factory=Remarks)
    """What folders hold and the source leaves out."""


def directory(root: str, classes: Sequence[str] | None, subfolders: bool) -> Listing:
    """root/class/**/image, or root/train/class/**/image and so on: class after class, sorted by name.

    As in Keras, classes are the sorted subfolders or those of a list, and links to folders below a class
    are not followed.  Unlike Keras, hidden and system folders and files are left out.  Raises LockstepError
    for a class without a folder or without an image, and where parts stand where classes are expected.
    """
    remarks = Remarks()
    tops = [os.path.join(root, part) for part in PARTS] if subfolders else [root]
    if subfolders and not set(PARTS) <= set(there := _folders(root, remarks)):
        raise LockstepError(
            f"{root}: split: subfolders expects {', '.join(PARTS)}; it has: {', '.join(there) or 'no folder'}"
            "; rename them, or take images of one part for the one that is missing"
        )
    known = [_folders(top, remarks) for top in tops]
    if subfolders:
        for name in sorted(set(there) - set(PARTS)):
            remarks.add("left out, folders that are no part", os.path.join(root, name))
    listed = classes is not None
    if classes is None:
        classes = known[0]
        for top, folders in zip(tops, known, strict=True):
            if new := sorted(set(folders) - set(classes)):
                raise LockstepError(
                    f"{top}/{new[0]}: no such class in {tops[0]}; move it away or list `classes`"
                )
        if named := _called_as_parts(classes):
            raise LockstepError(
                f"{root}: {named} look like the parts of a split, not like classes; set split: subfolders, "
                f"for folders called {', '.join(PARTS)}, or list them in `classes`"
            )
    for top, folders in zip(tops, known, strict=True):
        written = {plain(folder): folder for folder in folders}
        for name in classes:
            if name in folders or os.path.isdir(os.path.join(top, name)):
                continue
            if near := written.get(plain(name)):
                advice = f"if it is {seen(near)}, write that in `classes`"
            elif named := _called_as_parts(folders):
                advice = f"{named} look like the parts of a split: set split: subfolders"
            else:
                advice = "add it, or leave it out of `classes`"
            raise LockstepError(f"{top}: no class folder {seen(name)}; {advice}")
    found: dict[tuple[str, str], list[str]] = {}
    for top, folders in zip(tops, known, strict=True):
        for name in folders:
            if name not in classes:
                remarks.add("left out, folders that are not in `classes`", os.path.join(top, name))
        for name in classes:
            before = remarks.get(OURS)
            images = found[top, name] = _images(os.path.join(top, name), remarks, listed)
            if not images and (listed or remarks.get(OURS) == before):
                raise LockstepError(
                    f"{os.path.join(top, name)}: a class folder without images ({' '.join(EXTENSIONS)}); "
                    "add some, move it away, or leave it out of `classes`"
                )
    classes = tuple(name for name in classes if any(found[top, name] for top in tops))
    if not classes:
        raise LockstepError(f"{tops[0]}: no folder in it; expected one for each class")
    _require_classes(tops[0], classes)
    number = {name: label for label, name in enumerate(classes)}
    sizes = [(number[name], tops.index(top), len(images)) for (top, name), images in found.items() if images]
    labels, parts, counts = (np.array(column, int) for column in zip(*sizes, strict=True))
    start = len(os.path.join(root, ""))
    return Listing(
        root,
        classes,
        [name[start:] for images in found.values() for name in images],
        np.repeat(_smallest(labels, classes), counts),
        np.repeat(parts.astype(np.uint8), counts) if subfolders else None,
        remarks=Remarks({what: (count, path[start:]) for what, (count, path) in remarks.items()}),
    )


def _called_as_parts(folders: Iterable[str]) -> str:
    """Those that are called as the parts of a data set are; empty unless training is among several."""
    words = {name: set(WORD.findall(name.lower())) for name in sorted(folders)}
    training, others = ([name for name in words if words[name] & known] for known in (TRAINING, EVALUATION))
    return ", ".join(dict.fromkeys([*training, *others])) if training and set(others) - set(training) else ""


def _require_classes(place: str, classes: Sequence[str]) -> None:
    for name in classes:
        if not name.isprintable():
            raise LockstepError(f"{place}: the class {name!a} holds what cannot be printed; rename it")
    if len(classes) < 2:
        raise LockstepError(
            f"{place}: only one class ({classes[0]!r}); there is nothing to tell apart: expected two or more"
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
        raise LockstepError(
            f"{folder}: no such folder; let `images` name the folder that the file names in {table} are in"
        )
    _require_classes(table, classes)
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
        return hashlib.sha256(content_of(path)).digest()
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


def content_of(path: str) -> bytes:
    """Of a regular file: a pipe would wait for a writer.  Raises OSError with its reason."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError:  # a NUL
        raise OSError(errno.EINVAL, "no file can have this name") from None
    except OSError as error:
        raise OSError(errno.EINVAL, NO_FILE) if error.errno == errno.ENXIO else error from None
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, NO_FILE)
        content = os.read(file, about.st_size)
        while more := len(content) < about.st_size and os.read(file, about.st_size - len(content)):
            content += more
        return content
    finally:
        os.close(file)


def _folders(top: str, remarks: Remarks) -> list[str]:
    """Those that may be classes, sorted."""
    found = []
    try:
        with os.scandir(top) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not os.path.exists(entry.path):
                    remarks.add("left out, links that lead nowhere", entry.path)
                elif not entry.is_dir():
                    remarks.add("left out, files beside the class folders", entry.path)
                elif what := _no_images_in(entry.path, entry.name):
                    remarks.add(what, entry.path)
                else:
                    found.append(entry.name)
    except OSError as error:
        raise LockstepError(
            f"{top}: {error.strerror}; name a folder that holds one folder of images for each class"
            f"{'' if os.path.isabs(top) else f' (looked for in {os.getcwd()})'}"
        ) from None
    return found


def _no_images_in(path: str, name: str) -> str:
    """Why a folder is left out; empty if it is not."""
    if name.startswith(".") or name in SYSTEM:
        return "left out, hidden and system folders"
    if all(os.path.exists(os.path.join(path, part)) for part in REPORT):
        return OURS
    for first, rest in RESULTS.items():  # the first part alone is quick to look for, in many folders
        if os.path.isdir(os.path.join(path, first)) and any(Path(path, first).glob(rest)):
            return OURS
    return ""


def _images(folder: str, remarks: Remarks, listed: bool) -> list[str]:
    """Paths of the images in a folder and below it: folder after folder, each sorted by name.

    listed: someone named the class.
    """

    def stop(error: OSError) -> None:
        raise LockstepError(
            f"{error.filename}: {error.strerror}; make it readable, or leave it out of `classes`"
        )

    places = []
    for place, folders, names in os.walk(folder, onerror=stop):
        if not listed and (named := _called_as_parts(folders)):
            raise LockstepError(
                f"{place}: {named} look like the parts of a split, but would be one class; put the class "
                f"folders into {', '.join(PARTS)} and set split: subfolders, or list the classes in `classes`"
            )
        places.append((place, names))
        for name in sorted(folders):
            path = os.path.join(place, name)
            if what := "left out, linked folders" if os.path.islink(path) else _no_images_in(path, name):
                remarks.add(what, path)
                folders.remove(name)
    found = []
    for place, names in sorted(places):
        for name in sorted(names):
            path = os.path.join(place, name)
            if name.startswith("."):
                remarks.add("left out, hidden files", path)
            elif name.lower().endswith(EXTENSIONS):
                found.append(path)
            else:
                kind = os.path.splitext(name)[1].lower() or "no extension"
                remarks.add(f"left out, other files ({kind})", path)
    return found


def _smallest(labels: Iterable[int], classes: Sequence[str]) -> np.ndarray:
    return np.array(list(labels), np.min_scalar_type(len(classes) - 1))
