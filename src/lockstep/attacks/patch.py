"""A sticker: pixels that are anything, at a place, scale and angle that the attacker does not choose.

Brown et al. (2017), "Adversarial patch", with the expectation over transformations of Athalye et al. (2018),
"Synthesizing robust adversarial examples": each step draws new placements, and follows the sum of
the gradients.  A placed patch is a linear function of its pixels, so its gradient is the transpose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lockstep.attacks.attack import checked, require
from lockstep.attacks.balls import clip
from lockstep.attacks.gradient import STEPS, stride
from lockstep.attacks.losses import Name, uphill
from lockstep.attacks.victim import Victim
from lockstep.data.draws import Stream, by_image
from lockstep.errors import LockstepError

UNIFORMS = 4
"""Draws a placement: angle, scale, row, column."""
BLOCK = 64
"""Images whose bilinear weights are held at a time."""


@dataclass(frozen=True)
class Placement:
    """Ranges; every image draws uniformly from them, and the centre from where the patch, upright, fits."""

    rotation: float = 20
    """Degrees, to either side."""
    zoom: float = 0.2
    """Sides from 1 - zoom to 1 + zoom times the patch's."""

    def __post_init__(self) -> None:
        require("rotation", self.rotation, 0, 180)
        require("zoom", self.zoom, 0, 0.9)

    def weights(
        self, size: int, shape: tuple[int, ...], uniforms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """How much row i and column j of the patch add to each pixel: float32 [n, H W, size], twice.

        The pixel at (r, c) shows the patch at R(-angle) ((r, c) - centre) / scale + its own centre; the
        bilinear weight of patch pixel (i, j) is the product of a hat function of each axis.
        """
        angle = np.deg2rad(self.rotation) * (2 * uniforms[:, 0] - 1)
        scale = 1 + self.zoom * (2 * uniforms[:, 1] - 1)
        row, column = (
            _between(scale * size, length, u) for length, u in zip(shape, uniforms.T[2:], strict=True)
        )
        rows, columns = (grid.reshape(1, -1) for grid in np.indices(shape))
        down, right = rows - row[:, np.newaxis], columns - column[:, np.newaxis]
        cos, sin = (f(angle)[:, np.newaxis] / scale[:, np.newaxis] for f in (np.cos, np.sin))
        return _hats(cos * down + sin * right, size), _hats(cos * right - sin * down, size)


@dataclass(frozen=True, eq=False)
class Sticker:
    """A patch float32 [size, size, C], put on every image at random; it needs no victim."""

    patch: np.ndarray
    placement: Placement

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        images = checked(images, labels)
        return self.on(images, _draw(seed, first, len(images), 0))

    def on(self, images: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Images with the patch on them, placed by uniforms [n, UNIFORMS]."""
        found = np.empty_like(images)
        size = len(self.patch)
        for block, (rows, columns) in _blocks(self.placement, size, images.shape, uniforms):
            covered = (rows.sum(axis=2) * columns.sum(axis=2))[..., np.newaxis]
            by_column = np.tensordot(rows, self.patch, axes=1)  # [n, H W, size, C]
            pasted = np.einsum("npj,npjc->npc", columns, by_column)
            under = images[block].reshape(pasted.shape) * (1 - covered)
            found[block] = (under + pasted).reshape(found[block].shape)
        return clip(found)


@dataclass(frozen=True)
class Patch:
    """`size` x `size` pixels that raise the loss of any image that they are put on."""

    size: int = 8
    placement: Placement = Placement()
    steps: int = STEPS
    loss: Name = "cross_entropy"
    targeted: bool = False

    def __post_init__(self) -> None:
        require("size", self.size, 1)
        require("steps", self.steps, 0)
        uphill(self.loss, self.targeted)

    def fit(self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0) -> Sticker:
        """From grey, by steps along the sign of the gradient's mean over images and placements."""
        images = checked(images, labels)
        if self.size * (1 + self.placement.zoom) > min(images.shape[1:3]):
            raise LockstepError(
                f"size: a patch of {self.size} pixels, enlarged by {self.placement.zoom:g}, does not fit "
                f"into images of {images.shape[1]} x {images.shape[2]}"
            )
        patch = np.full((self.size, self.size, images.shape[3]), 0.5, np.float32)
        cotangent = uphill(self.loss, self.targeted)
        for step in range(1, self.steps + 1):
            uniforms = _draw(seed, 0, len(images), step)
            stuck = Sticker(patch, self.placement).on(images, uniforms)
            by_pixel = victim.gradient(stuck, labels, cotangent).reshape(len(images), -1, images.shape[3])
            by_patch = np.zeros(patch.shape)
            for block, (rows, columns) in _blocks(self.placement, self.size, images.shape, uniforms):
                by_column = columns[..., np.newaxis] * by_pixel[block][:, :, np.newaxis]
                by_patch += np.tensordot(rows, by_column, axes=([0, 1], [0, 1]))
            patch = clip(patch + np.float32(stride(self.steps)) * np.sign(by_patch, dtype=np.float32))
        return Sticker(patch, self.placement)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        """Fitted to the images, and put on them in new places."""
        return self.fit(victim, images, labels, seed)(victim, images, labels, seed, first)


def _draw(seed: int, first: int, count: int, step: int) -> np.ndarray:
    """Placements of one step, 0 for those that count: uniform [count, UNIFORMS]."""
    return by_image(seed, Stream.PATCH, first, count, lambda draw: draw.uniform(size=UNIFORMS), step)


def _blocks(
    placement: Placement, size: int, shape: tuple[int, ...], uniforms: np.ndarray
) -> Iterator[tuple[slice, tuple[np.ndarray, np.ndarray]]]:
    for start in range(0, len(uniforms), BLOCK):
        block = slice(start, start + BLOCK)
        yield block, placement.weights(size, shape[1:3], uniforms[block])


def _between(side: np.ndarray, length: int, uniforms: np.ndarray) -> np.ndarray:
    """Centres of a patch of some side that lies within an axis: its first pixel is at 0 or later."""
    return (side - 1) / 2 + uniforms * (length - side)


def _hats(places: np.ndarray, size: int) -> np.ndarray:
    """Bilinear weights of the patch's rows at places counted from its centre: [n, p] -> [n, p, size]."""
    rows = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    distance = places[..., np.newaxis].astype(np.float32) - rows
    return np.maximum(0, 1 - np.abs(distance))
