"""Images on disk as a source: what a person writes, and the source that follows from it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from lockstep.data import copies, decode, listing, splits, store
from lockstep.data.decode import CHANNELS, ColourMode, Interpolation
from lockstep.data.listing import PARTS, Listing
from lockstep.data.store import Decoded, Prepared, Refused, Remarks
from lockstep.errors import LockstepError
from lockstep.settings import Settings, WrittenOut

Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
OnDisk = Annotated[Text, WrittenOut]
Side = Annotated[int, Field(gt=0, le=10_000)]


class ImageFiles(Settings):
    """What both kinds of source on disk have in common."""

    classes: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="in the order of their numbers; default: all, sorted"
    )
    size: tuple[Side, Side] = Field(default=(28, 28), description="height and width")
    color_mode: ColourMode = "grayscale"
    interpolation: Interpolation = Field(
        default="none", description="how images of another size are resized; none: they are invalid"
    )
    background: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="behind transparent pixels: 0 black, 1 white; default: an image with such is invalid",
    )
    invalid: Literal["fail", "skip"] = Field(
        default="fail", description="what an image leads to that cannot be used"
    )
    duplicates: Literal["warn", "fail", "keep-together"] = Field(
        default="warn",
        description="what images lead to that are copies of others, byte for byte; keep-together: all copies "
        "of an image are in one of training, validation and test set",
    )
    split: Literal["drawn", "first", "subfolders"] = "drawn"
    validation: float = Field(default=0.1, gt=0, lt=1, description="share of the images")
    test: float = Field(default=0.2, gt=0, lt=1, description="share of the images")

    @field_validator("classes")
    @classmethod
    def _each_class_once(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if classes and len(set(classes)) != len(classes):
            raise ValueError("a class is listed twice; list each once")
        return classes

    @model_validator(mode="after")
    def _something_is_left(self) -> ImageFiles:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must be less than 1")
        return self

    @model_validator(mode="after")
    def _only_a_draw_keeps_together(self) -> ImageFiles:
        if self.duplicates == "keep-together" and self.split != "drawn":
            raise ValueError(
                f"duplicates: keep-together needs split: drawn; with split: {self.split} the order or the "
                "folders decide: delete the copies, or draw"
            )
        return self


class Directory(ImageFiles):
    """directory/class/**/image."""

    directory: OnDisk = Field(description="the folder that holds one folder for each class")
    split: Literal["drawn", "first", "subfolders"] = Field(
        default="drawn", description="subfolders: train, validation and test hold the folders of the classes"
    )

    @field_validator("classes")
    @classmethod
    def _folders_of_the_directory(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in classes or ():
            if "/" in name or name in (".", ".."):
                raise ValueError(f"{name!r} is a path; name the folders that stand in the directory itself")
        return classes

    @model_validator(mode="after")
    def _no_shares_of_subfolders(self) -> Directory:
        if self.split == "subfolders" and {"validation", "test"} & self.model_fields_set:
            raise ValueError("with split: subfolders the folders decide; leave out validation and test")
        return self


class Dataframe(ImageFiles):
    """A CSV file with a row for each image."""

    dataframe: OnDisk = Field(description="the CSV file")
    images: OnDisk | None = Field(default=None, description="folder of the images; default: the CSV file's")
    x_col: Text = Field(default="filename", description="column of the file names")
    y_col: Text = Field(default="class", description="column of the labels")
    split: Literal["drawn", "first"] = "drawn"

    @field_validator("classes")
    @classmethod
    def _as_labels_are_read(cls, classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in classes or ():
            if name != name.strip():
                raise ValueError(
                    f"labels are read without the spaces around them: write {name.strip()!r} for {name!r}"
                )
        return classes


class Files:
    """A `sources.Source` of files.  Listing and checksum are made once, when they are first asked for."""

    def __init__(self, settings: Directory | Dataframe) -> None:
        self.settings = settings

    @property
    def place(self) -> str:
        return self.settings.directory if isinstance(self.settings, Directory) else self.settings.dataframe

    @property
    def name(self) -> str:
        """Of the folder or file, with a hash of the settings: no two settings share a name."""
        slug = re.sub(r"[^a-z0-9]+", "-", Path(self.place).stem.lower())[:40].strip("-")
        settings = json.dumps(self.settings.model_dump(mode="json"), sort_keys=True)
        return f"{slug or 'images'}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"

    @property
    def shape(self) -> tuple[int, int, int]:
        return *self.settings.size, CHANNELS[self.settings.color_mode]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.listing.classes

    @property
    def listed(self) -> int:
        return len(self.listing.names)

    @cached_property
    def train(self) -> int:
        """If no image is skipped, with split_seed 0: small classes and copies may shift it by a few."""
        listing, sizes, first = self.listing, None, None
        if listing.parts is not None:
            sizes = np.bincount(listing.parts, minlength=len(PARTS)).tolist()
        if self.settings.duplicates == "keep-together":
            first = self._firsts(listing.names)
        return len(self._split(listing.labels, sizes, 0, first, listing.refused).train)

    @cached_property
    def listing(self) -> Listing:
        settings = self.settings
        if isinstance(settings, Directory):
            return listing.directory(settings.directory, settings.classes, settings.split == "subfolders")
        return listing.dataframe(
            settings.dataframe, settings.images, settings.x_col, settings.y_col, settings.classes
        )

    @cached_property
    def contents(self) -> dict[str, bytes]:
        """As of `listing.contents`."""
        return listing.contents(self.listing)

    @cached_property
    def sha256(self) -> str:
        return listing.sha256(self.contents)

    def _firsts(self, names: Sequence[str]) -> np.ndarray:
        """As of `copies.firsts`; a file that cannot be read is a copy of itself alone."""
        return copies.firsts(self.contents[name] or name for name in names)

    @property
    def versions(self) -> dict[str, str]:
        return {"pillow": importlib.metadata.version("pillow")}

    @property
    def made_of(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "settings": self.settings.model_dump(mode="json"),
            "code": _code(),
            **self.versions,
        }

    def decode(self, folder: Path, advance: Callable[[int], None]) -> Decoded:
        """Raises LockstepError, after all files were tried, where some are invalid and that is to fail."""
        listing, settings = self.listing, self.settings
        kept: list[int] = []
        refused: list[Refused] = [*listing.refused]
        remarks = Remarks(listing.remarks)

        def decoded() -> Iterator[tuple[bytes, np.ndarray]]:
            how = settings.size, settings.color_mode, settings.interpolation, settings.background
            for block in decode.blocks(listing, *how, remarks):
                kept.extend(block.kept)
                refused.extend(block.refused)
                advance(len(block.kept) + len(block.refused))
                yield block.pixels, listing.labels[block.kept]
            if refused and settings.invalid == "fail":
                raise LockstepError(
                    f"{self.place}: {store.unusable(refused, len(kept))}; "
                    "mend them, or set data.source.invalid: skip"
                )

        written = store.write_arrays(folder, self.shape, decoded(), len(self.classes))
        sizes = None if listing.parts is None else np.bincount(listing.parts[kept], minlength=3).tolist()
        names = [listing.names[place] for place in kept]
        first = self._firsts(names)
        together = first if settings.duplicates == "keep-together" else None
        parts = self._split(written.labels, sizes, 0, together, refused)
        duplicates = copies.count(first, names, written.labels, self.classes, parts)
        if duplicates and settings.duplicates == "fail":
            raise LockstepError(
                f"{self.place}: {duplicates['copies']:,} of {len(names):,} images are copies of others, byte "
                f"for byte: {copies.named(duplicates)}; delete them, or set data.source.duplicates to "
                "keep-together or warn"
            )
        return written._replace(skipped=refused, remarks=remarks, parts=sizes, duplicates=duplicates)

    def split(self, prepared: Prepared, seed: int) -> splits.Parts:
        about, first = prepared.about, None
        if self.settings.duplicates == "keep-together":
            first = copies.known_firsts(about)
        return self._split(prepared.labels, about["parts"], seed, first, about["skipped"])

    def _split(
        self,
        labels: np.ndarray,
        sizes: Sequence[int] | None,
        seed: int,
        first: np.ndarray | None = None,
        refused: Sequence[Sequence[str]] = (),
    ) -> splits.Parts:
        """Raises LockstepError where a class is missing in a part.

        sizes: of the parts where folders hold these; first: of `copies.firsts`, to keep copies together.
        """
        settings, images = self.settings, len(labels)
        shares = settings.validation, settings.test
        if sizes is not None:
            parts = splits.given(labels, seed, sizes)
        elif settings.split == "first":
            # Keras takes the first files of each class of a folder, but the first rows of a table.
            classes = [np.flatnonzero(labels == label) for label in range(len(self.classes))]
            groups = classes if isinstance(settings, Directory) else [np.arange(images)]
            parts = splits.first(labels, seed, *shares, groups)
        else:
            first = np.arange(images) if first is None else first
            originals = np.unique(first)
            counts = (splits.count(share, len(originals)) for share in shares)
            parts = copies.together(splits.drawn(labels[originals], seed, *counts), originals, first)
        if lacking := splits.absent(parts, labels, len(self.classes)):
            raise LockstepError(f"{self.place}: {self._why_absent(*lacking, labels, refused)}")
        return parts

    def _why_absent(self, label: int, part: str, labels: np.ndarray, refused: Sequence[Sequence[str]]) -> str:
        """Causes first: images that cannot be used, then what the split takes, then what helps."""
        settings, name = self.settings, self.classes[label]
        images = int(np.count_nonzero(labels == label))
        if settings.split == "subfolders":
            needs, remedy = "each of the three folders needs one", f"add images to {part}/{name}"
        elif settings.split == "first" and isinstance(settings, Directory):
            least = splits.least_of_first(settings.validation, settings.test)
            needs = f"with split: first each class needs at least {least}"
            remedy = "add images, raise the smaller share, or set split: drawn"
        elif settings.split == "first" and images >= splits.LEAST_DRAWN:
            needs = "split: first takes the first rows of the table for validation and the next for test"
            remedy = "set split: drawn, or mix the rows"
        else:
            different = " that are no copies" if settings.duplicates == "keep-together" else ""
            needs = f"each class needs at least {splits.LEAST_DRAWN}{different}"
            remedy = "add images, or leave the class out of `classes`"
        has = "no image"
        if images:
            has = f"{images:,} image{'s' * (images > 1)}, none of them in the {part} set"
        causes = f"{store.unusable(refused, len(labels))}; so " if refused else ""
        return f"{causes}class {name!r} has {has}; {needs}: {'mend those, or ' if refused else ''}{remedy}"


@cache
def _code() -> str:
    """The source of this package: whatever decodes differently decodes again."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
