"""Noise at the eps of an attack: the control that shows an attack to be more than noise.

No network is asked; each image is changed by draws of its own, and clipped to the box.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.attack import checked, require
from lockstep.attacks.balls import Norm, clip
from lockstep.attacks.victim import Victim
from lockstep.data.draws import Stream, generator


class Unaimed(ABC):
    """An attack that does not look at the network: victim and labels play no part."""

    stream: ClassVar[Stream]

    def __call__(
        self, victim: Victim | None, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        images = checked(images, labels)
        changed = [
            self.change(image, generator(seed, self.stream, number))
            for number, image in enumerate(images.astype(np.float64), first)
        ]
        return clip(np.stack(changed)).astype(np.float32)

    @abstractmethod
    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """One image [H, W, C], float64, before it is clipped."""


@dataclass(frozen=True)
class _Noise(Unaimed):
    eps: float
    stream = Stream.ATTACK_NOISE

    def __post_init__(self) -> None:
        require("eps", self.eps, 0, 1)


@dataclass(frozen=True)
class UniformNoise(Unaimed):
    """x + a draw from all that an attack in this norm may add: in linf U(-eps, eps) of each pixel."""

    eps: float
    norm: Norm = "linf"
    stream = Stream.ATTACK_NOISE

    def __post_init__(self) -> None:
        balls.check(self.norm, self.eps)

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return image + balls.random(self.norm, image.shape, self.eps, draw)


class GaussianNoise(_Noise):
    """x + N(0, eps): eps is the standard deviation."""

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        return image + self.eps * draw.standard_normal(image.shape)


class SaltAndPepper(_Noise):
    """A share eps of the pixels, half of them black and half white."""

    def change(self, image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        u = draw.uniform(size=image.shape)
        return np.where(u < self.eps / 2, 0, np.where(u >= 1 - self.eps / 2, 1, image))
