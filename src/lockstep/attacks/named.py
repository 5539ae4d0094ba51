"""Attacks by the names that a command line and a config use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lockstep.attacks.attack import Attack
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.noise import GaussianNoise, SaltAndPepper, UniformNoise
from lockstep.attacks.patterns import Universal
from lockstep.attacks.scores import accuracy_under
from lockstep.attacks.victim import Victim
from lockstep.errors import LockstepError

NAMED: dict[str, Callable[[float, int], Attack]] = {
    "fgsm": lambda eps, steps: FGSM(eps),
    "bim": lambda eps, steps: PGD(eps, steps=steps, random_start=False),
    "pgd": lambda eps, steps: PGD(eps, steps=steps),
    "pgd_margin": lambda eps, steps: PGD(eps, steps=steps, loss="margin"),
    "pgd_l2": lambda eps, steps: PGD(eps, norm="l2", steps=steps),
    "mifgsm": lambda eps, steps: PGD(eps, steps=steps, momentum=1.0, random_start=False),
    "universal": lambda eps, steps: Universal(eps, steps=steps),
    "uniform_noise": lambda eps, steps: UniformNoise(eps),
    "uniform_noise_l2": lambda eps, steps: UniformNoise(eps, "l2"),
    "gaussian_noise": lambda eps, steps: GaussianNoise(eps),
    "salt_and_pepper": lambda eps, steps: SaltAndPepper(eps),
}
"""{name: (eps, steps) -> attack}; those of one step take no notice of steps."""


@dataclass(frozen=True)
class Attacked:
    """Accuracy under one attack at one eps, on n images."""

    attack: str
    eps: float
    accuracy: float
    n: int


def named(name: str, eps: float, steps: int) -> Attack:
    """Raises LockstepError for a name that is not known, or an eps or steps that the attack refuses."""
    if name not in NAMED:
        raise LockstepError(f"unknown attack {name!r}; known: {', '.join(NAMED)}")
    try:
        return NAMED[name](eps, steps)
    except LockstepError as error:
        raise LockstepError(f"{name}: {error}") from None


def grid(
    victim: Victim,
    images: np.ndarray,
    labels: np.ndarray,
    attacks: Sequence[tuple[str, float, Attack]],
    seed: int,
    advance: Callable[[str], None] = lambda what: None,
) -> Iterator[Attacked]:
    """Each (name, eps, attack) in turn; `advance` is told before each."""
    for name, eps, attack in attacks:
        advance(f"{name} {eps:g}")
        yield Attacked(name, eps, accuracy_under(attack, victim, images, labels, seed), len(labels))
