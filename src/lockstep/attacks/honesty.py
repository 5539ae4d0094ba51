"""What must hold if an attack was strong enough to speak of robustness: checks over measured accuracies.

After Carlini et al. (2019), "On evaluating adversarial robustness", and Athalye et al. (2018), "Obfuscated
gradients give a false sense of security".  A check that fails says that the numbers it names are upper
bounds: a stronger attack leaves less right.  It never says that the network is robust.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

SLACK = 0.01
"""By which accuracies may fall on the wrong side: some images near a boundary are luck."""
SETTLED = 0.02
"""More than this found by more steps, another start or another loss means that there was too little."""
BEHIND = 0.05
"""An attack that leaves so much more than others leave is too weak to speak of robustness."""
SATURATED = 1e-6
"""1 - p_true below which softmax - target is mostly rounding in float32."""
ROUNDING = 1e-9
"""Of shares: 0.2 - 0.18 is a little more than 0.02, and must not fail for that."""
LARGE = 0.5
"""An eps at which every image can be made the same grey one."""

Number = tuple[str, float]
"""(attack, eps): the accuracy under it."""


class Check(NamedTuple):
    name: str
    passed: bool
    detail: str
    attack: str = ""
    """That it speaks of, where it speaks of one."""
    eps: float | None = None
    """That it was measured at; None for several."""
    bounds: tuple[Number, ...] = ()
    """Which are upper bounds if it fails."""

    def __str__(self) -> str:
        size = "" if self.eps is None else f"eps {self.eps:g}"
        where = ", ".join(part for part in (self.attack, size) if part)
        return f"{where}: {self.detail}" if where else self.detail

    def makes_upper_bound(self, attack: str, eps: float) -> bool:
        return not self.passed and (attack, eps) in self.bounds


def _above(value: float, limit: float) -> bool:
    return value > limit + ROUNDING


def iterations_help(fgsm: float, pgd: float) -> Check:
    """Accuracies under one step and under many, at one eps."""
    detail = f"accuracy {pgd:.1%} under PGD, {fgsm:.1%} under FGSM"
    return Check("PGD is at least as strong as FGSM", not _above(pgd, fgsm + SLACK), detail)


def stronger_with_eps(curve: Mapping[float, float]) -> Check:
    """{eps: accuracy}."""
    pairs = pairwise(sorted(curve.items()))
    rises = [f"{a:.1%} at eps {x:g}, {b:.1%} at {y:g}" for (x, a), (y, b) in pairs if _above(b, a + SLACK)]
    return Check("success grows with eps", not rises, "; ".join(rises) or f"at {len(curve)} values of eps")


def reaches_chance(accuracy: float, classes: int) -> Check:
    """Accuracy at an eps that allows the same grey image for all, or nearly so."""
    detail = f"accuracy {accuracy:.1%}, chance is {1 / classes:.1%}"
    return Check("a large eps reaches chance", not _above(accuracy, 1 / classes + SLACK), detail)


def is_not_behind(accuracy: float, least: float, name: str) -> Check:
    """Accuracies under an attack, and under the strongest one there is."""
    detail = f"accuracy {accuracy:.1%}, {least:.1%} under {name}"
    return Check("an attack finds most of what others find", not _above(accuracy, least + BEHIND), detail)


def beats_all_others(full: float, least: float, name: str) -> Check:
    """Accuracies under APGD with both losses, or more, and under the strongest other attack."""
    detail = f"accuracy {full:.1%}, {least:.1%} under {name}"
    return Check("no other attack beats APGD", not _above(full, least + SLACK), detail)


def standard_adds_little(named: float, worst: float) -> Check:
    """Who survives a run's other attacks, and who all with the standard's: at an eps without the standard's
    it is these others alone that were tried."""
    detail = f"{named:.1%} survive the other attacks, {worst:.1%} with APGD"
    return Check("the other attacks suffice without APGD", not _above(named, worst + SETTLED), detail)


def finds_little(what: str, worst: float, further: float) -> Check:
    """Who survives all, and who one attack more."""
    detail = f"{worst:.1%} survive all attacks, {further:.1%} one with {what} too"
    return Check(f"{what} would find little", not _above(worst, further + SETTLED), detail)


def gradients_are_not_masked(white_box: float, square: float) -> Check:
    """Accuracies under attacks along gradients, and under Square, which sees outputs alone."""
    detail = f"accuracy {white_box:.1%} under attacks along gradients, {square:.1%} with Square, without any"
    return Check("an attack without gradients finds no more", not _above(white_box, square + SLACK), detail)


def noise_is_weaker(noise: float, white_box: float) -> Check:
    """Accuracies under noise and under attack, at one eps."""
    detail = f"accuracy {white_box:.1%} under attack, {noise:.1%} under noise"
    return Check("an attack is more than noise", not _above(white_box, noise + SLACK), detail)


def transfer_is_weaker(transfer: float, white_box: float) -> Check:
    """Accuracies under images crafted on another network and on this one: if knowing the network does
    not help, its gradients hide something."""
    detail = f"accuracy {white_box:.1%} under its own attack, {transfer:.1%} under another network's"
    return Check("a white box is worse than a black one", not _above(white_box, transfer + SLACK), detail)


def unsteady(once: np.ndarray, again: np.ndarray) -> float:
    """Share of images, logits [n, classes] of two calls, whose answers differ by more than rounding.

    Rounding: the square root of the dtype's precision, of the image's largest logit, which leaves sums in any
    order a factor of a thousand in float32.
    """
    size = np.abs(once).max(axis=1)
    return float((np.abs(once - again).max(axis=1) > np.sqrt(np.finfo(once.dtype).eps) * size).mean())


def answers_are_steady(share: float) -> Check:
    """Of images that are `unsteady`: an attack follows answers that chance gives, and looks weak."""
    detail = f"asked twice, it answers {share:.1%} of images differently"
    return Check("the network answers the same twice", not _above(share, 0), detail)


def saturated(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of images, logits [n, classes], that would have no gradient by a float32 cross-entropy.

    Computed from the other classes, so that it is exact where 1 - p_true is not.
    """
    z = logits.astype(np.float64)
    shares = np.exp(z - z.max(axis=1, keepdims=True))
    others = shares.copy()
    others[np.arange(len(labels)), labels] = 0
    return float((others.sum(axis=1) / shares.sum(axis=1) < SATURATED).mean())


def gradients_exist(share: float) -> Check:
    """Of images that are not `saturated`."""
    detail = f"1 - p_true is below {SATURATED:g} on {share:.1%} of images"
    return Check("float32 cross-entropy is not saturated", not _above(share, SLACK), detail)


def float32_suffices(float32: float, float64: float) -> Check:
    """Accuracies under the same attack with the loss in either precision: the gap is robustness that is
    not there."""
    detail = f"accuracy {float32:.1%} with the loss in float32, {float64:.1%} in float64"
    return Check("float32 does not overstate robustness", not _above(float32, float64 + SLACK), detail)


OF_FLOAT32 = {gradients_exist(0).name, float32_suffices(0, 0).name}
"""They speak of a loss that no other number was made with."""
