"""From image files to pixels.  A file that cannot be used is told with its reason, never replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Literal, NamedTuple

from lockstep.data.listing import Listing
from lockstep.data.store import Refused

ColourMode = Literal["grayscale", "rgb"]
Interpolation = Literal["nearest", "bilinear", "none"]

CHANNELS: dict[ColourMode, int] = {"grayscale": 1, "rgb": 3}
MODES: dict[ColourMode, str] = {"grayscale": "L", "rgb": "RGB"}
"""Pillow's names."""
FORMATS = ("PNG", "JPEG", "BMP", "PPM", "TIFF")
EIGHT_BITS = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}
BLOCK_BYTES = 1 << 22


class Block(NamedTuple):
    pixels: bytes
    """Images uint8 [k, H, W, C], one after the other."""
    kept: list[int]
    """Their positions in the listing."""
    refused: list[Refused]


class Unusable(Exception):
    """Why a file is no image of the source."""


def blocks(
    listing: Listing, size: tuple[int, int], colour_mode: ColourMode, interpolation: Interpolation
) -> Iterator[Block]:
    """All files of a listing in its order, some megabytes at a time."""
    read = _reader(size, colour_mode, interpolation)
    count = max(1, BLOCK_BYTES // (size[0] * size[1] * CHANNELS[colour_mode]))
    for start in range(0, len(listing.names), count):
        pixels, kept, refused = [], [], []
        for place, name in enumerate(listing.names[start : start + count], start):
            try:
                pixels.append(read(os.path.join(listing.root, name)))
                kept.append(place)
            except MemoryError:
                raise
            except Exception as error:  # Pillow raises many kinds for a damaged file
                refused.append((name, _reason(error)))
        yield Block(b"".join(pixels), kept, refused)


def _reader(
    size: tuple[int, int], colour_mode: ColourMode, interpolation: Interpolation
) -> Callable[[str], bytes]:
    """path -> uint8 [H, W, C] as bytes; as Keras, it converts colours first and then resizes."""
    from PIL import Image  # only sources on disk need it

    mode, shape = MODES[colour_mode], (size[1], size[0])
    resample = Image.Resampling.BILINEAR if interpolation == "bilinear" else Image.Resampling.NEAREST

    def read(path: str) -> bytes:
        with open(path, "rb", buffering=0) as file:
            content = file.read()
        image: Image.Image = Image.open(BytesIO(content), formats=FORMATS)
        if interpolation == "none" and image.size != shape:
            raise Unusable(
                f"{image.height}x{image.width} pixels, expected {size[0]}x{size[1]}; or set interpolation"
            )
        if image.mode not in EIGHT_BITS:
            raise Unusable(f"pixels of kind {image.mode}, expected 8 bits a channel")
        if image.mode != mode:
            image = image.convert(mode)
        if image.size != shape:
            image = image.resize(shape, resample)
        return image.tobytes()

    return read


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, Unusable):
        text = str(error)
    elif isinstance(error, UnidentifiedImageError):
        text = "not an image in a known format"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = f"damaged: {error}"
    return " ".join(text.split())[:120]
