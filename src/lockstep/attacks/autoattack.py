"""AutoAttack, which papers on robustness report: four attacks, each on what still stands.

Croce & Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.apgd import APGD, TargetedAPGD
from lockstep.attacks.attack import Attack, checked
from lockstep.attacks.balls import Norm
from lockstep.attacks.fab import FAB
from lockstep.attacks.square import Square
from lockstep.attacks.standing import right
from lockstep.attacks.victim import Victim

FAST_STEPS, FAST_TARGETS = 25, 4


class Stage(NamedTuple):
    name: str
    """Of the part: apgd, apgd_targeted, fab, square."""
    images: np.ndarray
    """After this part, float32 [n, H, W, C]; one that stands is as it was."""
    standing: np.ndarray
    """Bool [n]: still classified right."""


@dataclass(frozen=True)
class AutoAttack:
    """The standard set in the standard order; fast: the first two parts, with fewer steps and targets."""

    eps: float
    norm: Norm = "linf"
    fast: bool = False

    def __post_init__(self) -> None:
        balls.check(self.norm, self.eps)

    def parts(self) -> dict[str, Attack]:
        if self.fast:
            return {
                "apgd": APGD(self.eps, self.norm, FAST_STEPS),
                "apgd_targeted": TargetedAPGD(self.eps, self.norm, FAST_STEPS, FAST_TARGETS),
            }
        return {
            "apgd": APGD(self.eps, self.norm),
            "apgd_targeted": TargetedAPGD(self.eps, self.norm),
            "fab": FAB(self.eps, self.norm),
            "square": Square(self.eps, self.norm),
        }

    def stages(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> Iterator[Stage]:
        """After each part, which is given the images as those before it left them: what has fallen is wrong
        already, costs nothing and stays as it is, whatever the part makes of it.
        """
        images = checked(images, labels)
        found, standing = images.copy(), right(victim.logits(images), labels)
        for name, part in self.parts().items():
            attacked = part(victim, found, labels, seed, first)
            fallen = standing & ~right(victim.logits(attacked), labels)
            found[fallen] = attacked[fallen]
            standing = standing & ~fallen
            yield Stage(name, found.copy(), standing)

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        *_, last = self.stages(victim, images, labels, seed, first)
        return last.images
