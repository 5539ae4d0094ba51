"""Images of a source that are copies of others, byte for byte: counted, named, kept together if wanted.

The same picture in another format, or written by another program, is no copy here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lockstep.data.names import listed
from lockstep.data.splits import Parts

SHOWN_OF_A_GROUP = 3


def firsts(contents: Iterable[Hashable]) -> np.ndarray:
    """For each image the position of the first with the same content: int64 [n]."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(content, place) for place, content in enumerate(contents)], np.int64)


def together(parts: Parts, originals: np.ndarray, first: np.ndarray) -> Parts:
    """Parts of all images, with the copies of each beside it.

    parts: of the originals, as positions in these; first: as of `firsts`.
    """

    def with_copies(part: np.ndarray) -> np.ndarray:
        rank = np.full(len(first), len(first))
        rank[originals[part]] = np.arange(len(part))
        order = np.argsort(rank[first], kind="stable")
        return order[: np.count_nonzero(rank[first] < len(first))]

    return Parts(*map(with_copies, parts))


def count(
    first: np.ndarray, names: Sequence[str], labels: np.ndarray, classes: Sequence[str], parts: Parts
) -> dict[str, Any] | None:
    """What source.json says of copies; None if there are none.

    first: as of `firsts`; parts: those of split_seed 0.
    """
    copies = np.flatnonzero(first != np.arange(len(first)))
    if not len(copies):
        return None
    groups: dict[int, list[int]] = {}
    for original, copy in zip(first[copies].tolist(), copies.tolist(), strict=True):
        groups.setdefault(original, [original]).append(copy)
    train, validation, test = (first[part] for part in parts)
    return {
        "copies": len(copies),
        "split_seed": 0,
        "sizes": {part: len(places) for part, places in parts._asdict().items()},
        "within": {
            part: len(places) - len(np.unique(first[places])) for part, places in parts._asdict().items()
        },
        "test_in_train": int(np.isin(test, train).sum()),
        "validation_in_train": int(np.isin(validation, train).sum()),
        "test_in_validation": int(np.isin(test, validation).sum()),
        "groups": [
            {
                "images": places,
                "files": [names[place] for place in places],
                "classes": [classes[label] for label in labels[places]],
            }
            for places in groups.values()
        ],
    }


def known_firsts(about: Mapping[str, Any]) -> np.ndarray:
    """`firsts` of a decoded source, from what source.json says."""
    first = np.arange(about["images"])
    for group in (about["duplicates"] or {"groups": []})["groups"]:
        first[group["images"]] = group["images"][0]
    return first


def told(about: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the copies of a source (`store.about`)."""
    found = about.get("duplicates")
    if not found:
        return
    sizes, within, name = found["sizes"], sum(found["within"].values()), about["name"]
    across = [
        f"{found[key]:,} of {sizes[part]:,} {part} images are in the {other} set too"
        for key, part, other in (
            ("test_in_train", "test", "training"),
            ("validation_in_train", "validation", "training"),
            ("test_in_validation", "test", "validation"),
        )
        if found[key]
    ]
    where = ", ".join(across) or "none is in another set than its original"
    line = (
        f"{found['copies']:,} of {about['images']:,} images of {name} are copies of others, byte for byte "
        f"({within:,} within one set); with split_seed {found['split_seed']} {where}: {named(found)}"
    )
    if across and about["made_of"].get("settings", {}).get("split") == "drawn":
        line += "; duplicates: keep-together puts all copies of an image into one set"
    yield line
    if mixed := [group for group in found["groups"] if len(set(group["classes"])) > 1]:
        groups = listed([_labelled(group) for group in mixed])
        images = "image is" if len(mixed) == 1 else "images are"
        yield f"{len(mixed):,} different {images} there in {name} under more than one label: {groups}"


def named(found: Mapping[str, Any]) -> str:
    """The files that are equal; found: as of `count`."""
    return listed([_equal(group["files"]) for group in found["groups"]])


def _labelled(group: Mapping[str, Any]) -> str:
    """One file of each class."""
    one = dict(zip(group["classes"], group["files"], strict=True))
    return _equal([f"{file} (class {name!r})" for name, file in one.items()])


def _equal(files: Sequence[str]) -> str:
    more = len(files) - SHOWN_OF_A_GROUP
    return " = ".join(files[:SHOWN_OF_A_GROUP]) + (f" (and {more:,} more)" if more > 0 else "")
