"""FAB, which looks for the nearest image that is misclassified, whatever its distance.

Croce & Hein (2020), "Minimally distorted adversarial examples with a fast adaptive boundary attack": the
targeted version, as in AutoAttack, with the final search of the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.attack import checked, require
from lockstep.attacks.balls import Norm
from lockstep.attacks.losses import SMALLEST, lead, pair_difference
from lockstep.attacks.standing import likely, packed, right
from lockstep.attacks.victim import Victim

ALPHA_MAX = 0.1
"""The largest weight of the step that starts from the clean image."""
ETA = 1.05
"""Steps go beyond the boundary by this factor, as it is not quite a plane."""
BETA = 0.9
"""How much of its distance a misclassified image keeps when it steps back towards the clean one."""
FINAL_STEPS, BEYOND = 3, 1e-3
"""Of the search on the line back to the clean image.  It aims beyond the boundary by that share of the line:
on a straight one, rounding would else leave half of the images right."""
TOGETHER = 50
"""Images, each with all its targets: enough to fill calls, few enough to stay in a cache."""


@dataclass(frozen=True)
class FAB:
    """Steps to the linearised boundary between the label and each of the most likely other classes.

    No random numbers: it starts from the image itself.
    """

    eps: float
    norm: Norm = "linf"
    steps: int = 100
    targets: int = 9
    """Other classes, the most likely first; all of them where there are fewer."""

    def __post_init__(self) -> None:
        balls.check(self.norm, self.eps)
        require("steps", self.steps, 1)
        require("targets", self.targets, 1)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        """Images that it cannot break within eps come back as they were."""
        images = checked(images, labels)
        found, distances = self._search(victim, images, labels, enough=self.eps)
        found[distances > self.eps] = images[distances > self.eps]
        return found

    def nearest(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest misclassified image found, and its distance in the norm, whatever eps is.

        float32 [n, H, W, C] and float64 [n]: 0 where the image is wrong as it is, infinity, and the image
        itself, where none was found.
        """
        return self._search(victim, checked(images, labels), labels, enough=0)

    def _search(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, enough: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """`nearest`, but an image is left alone once it is broken within `enough`."""
        found, distances = images.copy(), np.zeros(len(images))
        logits = packed(victim, len(images)).logits(images)
        standing = np.flatnonzero(right(logits, labels))
        for start in range(0, len(standing), TOGETHER):
            rows = standing[start : start + TOGETHER]
            pairs = _pairs(logits[rows], labels[rows], self.targets)
            found[rows], distances[rows] = self._nearest(victim, images[rows], pairs, enough)
        return found, distances

    def _nearest(
        self, victim: Victim, images: np.ndarray, pairs: np.ndarray, enough: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of images that are right; pairs: (label, target), int [n, targets, 2]."""
        found, distances = images.copy(), np.full(len(images), math.inf)
        labels, of = pairs[:, 0, 0], np.repeat(np.arange(len(images)), pairs.shape[1])
        pairs, x = pairs.reshape(-1, 2), images[of]
        for _ in range(self.steps):
            asked = packed(victim, len(x))
            x = self._step(asked, images[of], x, pairs)
            wrong = np.flatnonzero(~right(asked.logits(x), pairs[:, 0]))
            lengths = self._lengths(x[wrong] - images[of[wrong]])
            nearer = lengths < distances[of[wrong]]
            # Several targets may have found one; the nearest is written last, and stays.
            for_image = np.argsort(-lengths[nearer])
            best, lengths = wrong[nearer][for_image], lengths[nearer][for_image]
            found[of[best]], distances[of[best]] = x[best], lengths
            x[wrong] = _between(images[of[wrong]], x[wrong], BETA)
            left = distances[of] > enough
            of, pairs, x = of[left], pairs[left], x[left]
            if not len(of):
                break
        far = np.isfinite(distances) & (distances > enough)
        if far.any():
            asked = packed(victim, int(far.sum()))
            found[far] = _closer(asked, images[far], found[far], labels[far])
            distances[far] = self._lengths(found[far] - images[far])
        return found, distances

    def _step(self, victim: Victim, images: np.ndarray, x: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Towards the boundary from x, and a little from the clean image, which keeps it near."""
        logits, gradient = victim.logits_and_gradient(x, pairs, pair_difference)
        rows = np.arange(len(x))
        ahead = logits[rows, pairs[:, 1]].astype(np.float64) - logits[rows, pairs[:, 0]]
        normal, here, clean = (array.reshape(len(x), -1) for array in (gradient, x, images))
        from_here = onto_plane(self.norm, here, normal, -ahead)
        across = np.einsum("np,np->n", normal, here.astype(np.float64) - clean)
        from_clean = onto_plane(self.norm, clean, normal, across - ahead)
        near, far = (
            np.maximum(self._lengths(change), 1e-8)[:, np.newaxis] for change in (from_here, from_clean)
        )
        weight = np.minimum(near / (near + far), ALPHA_MAX)
        moved = (1 - weight) * (here + ETA * from_here) + weight * (clean + ETA * from_clean)
        return balls.clip(moved).astype(np.float32).reshape(x.shape)

    def _lengths(self, change: np.ndarray) -> np.ndarray:
        """In the norm: float64 [n]."""
        change = change.reshape(len(change), math.prod(change.shape[1:])).astype(np.float64)
        return np.linalg.norm(change, np.inf if self.norm == "linf" else 2, axis=1)


def onto_plane(norm: Norm, points: np.ndarray, normal: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The smallest change that brings each point of the box onto normal . change = offset, within the box.

    points, normal: [n, pixels]; offset: [n]; returns float64 [n, pixels].  Where the box does not reach the
    plane, the change to its nearest corner.

    Such a change is min(t rate, room) in the direction that `normal` gives each pixel, the rate being 1 in
    linf and |normal| in l2, and room what the box leaves.  What it covers, sum |normal| min(t rate, room),
    is concave in t and made of straight pieces.  So Newton's method from t = 0 never goes too far, each pixel
    that it finds at the edge of the box stays there, and when no other does, t is exact.
    """
    normal = normal * np.where(offset < 0, -1.0, 1.0)[:, np.newaxis]
    scale = np.maximum(np.abs(normal).max(axis=1, keepdims=True), SMALLEST)
    size, to_cover = np.abs(normal) / scale, np.abs(offset) / scale[:, 0]
    rate = (size > 0).astype(np.float64) if norm == "linf" else size
    room = np.where(normal > 0, 1 - points, points) * (size > 0)
    free = room > 0
    while True:
        slope = np.einsum("np,np->n", size * rate, free)
        covered = np.einsum("np,np->n", size * room, ~free)
        t = np.where(slope > 0, np.maximum(to_cover - covered, 0) / np.maximum(slope, SMALLEST**2), 0)
        at_edge = free & (t[:, np.newaxis] * rate >= room)
        if not at_edge.any():
            return np.sign(normal) * np.where(free, t[:, np.newaxis] * rate, room)
        free &= ~at_edge


def _pairs(logits: np.ndarray, labels: np.ndarray, targets: int) -> np.ndarray:
    """(label, target) for each of the most likely other classes: int [n, at most targets, 2]."""
    chosen = likely(logits, labels, targets)
    return np.stack([np.broadcast_to(labels[:, np.newaxis], chosen.shape), chosen], axis=-1)


def _between(start: np.ndarray, end: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Points of the lines from start to end: float32."""
    return (start + share * (end.astype(np.float64) - start)).astype(np.float32)


def _closer(victim: Victim, low: np.ndarray, high: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The paper's final search: on the line from a clean image to a wrong one, where the lead would be 0 if
    it were straight; always a wrong image."""
    low, high = low.copy(), high.copy()
    ahead = {side: lead(victim.logits(x), labels) for side, x in (("low", low), ("high", high))}
    for _ in range(FINAL_STEPS):
        share = -ahead["low"] / np.maximum(ahead["high"] - ahead["low"], SMALLEST)
        share = np.minimum(share + BEYOND, 1)
        middle = _between(low, high, share[:, np.newaxis, np.newaxis, np.newaxis])
        logits = victim.logits(middle)
        held = right(logits, labels)
        for side, x, mine in (("low", low, held), ("high", high, ~held)):
            x[mine], ahead[side][mine] = middle[mine], lead(logits, labels)[mine]
    return high
