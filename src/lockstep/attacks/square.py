"""Square, a random search that asks the network for its logits alone.

Andriushchenko et al. (2020), "Square Attack: a query-efficient black-box adversarial attack via random
search".  A defence that only hides its gradient does not stop it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.attack import checked, require
from lockstep.attacks.balls import Norm
from lockstep.attacks.losses import SMALLEST, lead
from lockstep.attacks.standing import packed, right
from lockstep.attacks.victim import Victim
from lockstep.data.draws import Stream, generator

SHARE = 0.8
"""Of an image's pixels, what the first squares cover: p in the paper."""
HALVED = 10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000
"""After these queries of 10,000 the share is halved."""
BLOCK = 100
"""Queries that an image draws numbers for at a time."""
TILES = 5
"""Along a side of the image, which the search in l2 starts from."""
Draw = Callable[..., np.ndarray]
"""(*shape) -> uniform numbers of each image: float64 [n, *shape]."""


@dataclass(frozen=True)
class Square:
    """A square at a random place takes one colour (linf), or the change of another place (l2); it stays
    where the lead of the best other class grows.

    An image is asked about until it is misclassified, and its numbers come from a generator of its own.
    """

    eps: float
    norm: Norm = "linf"
    queries: int = 5000
    """Of each image, its start being the first."""

    def __post_init__(self) -> None:
        balls.check(self.norm, self.eps)
        require("queries", self.queries, 1)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        images = checked(images, labels)
        _, height, width, channels = images.shape
        start, moved = (_stripes, _painted) if self.norm == "linf" else (_tiled, _exchanged)
        rows = np.flatnonzero(right(packed(victim, len(images)).logits(images), labels))
        found, ahead = images.copy(), np.full(len(images), -np.inf)
        numbers = np.empty((len(rows), BLOCK, 5 + channels))

        def draw(tensor: int, *shape: int) -> np.ndarray:
            generators = (generator(seed, Stream.SQUARE, first + row, tensor) for row in rows.tolist())
            return np.stack([each.uniform(size=shape) for each in generators])

        for query in range(self.queries):
            if not len(rows):
                break
            block, place = divmod(query - 1, BLOCK)
            if query == 0:
                offered = start(images[rows], self.eps, draw)
            else:
                if place == 0:
                    numbers = draw(1 + block, *numbers.shape[1:])
                side = self.side(query, height, width)
                offered = moved(images[rows], found[rows], self.eps, side, numbers[:, place])
            logits = packed(victim, len(rows)).logits(offered)
            leads, stand = lead(logits, labels[rows]), right(logits, labels[rows])
            better = (leads > ahead[rows]) | ~stand
            found[rows[better]], ahead[rows[better]] = offered[better], leads[better]
            if not stand.all():
                rows = rows[stand]
                numbers = numbers[stand]
        return found

    def side(self, query: int, height: int, width: int) -> int:
        """Of the square of a query."""
        halvings = np.searchsorted(HALVED, int(query / self.queries * 10_000))
        side = round(math.sqrt(SHARE / 2**halvings * height * width))
        if self.norm == "l2":
            side = max(side, 3)
            side += side % 2 == 0
        return min(max(side, 1), height, width)


# linf: every pixel at the edge of its budget


def _stripes(images: np.ndarray, eps: float, draw: Draw) -> np.ndarray:
    signs = _signs(draw(0, 1, *images.shape[2:]))
    return balls.clip(images + np.float32(eps) * signs)


def _painted(images: np.ndarray, best: np.ndarray, eps: float, side: int, numbers: np.ndarray) -> np.ndarray:
    signs = _signs(numbers[:, 5:])[:, np.newaxis, np.newaxis]
    window = _window(numbers[:, :2], side, best)
    painted = best.copy()
    painted[window] = balls.clip(images[window] + np.float32(eps) * signs)
    return painted


# l2: the whole length of the budget, moved from place to place


def _tiled(images: np.ndarray, eps: float, draw: Draw) -> np.ndarray:
    """Bumps side by side, each of a sign and a direction of its own."""
    height, width, channels = images.shape[1:]
    side = max(min(height, width) // TILES, 1)
    tall, wide = height // side, width // side
    numbers, change = draw(0, tall, wide, 1 + channels), np.zeros(images.shape)
    for row, column in np.ndindex(tall, wide):
        top, left = (height - tall * side) // 2 + row * side, (width - wide * side) // 2 + column * side
        one = numbers[:, row, column]
        change[:, top : top + side, left : left + side] = _bumps(side, one[:, 0], one[:, 1:])
    return _at_length(images, change, eps)


def _exchanged(
    images: np.ndarray, best: np.ndarray, eps: float, side: int, numbers: np.ndarray
) -> np.ndarray:
    """The change of one window is spent on a bump in another, with what of the budget was left."""
    change = best.astype(np.float64) - images
    window, other = _window(numbers[:, :2], side, best), _window(numbers[:, 2:4], side, best)
    squared = np.square(change)
    unspent = np.maximum(eps**2 - squared.sum(axis=(1, 2, 3)), 0) / best.shape[-1]
    either = np.zeros(best.shape[:3], bool)
    either[window] = either[other] = True
    budget = np.einsum("nhwc,nhw->nc", squared, either) + unspent[:, np.newaxis]
    bumps = _bumps(side, numbers[:, 4], numbers[:, 5:]) + _unit(change[window])
    change[other] = 0
    change[window] = _unit(bumps) * np.sqrt(budget)[:, np.newaxis, np.newaxis]
    return _at_length(images, change, eps)


def _at_length(images: np.ndarray, change: np.ndarray, eps: float) -> np.ndarray:
    return balls.clip(images + eps * balls.steepest("l2", change)).astype(np.float32)


def _unit(change: np.ndarray) -> np.ndarray:
    """Each channel of [n, h, w, channels] at length 1."""
    return change / np.maximum(np.linalg.norm(change, axis=(1, 2), keepdims=True), SMALLEST)


def _bumps(side: int, turns: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """[n, side, side, channels]; half of them turned; turns: uniform [n], signs: uniform [n, channels]."""
    bump = np.where((turns > 0.5)[:, np.newaxis, np.newaxis], _bump(side).T, _bump(side))
    return bump[..., np.newaxis] * _signs(signs)[:, np.newaxis, np.newaxis]


@cache
def _bump(side: int) -> np.ndarray:
    """A hill above a valley, of length 1: float64 [side, side]."""
    bump = np.concatenate([_hill(side // 2, side), -_hill(side - side // 2, side)])
    return bump / np.linalg.norm(bump)


def _hill(height: int, width: int) -> np.ndarray:
    """Squares about the middle, the one of radius k being 1 / (k + 1)^2 high, of length 1 in all."""
    rows, columns = np.arange(height)[:, np.newaxis], np.arange(width)
    radius = np.maximum(np.abs(rows - height // 2), np.abs(columns - width // 2))
    heights = 1 / (1.0 + np.arange(max(height, width) // 2 + 1)) ** 2
    hill = np.cumsum(heights[::-1])[::-1][radius]
    return hill / max(float(np.linalg.norm(hill)), SMALLEST)


def _window(places: np.ndarray, side: int, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An index into [n, H, W, ...] that gives [n, side, side, ...]; places: uniform [n, 2]."""
    room = np.array(images.shape[1:3]) - side + 1
    corner, along = (places * room).astype(int), np.arange(side)
    rows, columns = corner[:, :1] + along, corner[:, 1:] + along
    return np.arange(len(images))[:, np.newaxis, np.newaxis], rows[:, :, np.newaxis], columns[:, np.newaxis]


def _signs(uniform: np.ndarray) -> np.ndarray:
    return np.where(uniform < 0.5, np.float32(-1), np.float32(1))
