"""How well networks do on attacked images."""

from __future__ import annotations

import numpy as np

from lockstep.attacks.attack import Attack
from lockstep.attacks.honesty import unsteady
from lockstep.attacks.victim import Victim


def accuracy(victim: Victim, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose largest logit is the label's; of equal logits the first counts."""
    return float((victim.logits(images).argmax(axis=-1) == labels).mean())


def unsteadiness(victim: Victim, images: np.ndarray) -> float:
    """Share of images that are answered differently when they are shown again, in another order: what others
    are shown beside an image must not matter either."""
    return unsteady(victim.logits(images), victim.logits(images[::-1])[::-1])


def accuracy_under(
    attack: Attack, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0
) -> float:
    """White-box: the attack knows the network that it is measured on."""
    return transfer_accuracy(attack, victim, victim, images, labels, seed)


def transfer_accuracy(
    attack: Attack, source: Victim, target: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0
) -> float:
    """Crafted on one network, measured on another.  For the same weights in two backends this must equal the
    white-box accuracy."""
    return accuracy(target, attack(source, images, labels, seed), labels)
