"""From image files to pixels.  A file that cannot be used is told with its reason, never replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from lockstep.data import formats
from lockstep.data.formats import Unusable
from lockstep.data.listing import Listing, content_of
from lockstep.data.store import Refused, Remarks

if TYPE_CHECKING:
    from PIL import Image

ColourMode = Literal["grayscale", "rgb"]
Interpolation = Literal["nearest", "bilinear", "none"]

CHANNELS: dict[ColourMode, int] = {"grayscale": 1, "rgb": 3}
MODES: dict[ColourMode, str] = {"grayscale": "L", "rgb": "RGB"}
"""Pillow's names."""
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF")
PLAIN = {"1", "L", "P", "RGB", "CMYK", "YCbCr"}
WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
OTHER_COLOURS = {"LAB", "HSV"}
TIFF = b"II", b"MM"
"""What one starts with."""
ORIENTATION = 274
"""The EXIF tag; 1 is upright."""
BITS, EXTRA_SAMPLES, SAMPLE_FORMAT = 258, 338, 339
"""Tags of a TIFF, and"""
SIGNED_OR_FLOAT = (2, 3)
"""two values of the last."""
PNG_DEPTH = 24
"""Where a PNG says its bits a channel."""
BLOCK_BYTES = 1 << 22


class Block(NamedTuple):
    pixels: bytes
    """Images uint8 [k, H, W, C], one after the other."""
    kept: list[int]
    """Their positions in the listing."""
    refused: list[Refused]


def blocks(
    listing: Listing,
    size: tuple[int, int],
    colour_mode: ColourMode,
    interpolation: Interpolation,
    background: float | None,
    remarks: Remarks,
) -> Iterator[Block]:
    """All files of a listing in its order, some megabytes at a time; `remarks` grows."""
    read = _reader(size, colour_mode, interpolation, background)
    count = max(1, BLOCK_BYTES // (size[0] * size[1] * CHANNELS[colour_mode]))
    for start in range(0, len(listing.names), count):
        pixels, kept, refused = [], [], []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of large images and of damaged metadata
            for place, name in enumerate(listing.names[start : start + count], start):
                try:
                    image, not_applied = read(os.path.join(listing.root, name))
                except MemoryError:
                    raise
                except Exception as error:  # Pillow raises many kinds for a damaged file
                    refused.append((name, _reason(error, listing, name)))
                else:
                    pixels.append(image)
                    kept.append(place)
                    for what in not_applied:
                        remarks.add(what, name)
        yield Block(b"".join(pixels), kept, refused)


def _reader(
    size: tuple[int, int], colour_mode: ColourMode, interpolation: Interpolation, background: float | None
) -> Callable[[str], tuple[bytes, list[str]]]:
    """path -> uint8 [H, W, C] as bytes, and what of the file was not applied.

    As Keras, it converts colours first and then resizes.
    """
    from PIL import Image  # only sources on disk need it

    logging.getLogger("PIL").addHandler(logging.NullHandler())  # `_reason` tells what it logs
    mode, shape = MODES[colour_mode], (size[1], size[0])
    resample = Image.Resampling.BILINEAR if interpolation == "bilinear" else Image.Resampling.NEAREST

    def read(path: str) -> tuple[bytes, list[str]]:
        content = content_of(path)
        if not content:
            raise Unusable("an empty file")
        quiet = _no_stderr() if content.startswith(TIFF) else contextlib.nullcontext()
        with quiet, formats.opened(content) as file:
            image: Image.Image = Image.open(file, formats=FORMATS)
            if interpolation == "none" and image.size != shape:
                raise Unusable(
                    f"{image.height}x{image.width} pixels, expected {size[0]}x{size[1]}; or set interpolation"
                )
            _check(image)
            not_applied = _not_applied(image)
            if image.mode in WITH_ALPHA or "transparency" in image.info:
                image = _flattened(image, content, background)
            if image.mode != mode:
                image = image.convert(mode)
            if image.size != shape:
                image = image.resize(shape, resample)
            return image.tobytes(), not_applied

    return read


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """libtiff writes lines of its own past Python; Pillow raises an error as well."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check(image: Image.Image) -> None:
    """Raise Unusable for pixels that would become others: deeper ones, signed ones, other colours."""
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        formats.require_eight_bits(max(tags.get(BITS, (1,))))
        if max(tags.get(SAMPLE_FORMAT, (1,))) in SIGNED_OR_FLOAT:
            raise Unusable("signed or floating-point pixels, expected 0 to 255")
        if 0 in tags.get(EXTRA_SAMPLES, ()):
            raise Unusable(formats.UNKNOWN_CHANNEL)
    if image.mode == "P" and image.format == "PNG":
        colours = len(image.palette.palette) // 3 if image.palette else 0
        if image.getextrema()[1] >= colours:  # type: ignore[operator]
            raise Unusable("damaged: a pixel's colour is not in its palette")
    if image.mode in OTHER_COLOURS:
        raise Unusable(f"colours in {image.mode}, expected grey, RGB, CMYK or a palette; convert it")
    if image.mode not in PLAIN and image.mode not in WITH_ALPHA:
        raise Unusable(f"pixels of kind {image.mode}, expected 8 bits a channel")


def _not_applied(image: Image.Image) -> list[str]:
    """What a viewer would show and the source does not.  Pillow turns a TIFF by itself."""
    found = []
    if getattr(image, "is_animated", False):
        found.append("only the first page or frame is read")
    if "exif" in image.info and image.format != "TIFF":
        with contextlib.suppress(Exception):  # of damaged metadata; the pixels are checked by themselves
            if image.getexif().get(ORIENTATION, 1) not in (0, 1):
                found.append("EXIF rotation is not applied")
    return found


def _flattened(image: Image.Image, content: bytes, background: float | None) -> Image.Image:
    """The image on a background.  Raises Unusable where it has transparent pixels and there is none."""
    from PIL import Image

    if image.mode == "L" and image.format == "PNG" and "transparency" in image.info:
        # Pillow scales grey pixels of fewer bits to 8, but not the one that is transparent.
        image.info["transparency"] *= 255 // (2 ** content[PNG_DEPTH] - 1)
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:
        return image
    if background is None:
        raise Unusable("transparent pixels; set background: 0 for black to 1 for white")
    grey = round(255 * background)
    return Image.alpha_composite(Image.new("RGBA", image.size, (grey, grey, grey, 255)), image)


def _reason(error: Exception, listing: Listing, name: str) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Unusable):
        text = str(error)
    elif isinstance(error, UnidentifiedImageError):
        text = f"not a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"
    elif isinstance(error, Image.DecompressionBombError):
        text = f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, too large; make it smaller"
    elif isinstance(error, FileNotFoundError) and listing.table is not None:
        folder = (
            "write / for \\ in its name"
            if "\\" in name
            else f"`images` sets the folder, now {listing.root or os.curdir!r}"
        )
        text = f"no such file; {folder}"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = f"cannot be decoded: {error}"
    return " ".join(text.split())[:120]
