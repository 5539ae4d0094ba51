"""Corruptions after MNIST-C (Mu & Gilmer 2019), at its severities; and shifts by any number of pixels.

Signs (which way it turns, shears or shifts) are drawn for each image.  What comes in from outside the image
is black, as there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from lockstep.attacks.attack import require
from lockstep.attacks.noise import SaltAndPepper, Unaimed
from lockstep.data.augmentation import Augmentation, warp
from lockstep.data.draws import Stream

BLACK = Augmentation(fill="constant", fill_value=0)


class Corruption(Unaimed):
    stream = Stream.CORRUPTION


@dataclass(frozen=True)
class ShotNoise(Corruption):
    """Counted light: Poisson(x photons) / photons."""

    photons: float = 3

    def __post_init__(self) -> None:
        require("photons", self.photons, 1e-3, 1e6)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return draw.poisson(image * self.photons) / self.photons


@dataclass(frozen=True)
class ImpulseNoise(Corruption):
    """A share of the pixels becomes black or white."""

    amount: float = 0.17

    def __post_init__(self) -> None:
        require("amount", self.amount, 0, 1)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return SaltAndPepper(self.amount).change(image, draw)


@dataclass(frozen=True)
class Shear(Corruption):
    """Upright lines lean by an angle (radians) to either side, and keep their length."""

    angle: float = 0.4

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        angle = _sign(draw) * self.angle
        return about_centre(image, [[1, -math.sin(angle)], [0, math.cos(angle)]])


@dataclass(frozen=True)
class Scale(Corruption):
    """Shrunk (below 1) or grown about the centre."""

    factor: float = 0.7

    def __post_init__(self) -> None:
        require("factor", self.factor, 0.01, 100)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return about_centre(image, [[1 / self.factor, 0], [0, 1 / self.factor]])


@dataclass(frozen=True)
class Rotate(Corruption):
    """Turned by an angle (radians) to either side."""

    angle: float = 0.4

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        angle = _sign(draw) * self.angle
        cos, sin = math.cos(angle), math.sin(angle)
        return about_centre(image, [[cos, -sin], [sin, cos]])


@dataclass(frozen=True)
class Brightness(Corruption):
    """All pixels brighter by the same amount."""

    amount: float = 0.5

    def __post_init__(self) -> None:
        require("amount", self.amount, -1, 1)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return image + self.amount


@dataclass(frozen=True)
class Translate(Corruption):
    """Moved along both axes by whole pixels, each to either side."""

    pixels: int = 3

    def __post_init__(self) -> None:
        require("pixels", self.pixels, 0)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return shifted(image, _sign(draw) * self.pixels, _sign(draw) * self.pixels)


@dataclass(frozen=True)
class Shift(Corruption):
    """Moved down and right (up and left below 0): accuracy against shift is a curve of these."""

    down: int = 0
    right: int = 0

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return shifted(image, self.down, self.right)


@dataclass(frozen=True)
class Stripe(Corruption):
    """The outer quarters inverted: columns 0 to 6 and 21 to 27 of a digit."""

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        width = image.shape[1]
        column = np.arange(width)
        outer = (column < width // 4) | (column >= width - width // 4)
        return np.where(outer[:, np.newaxis], 1 - image, image)


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "shot noise": ShotNoise(),
        "impulse noise": ImpulseNoise(),
        "shear": Shear(),
        "scale": Scale(),
        "rotate": Rotate(),
        "brightness": Brightness(),
        "translate": Translate(),
        "stripe": Stripe(),
    }
)


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """[H, W, C] moved by whole pixels, exactly; black comes in."""
    height, width = image.shape[:2]
    down, right = (max(-size, min(size, by)) for by, size in ((down, height), (right, width)))
    moved = np.zeros_like(image)
    moved[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = image[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return moved


def about_centre(image: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    """Bilinear: the pixel at centre + v shows what was at centre + matrix v, v = (column, row)."""
    centre = (np.array(image.shape[1::-1]) - 1) / 2
    maps = np.column_stack([matrix, centre - np.array(matrix) @ centre])
    return warp(image[np.newaxis], maps[np.newaxis], BLACK)[0]


def _sign(draw: np.random.Generator) -> int:
    return 1 if draw.uniform() < 0.5 else -1
