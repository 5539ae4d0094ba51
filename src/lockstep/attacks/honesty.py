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

SLACK = 0.01
"""By which accuracies may fall on the wrong side: some images near a boundary are luck."""
SETTLED = 0.02
"""More than this gained by twice the steps means that there were too few."""
SATURATED = 1e-6
"""1 - p_true below which softmax - target is mostly rounding in float32."""


class Check(NamedTuple):
    name: str
    passed: bool
    detail: str


def iterations_help(fgsm: float, pgd: float) -> Check:
    """Accuracies under one step and under many, at one eps."""
    detail = f"accuracy {pgd:.1%} under PGD, {fgsm:.1%} under FGSM"
    return Check("PGD is at least as strong as FGSM", pgd <= fgsm + SLACK, detail)


def stronger_with_eps(curve: Mapping[float, float]) -> Check:
    """{eps: accuracy}."""
    pairs = pairwise(sorted(curve.items()))
    rises = [f"{a:.1%} at eps {x:g}, {b:.1%} at {y:g}" for (x, a), (y, b) in pairs if b > a + SLACK]
    return Check("success grows with eps", not rises, "; ".join(rises) or f"at {len(curve)} values of eps")


def reaches_chance(accuracy: float, classes: int) -> Check:
    """Accuracy at an eps that allows any image, or nearly so."""
    detail = f"accuracy {accuracy:.1%}, chance is {1 / classes:.1%}"
    return Check("a large eps reaches chance", accuracy <= 1 / classes + SLACK, detail)


def steps_suffice(once: float, twice: float) -> Check:
    """Accuracies under some steps and under twice as many."""
    detail = f"accuracy {once:.1%}, with twice the steps {twice:.1%}"
    return Check("twice the steps change little", abs(once - twice) <= SETTLED, detail)


def noise_is_weaker(noise: float, white_box: float) -> Check:
    """Accuracies under noise and under attack, at one eps."""
    detail = f"accuracy {white_box:.1%} under attack, {noise:.1%} under noise"
    return Check("an attack is more than noise", white_box <= noise + SLACK, detail)


def transfer_is_weaker(transfer: float, white_box: float) -> Check:
    """Accuracies under images crafted on another network and on this one: if knowing the network does
    not help, its gradients hide something."""
    detail = f"accuracy {white_box:.1%} under its own attack, {transfer:.1%} under another network's"
    return Check("a white box is worse than a black one", white_box <= transfer + SLACK, detail)


def gradients_exist(logits: np.ndarray, labels: np.ndarray) -> Check:
    """Logits of clean images [n, classes]: would a float32 cross-entropy have had a gradient?

    Computed from the other classes, so that it is exact where 1 - p_true is not.
    """
    z = logits.astype(np.float64)
    shares = np.exp(z - z.max(axis=1, keepdims=True))
    others = shares.copy()
    others[np.arange(len(labels)), labels] = 0
    share = float((others.sum(axis=1) / shares.sum(axis=1) < SATURATED).mean())
    detail = f"1 - p_true is below {SATURATED:g} on {share:.1%} of images"
    return Check("float32 cross-entropy is not saturated", share <= SLACK, detail)


def float32_suffices(float32: float, float64: float) -> Check:
    """Accuracies under the same attack with the loss in either precision: the gap is robustness that is
    not there."""
    detail = f"accuracy {float32:.1%} with the loss in float32, {float64:.1%} in float64"
    return Check("float32 does not overstate robustness", float32 <= float64 + SLACK, detail)
