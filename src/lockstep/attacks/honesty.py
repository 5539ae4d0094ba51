"""What must hold if an attack was strong enough to speak of robustness: checks over measured accuracies.

After Carlini et al. (2019), "On evaluating adversarial robustness", and Athalye et al. (2018), "Obfuscated
gradients give a false sense of security".  A check that fails says that a number cannot be trusted, not
that the network is robust.  Accuracies are shares of one set of images.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lockstep.attacks.balls import Norm

SLACK = 0.01
"""By which accuracies may fall on the wrong side: some images near a boundary are luck."""
SETTLED = 0.02
"""More than this gained by twice the steps means that there were too few."""
SATURATED = 1e-6
"""1 - p_true below which softmax - target is mostly rounding in float32."""
ROUNDING = 1e-9
"""Of shares: 0.2 - 0.18 is a little more than 0.02, and must not fail for that."""

CONTROLS: dict[Norm, str] = {"linf": "uniform_noise", "l2": "uniform_noise_l2"}
"""The noise that attacks must beat, at every eps: of their norm, as an l2 length is no bound on a pixel."""
TWICE, FLOAT32, LARGE = "pgd_twice", "fgsm_float32", 1.0
"""PGD with twice the steps, FGSM with the loss in float32, and an eps that allows any image."""
AIMED: dict[str, Norm] = {
    **dict.fromkeys(("fgsm", "bim", "pgd", "pgd_margin", "mifgsm", "universal"), "linf"),
    "pgd_l2": "l2",
}
"""Attacks that look at the network, and what their eps limits."""


class Check(NamedTuple):
    name: str
    passed: bool
    detail: str
    attack: str = ""
    """That it speaks of, where it speaks of one."""
    eps: float | None = None
    """That it speaks of; None for all."""

    def __str__(self) -> str:
        size = "" if self.eps is None else f"eps {self.eps:g}"
        where = ", ".join(part for part in (self.attack, size) if part)
        return f"{where}: {self.detail}" if where else self.detail


def checks(accuracies: Mapping[tuple[str, float], float], classes: int) -> list[Check]:
    """All that {(attack, eps): accuracy} of one network allows; attacks by their names in `suite`."""
    curves: dict[str, dict[float, float]] = {}
    for (name, eps), accuracy in accuracies.items():
        curves.setdefault(name, {})[eps] = accuracy
    fgsm, pgd = (curves.get(name, {}) for name in ("fgsm", "pgd"))
    found = []
    for name, curve in curves.items():
        if name in AIMED:
            noise = curves.get(CONTROLS[AIMED[name]], {})
            both = [eps for eps in curve if eps in noise]
            found.append(stronger_with_eps(curve)._replace(attack=name))
            found += [noise_is_weaker(noise[eps], curve[eps])._replace(attack=name, eps=eps) for eps in both]
    found += [
        iterations_help(fgsm[eps], pgd[eps])._replace(attack="pgd", eps=eps) for eps in pgd if eps in fgsm
    ]
    if LARGE in pgd:
        found.append(reaches_chance(pgd[LARGE], classes)._replace(attack="pgd", eps=LARGE))
    for eps, accuracy in curves.get(TWICE, {}).items():
        if eps in pgd:
            found.append(steps_suffice(pgd[eps], accuracy)._replace(attack="pgd", eps=eps))
    for eps, accuracy in curves.get(FLOAT32, {}).items():
        if eps in fgsm:
            found.append(float32_suffices(accuracy, fgsm[eps])._replace(attack="fgsm", eps=eps))
    return found


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
    """Accuracy at an eps that allows any image, or nearly so."""
    detail = f"accuracy {accuracy:.1%}, chance is {1 / classes:.1%}"
    return Check("a large eps reaches chance", not _above(accuracy, 1 / classes + SLACK), detail)


def steps_suffice(once: float, twice: float) -> Check:
    """Accuracies under some steps and under twice as many."""
    detail = f"accuracy {once:.1%}, with twice the steps {twice:.1%}"
    return Check("twice the steps change little", not _above(abs(once - twice), SETTLED), detail)


def noise_is_weaker(noise: float, white_box: float) -> Check:
    """Accuracies under noise and under attack, at one eps."""
    detail = f"accuracy {white_box:.1%} under attack, {noise:.1%} under noise"
    return Check("an attack is more than noise", not _above(white_box, noise + SLACK), detail)


def transfer_is_weaker(transfer: float, white_box: float) -> Check:
    """Accuracies under images crafted on another network and on this one: if knowing the network does
    not help, its gradients hide something."""
    detail = f"accuracy {white_box:.1%} under its own attack, {transfer:.1%} under another network's"
    return Check("a white box is worse than a black one", not _above(white_box, transfer + SLACK), detail)


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
