"""Augmentation: every image of a batch shifted, zoomed and rotated by draws of its own, in NumPy.

The transformations are those of Keras's ImageDataGenerator (3.15), whose images this module gives to
1e-6 when it is fed with the same draws; a test holds it to that.  Two names differ: there, the *width*
shift moves images vertically; here it moves them along their width.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from pydantic import Field

from lockstep.settings import Settings

UNIFORMS = 8
"""Draws an image: angle, two shifts, shear, two zooms, two flips; drawn even where they are off."""
BITS = 22
"""Of a coordinate's fraction; the ten above hold coordinates of up to 64 pixels, eight times over."""
BLOCK = 64
"""Images at a time, whose arrays stay in the cache."""


class Augmentation(Settings):
    """Ranges; every image draws uniformly from them, each time it is seen."""

    height_shift: float = Field(default=0.2, ge=0, lt=1, description="up or down, share of the height")
    width_shift: float = Field(default=0.2, ge=0, lt=1, description="left or right, share of the width")
    zoom: float = Field(default=0.2, ge=0, lt=1, description="each axis by a factor from 1-zoom to 1+zoom")
    rotation: float = Field(default=30, ge=0, le=180, description="degrees, to either side")
    shear: float = Field(default=0, ge=0, lt=90, description="degrees, to either side")
    horizontal_flip: bool = False
    vertical_flip: bool = False
    fill: Literal["nearest", "constant"] = Field(default="nearest", description="beyond the edge")
    fill_value: float = Field(default=0, ge=0, le=1, description="of constant: 0 black, 1 white")


def augment(settings: Augmentation, images: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Images uint8 [n, H, W, C] and draws [0, 1) [n, UNIFORMS] -> float32 [n, H, W, C], pixels 0 to 255."""
    maps = inverse_maps(settings, images.shape[1:3], uniforms)
    result = np.empty(images.shape, np.float32)
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        result[block] = warp(images[block], maps[block], settings)
    return result


def inverse_maps(settings: Augmentation, shape: tuple[int, ...], uniforms: np.ndarray) -> np.ndarray:
    """Where the pixels of an augmented image come from: float64 [n, 2, 3].

    maps[i] @ (column, row, 1) is the place in the original that (column, row) of image i shows:
    centre + rotation (shift + shear zoom (place - centre)).  So a zoom above 1 shrinks, and shifts are
    rotated but not zoomed.
    """
    height, width = shape
    signed = 2 * uniforms - 1
    angle, shear = np.deg2rad(settings.rotation * signed[:, 0]), np.deg2rad(settings.shear * signed[:, 3])
    shift_x = settings.width_shift * width * signed[:, 1]
    shift_y = settings.height_shift * height * signed[:, 2]
    zoom_x, zoom_y = 1 + settings.zoom * signed[:, 4], 1 + settings.zoom * signed[:, 5]
    cos, sin = np.cos(angle), np.sin(angle)

    maps = np.empty((len(uniforms), 2, 3))
    maps[:, 0, 0], maps[:, 1, 0] = cos * zoom_x, sin * zoom_x
    sheared_x, sheared_y = -np.sin(shear) * zoom_y, np.cos(shear) * zoom_y
    maps[:, 0, 1], maps[:, 1, 1] = cos * sheared_x - sin * sheared_y, sin * sheared_x + cos * sheared_y
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shifts = np.stack([cos * shift_x - sin * shift_y, sin * shift_x + cos * shift_y], axis=-1)
    maps[:, :, 2] = centre + shifts - maps[:, :, :2] @ centre
    for axis, (wanted, size) in enumerate(
        [(settings.horizontal_flip, width), (settings.vertical_flip, height)]
    ):
        flipped = (uniforms[:, 6 + axis] < 0.5) & wanted
        maps[flipped, :, 2] += maps[flipped, :, axis] * (size - 1)
        maps[flipped, :, axis] *= -1
    return maps


def warp(images: np.ndarray, maps: np.ndarray, settings: Augmentation) -> np.ndarray:
    """Bilinear samples of [n, H, W, C], uint8 or any scale, at the places of `maps`: float32 [n, H, W, C].

    Coordinates are integers in units of 2^-BITS pixels.  float32 would be off by more than 1e-6 of a
    pixel's value, and float64 takes twice as long.
    """
    count, height, width, channels = images.shape
    bits = BITS - max(0, math.ceil(math.log2(max(height, width) / 64)))
    x, y = (
        _fixed(maps[:, axis, 1:2] * np.arange(height) + maps[:, axis, 2:], bits)[:, :, np.newaxis]
        + _fixed(maps[:, axis, 0:1] * np.arange(width), bits)[:, np.newaxis, :]
        for axis in (0, 1)
    )
    outside = None
    if settings.fill == "constant":
        outside = (x < 0) | (x > (width - 1) << bits) | (y < 0) | (y > (height - 1) << bits)
    left, across = _split(x, width, bits)
    top, down = _split(y, height, bits)
    first = (np.arange(count) * (height * width))[:, np.newaxis, np.newaxis] + (top * width + left)

    pixels = images.reshape(-1, channels).astype(np.float32)
    # The four pixels around each place; behind the last pixel there is none, and its share is 0.  `mode` is
    # there because it spares a check of every index.
    last = len(pixels) - 1
    upper, upper_right, lower, lower_right = (
        pixels[min(offset, last) :].take(first, axis=0, mode="clip") for offset in (0, 1, width, width + 1)
    )
    mixtures = (upper, upper_right, across), (lower, lower_right, across), (upper, lower, down)
    for nearer, farther, share in mixtures:
        farther -= nearer
        farther *= share
        nearer += farther
    if outside is not None:
        upper[outside] = np.float32(255 * settings.fill_value)
    return upper


def _fixed(values: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(values * 2.0**bits).astype(np.int32)


def _split(places: np.ndarray, size: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Fixed-point places, moved into the image: the pixel before each, and the share of the one after."""
    np.clip(places, 0, (size - 1) << bits, out=places)
    before = np.minimum(places >> bits, max(size - 2, 0))
    share = (places - (before << bits)).astype(np.float32)
    share *= np.float32(2.0**-bits)
    return before, share[..., np.newaxis]
