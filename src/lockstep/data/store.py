"""A decoded source on disk: images.npy, labels.npy and source.json, which says what the arrays are.

source.json is removed first and written last, so an interrupted decode never looks finished.  The arrays are
renamed into place: a run that has the old ones mapped goes on with those.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from lockstep.data import copies, names
from lockstep.errors import LockstepError
from lockstep.results import SCHEMA, write, write_json

IMAGES, LABELS, ABOUT = FILES = ("images.npy", "labels.npy", "source.json")
NAMED_AT_MOST = 5
"""Of the reasons why a source skips files, so many are told in a line; source.json names all files."""

Refused = tuple[str, str]
"""A file's name and why it is no image of the source."""


class Remarks(dict[str, tuple[int, str]]):
    """{what a source leaves out or does not apply: (how often, the first file)}."""

    def add(self, what: str, name: str) -> None:
        count, first = self.get(what, (0, name))
        self[what] = count + 1, first


class Decoded(NamedTuple):
    """What was written, and what was not."""

    labels: np.ndarray
    sha256: str
    """Of the images' bytes followed by the labels'."""
    skipped: Sequence[Refused] = ()
    remarks: Mapping[str, tuple[int, str]] = {}
    parts: Sequence[int] | None = None
    """Images of the training, validation and test set where folders hold these; training comes first."""
    duplicates: Mapping[str, Any] | None = None
    """As of `copies.count`."""


class Prepared(NamedTuple):
    """What a run reads: images uint8 [n, H, W, C] as a map of the file, labels unsigned [n], source.json."""

    images: np.ndarray
    labels: np.ndarray
    about: Mapping[str, Any]


def write_arrays(
    folder: Path, shape: tuple[int, int, int], blocks: Iterable[tuple[bytes, np.ndarray]], classes: int
) -> Decoded:
    """Write images and labels as they come; memory holds one block.

    blocks: the bytes of images uint8 [k, *shape] (k may be 0), and their labels, integers [k].
    """
    (folder / ABOUT).unlink(missing_ok=True)
    digest, collected = hashlib.sha256(), [np.empty(0, np.min_scalar_type(classes - 1))]

    def save(file: IO[bytes]) -> None:
        _header(file, (0, *shape))
        start = file.tell()
        for pixels, labels in blocks:
            file.write(pixels)
            digest.update(pixels)
            collected.append(labels.astype(collected[0].dtype))
        file.seek(0)
        _header(file, (sum(map(len, collected)), *shape))
        assert file.tell() == start, "NumPy leaves room for the first axis to grow"

    write(folder / IMAGES, save)
    labels = np.concatenate(collected)
    write(folder / LABELS, lambda file: np.save(file, labels, allow_pickle=False))
    digest.update(labels.data)
    return Decoded(labels, digest.hexdigest())


def _header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def finish(
    folder: Path, name: str, classes: Sequence[str], made_of: Mapping[str, Any], decoded: Decoded
) -> dict[str, Any]:
    """Write source.json and return it."""
    about = {
        "name": name,
        "images": len(decoded.labels),
        "classes": list(classes),
        "per_class": np.bincount(decoded.labels, minlength=len(classes)).tolist(),
        "parts": None if decoded.parts is None else list(decoded.parts),
        "sha256": decoded.sha256,
        "made_of": made_of,
        "skipped": [list(refused) for refused in decoded.skipped],
        "remarks": {what: list(seen) for what, seen in decoded.remarks.items()},
        "duplicates": decoded.duplicates,
    }
    write_json(folder / ABOUT, about)
    return about


def about(folder: Path) -> dict[str, Any]:
    """What source.json says; nothing unless the folder is complete."""
    try:
        content = json.loads((folder / ABOUT).read_text())
    except (OSError, ValueError):
        return {}
    complete = isinstance(content, dict) and all((folder / name).is_file() for name in FILES)
    return content if complete and content.get("schema") == SCHEMA else {}


def read(folder: Path) -> Prepared:
    """Open a folder; its checksum is checked.  Raises LockstepError where it is not what was written."""
    known = about(folder)
    try:
        images = np.asarray(np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False))
        labels = np.load(folder / LABELS, allow_pickle=False)
        if not known or images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels):
            raise ValueError(f"{ABOUT} is missing or does not fit the arrays")
    except (OSError, ValueError, EOFError) as error:
        raise LockstepError(
            f"{folder}: not prepared data ({str(error)[:100]}); delete it and run again"
        ) from None
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    if digest.hexdigest() != known.get("sha256"):
        raise LockstepError(
            f"{folder}: wrong checksum {digest.hexdigest()[:12]} where {ABOUT} has "
            f"{str(known.get('sha256'))[:12]}; the data is damaged: delete it and run again"
        )
    return Prepared(images, labels, known)


def summary(folder: Path) -> str:
    """A line on a prepared source, one on each of its `doubts`, and one on what else it does not show."""
    known = about(folder)
    classes = known["classes"]
    line = f"{known['name']}: {known['images']:,} images of {len(classes)} classes "
    line += f"({names.listed([repr(name) for name in classes])}) in {folder}"
    return "\n".join(filter(None, [line, *(doubt for _, doubt in doubts(known)), remarks(known)]))


def doubts(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What may be a mistake in a source: (of what kind, a line on it)."""
    found = {"skipped images": [skipped(about)], "copies": copies.told(about), "classes": names.told(about)}
    return [(what, line) for what, lines in found.items() for line in lines if line]


def skipped(about: Mapping[str, Any]) -> str:
    """One line on the files that a source skipped; empty if there are none."""
    refused = about.get("skipped", [])
    if not refused:
        return ""
    total = about["images"] + len(refused)
    return f"{len(refused):,} of {total:,} images of {about['name']} were skipped: {few(refused)}"


def remarks(about: Mapping[str, Any]) -> str:
    """One line on what a source leaves out or does not apply; empty if there is nothing."""
    seen = about.get("remarks", {}).items()
    return "; ".join(f"{what}: {count:,} ({shown(first)})" for what, (count, first) in seen)


def shown(name: str) -> str:
    """A file's name on one line: characters that no terminal shows are escaped."""
    return name if name.isprintable() else ascii(name)


def unusable(refused: Sequence[Sequence[str]], kept: int) -> str:
    """How many images of a listing cannot be used, and why."""
    total = kept + len(refused)
    return f"{len(refused):,} of {total:,} images cannot be used: {few(refused)}"


def few(refused: Sequence[Sequence[str]]) -> str:
    """An example of each reason and how many more it has, the commonest first."""
    reasons = Counter(reason for _, reason in refused).most_common(NAMED_AT_MOST)
    example = {reason: name for name, reason in reversed(refused)}
    texts = []
    for reason, count in reasons:
        more = f" and {count - 1:,} more" if count > 1 else ""
        texts.append(f"{shown(example[reason])}{more} ({reason})")
    rest = len(refused) - sum(count for _, count in reasons)
    return ", ".join(texts) + (f" and {rest:,} more" if rest else "")
