"""Images on disk as a source: what a person writes, and the source that follows from it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt, field_validator, model_validator

from lockstep.data import decode, listing, splits, store
from lockstep.data.decode import CHANNELS, ColourMode, Interpolation
from lockstep.data.listing import Listing
from lockstep.data.store import Decoded, Prepared, Refused, Remarks
from lockstep.errors import LockstepError
from lockstep.settings import Settings, WrittenOut

Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
OnDisk = Annotated[Text, WrittenOut]


class ImageFiles(Settings):
    """What both kinds of source on disk have in common."""

    classes: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="in the order of their numbers; default: all, sorted"
    )
    size: tuple[PositiveInt, PositiveInt] = Field(default=(28, 28), description="height and width")
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


class Directory(ImageFiles):
    """directory/class/**/image."""

    directory: OnDisk = Field(description="the folder that holds one folder for each class")
    split: Literal["drawn", "first", "subfolders"] = Field(
        default="drawn", description="subfolders: train, validation and test hold the folders of the classes"
    )

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
        """If no image is skipped; the number does not depend on the split's seed."""
        parts = self.listing.parts
        sizes = None if parts is None else np.bincount(parts, minlength=len(listing.PARTS))
        return len(self._split(self.listing.labels, sizes, seed=0).train)

    @cached_property
    def listing(self) -> Listing:
        settings = self.settings
        if isinstance(settings, Directory):
            return listing.directory(settings.directory, settings.classes, settings.split == "subfolders")
        return listing.dataframe(
            settings.dataframe, settings.images, settings.x_col, settings.y_col, settings.classes
        )

    @cached_property
    def sha256(self) -> str:
        return listing.sha256(self.listing)

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
                    f"{self.place}: {len(refused):,} of {len(kept) + len(refused):,} images cannot be used: "
                    f"{store.few(refused)}; mend them, or set data.source.invalid: skip"
                )

        written = store.write_arrays(folder, self.shape, decoded(), len(self.classes))
        sizes = None if listing.parts is None else np.bincount(listing.parts[kept], minlength=3).tolist()
        self._split(written.labels, sizes, seed=0)  # a class may have lost too many
        return written._replace(skipped=refused, remarks=remarks, parts=sizes)

    def split(self, prepared: Prepared, seed: int) -> splits.Parts:
        return self._split(prepared.labels, prepared.about["parts"], seed)

    def _split(self, labels: np.ndarray, sizes: Any, seed: int) -> splits.Parts:
        """Raises LockstepError where a class is missing in a part."""
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
            parts = splits.drawn(labels, seed, *(splits.count(share, images) for share in shares))
        try:
            splits.require_every_class(parts, labels, self.classes)
        except LockstepError as error:
            raise LockstepError(f"{self.place}: {error}") from None
        return parts


@cache
def _code() -> str:
    """The source of this package: whatever decodes differently decodes again."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
