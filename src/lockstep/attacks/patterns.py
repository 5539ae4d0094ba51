"""One perturbation for all images: fitted to some, added to any.

Both attacks climb the sum over images of a function of the clipped sum, by sign steps (Shafahi et al.
2020, "Universal adversarial training").  The gradient is taken at the clipped images and passed straight
through the clip: on digits most pixels are 0, and a perturbation that has once gone below them could
otherwise never come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.attack import checked, require
from lockstep.attacks.balls import clip, steepest
from lockstep.attacks.gradient import STEPS, stride
from lockstep.attacks.losses import Name, uphill
from lockstep.attacks.victim import Cotangent, Victim

PICTURE_STEP = 0.5
"""Length of a step towards a picture, out of 14 between a grey and a black image of 28 x 28."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """A perturbation float32 [H, W, C], added to every image; it needs no victim."""

    delta: np.ndarray

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        return clip(checked(images, labels) + self.delta)


@dataclass(frozen=True)
class Universal:
    """The perturbation that raises the loss of all images together: Moosavi-Dezfooli et al. (2017)."""

    eps: float
    steps: int = STEPS
    loss: Name = "cross_entropy"
    targeted: bool = False

    def __post_init__(self) -> None:
        _require(self.eps, self.steps)
        uphill(self.loss, self.targeted)

    def fit(self, victim: Victim, images: np.ndarray, labels: np.ndarray) -> Pattern:
        cotangent = uphill(self.loss, self.targeted)
        return _climb(victim, images, labels, cotangent, self.eps, self.steps)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        """Fitted to the images that it is added to; `fit` on others shows what is universal about it."""
        return self.fit(victim, images, labels)(victim, images, labels)


@dataclass(frozen=True)
class MaximumActivation:
    """argmax over ||delta||_inf <= eps of the mean activation of one unit over all images.

    `unit` is a class if the victim is the whole network, and a unit or channel (the mean over its places)
    if the victim's spec ends at a hidden layer (`Spec.until`).  Labels play no part.
    """

    unit: int
    eps: float
    steps: int = STEPS

    def __post_init__(self) -> None:
        _require(self.eps, self.steps)
        require("unit", self.unit, 0)

    def fit(self, victim: Victim, images: np.ndarray) -> Pattern:
        units = np.full(len(images), self.unit)
        return _climb(victim, images, units, _activation, self.eps, self.steps)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        return self.fit(victim, images)(victim, images, labels)


def pictures(victim: Victim, start: np.ndarray, units: Sequence[int], steps: int = STEPS) -> np.ndarray:
    """What the network looks for: from an image [H, W, C] uphill, without a budget; float32 [units, H, W, C].

    Erhan et al. (2009), "Visualizing higher-layer features of a deep network".  Steps are along the
    gradient and of one length: its sign would draw every pixel that hardly matters black or white.
    Grey and the mean image are good places to start, unless the unit is a relu that is 0 there.
    """
    of = np.array(units)
    images = checked(np.stack([start] * len(of)), of)
    for _ in range(steps):
        step = PICTURE_STEP * steepest("l2", victim.gradient(images, of, _activation))
        images = clip(images + step.astype(np.float32))
    return images


def _climb(
    victim: Victim,
    images: np.ndarray,
    labels: np.ndarray,
    cotangent: Cotangent,
    eps: float,
    steps: int,
) -> Pattern:
    images = checked(images, labels)
    delta = np.zeros(images.shape[1:], np.float32)
    for _ in range(steps):
        gradient = victim.gradient(clip(images + delta), labels, cotangent).sum(axis=0)
        step = stride(steps) * eps * np.sign(gradient)
        delta = np.clip(delta + step.astype(np.float32), -eps, eps)
    return Pattern(delta)


def _activation(outputs: np.ndarray, units: np.ndarray) -> np.ndarray:
    """1 at each image's unit, at all places of a feature map: [n, ..., units] float64."""
    found = np.zeros(outputs.shape)
    for one, unit in zip(found, units, strict=True):
        one[..., unit] = 1
    return found


def _require(eps: float, steps: int) -> None:
    balls.check("linf", eps)
    require("steps", steps, 0)
