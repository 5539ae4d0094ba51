"""T7: the same weights, attacked in every backend, give the same adversarial images.

All of it is in float32, as attacks are: a sign turns the last bit of a gradient near 0 into a whole step.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lockstep.attacks import gradient, losses
from lockstep.attacks.attack import Attack
from lockstep.attacks.victim import Victim
from lockstep.conformance import digits
from lockstep.conformance.certificate import Check, Verdict
from lockstep.conformance.problem import Tensors
from lockstep.conformance.subject import Advance, Subject
from lockstep.conformance.worker import Here, Make
from lockstep.discovery import REFERENCE

STEPS, COUNT, EPS = 100, 100, 0.1
"""Training steps; test digits; the budget, with which about half of the digits survive."""
ATTACKS: dict[str, Attack] = {
    "FGSM": gradient.FGSM(EPS),
    # The published steps and the last iterate: a choice between iterates would branch on rounding.
    f"PGD-{gradient.STEPS}": gradient.PGD(EPS, step="madry"),
}
CLEAN, SIGNS = "clean", "signs"
"""What is kept beside the images of the attacks."""
SIGNS_LIMIT, IMAGES_LIMIT, DIGITS_LIMIT = 0.01, 0.03, 1
"""Shares of signs and of images that may differ; digits by which accuracies may."""
SAME = 1e-6
"""Distance of two pixels in [0, 1] that count as one."""
CLEARLY = 10
"""Digits that an attack must turn: one that does nothing is the same in every backend."""
PIECES = 4
RUN = digits.experiment("attacked", "float32")


def made(data: Path, advance: Advance) -> Tensors:
    """The reference's trained weights by their names, and what it crafts on them: see `craft`."""
    here = Here(REFERENCE, "float32")
    advance(f"{REFERENCE}: a network to attack")
    weights = here.call(digits.segment, data, RUN, 1, STEPS, digits.start(RUN)).state
    advance(f"{REFERENCE}: attacked")
    return {name: weights[name] for name in RUN.spec.weights} | here.call(craft, data, weights)


def measure(subject: Subject, reference: Tensors) -> list[Check]:
    here, there = Here(REFERENCE, "float32"), subject.worker("float32")
    subject.advance(f"{subject.backend}: attacked")
    mine = there.call(craft, subject.data, reference)
    subject.advance("each network on the other's images")
    right = [
        caller.call(count_right, subject.data, reference, crafted)
        for caller in (here, there)
        for crafted in (reference, mine)
    ]
    clean, turned = right[0][CLEAN], {name: right[0][CLEAN] - right[0][name] for name in ATTACKS}
    # FGSM steps along these signs, so its damage says whether they mean anything.
    signs = float(np.mean(mine[SIGNS] != reference[SIGNS]))
    checks = [_check("share of gradient signs that differ", signs, SIGNS_LIMIT, turned["FGSM"])]
    for name in ATTACKS:
        same = np.abs(mine[name] - reference[name]).max(axis=(1, 2, 3)) <= SAME
        share = float(np.mean(~same))
        survivors = [found[name] for found in right]
        spread = max(survivors) - min(survivors)
        white_box, transferred = "{0} and {3}".format(*survivors), "{2} and {1}".format(*survivors)
        note = f"of {COUNT}: clean {clean}, reference and backend attacked {white_box}, swapped {transferred}"
        checks += [
            _check(f"share of {name} images that differ", share, IMAGES_LIMIT, turned[name]),
            _check(f"digits that survive {name}, spread", spread, DIGITS_LIMIT, turned[name], note),
        ]
    return checks


def craft(make: Make, data: Path, weights: Tensors) -> Tensors:
    """[COUNT, H, W, C] each: images, clean and of each attack, float32; signs of the gradient at the clean
    ones, int8."""
    test = digits.load(data).test
    images, labels = (test.images[:COUNT] / 255).astype(np.float32), test.labels[:COUNT]
    victim = _victim(make, data, weights)
    signs = np.sign(victim.gradient(images, labels, losses.cross_entropy)).astype(np.int8)
    attacked = {name: attack(victim, images, labels) for name, attack in ATTACKS.items()}
    return {CLEAN: images, SIGNS: signs, **attacked}


def count_right(make: Make, data: Path, weights: Tensors, crafted: Tensors) -> dict[str, int]:
    """How many of the clean and of the attacked images are told right."""
    victim, labels = _victim(make, data, weights), digits.load(data).test.labels[:COUNT]
    return {
        name: int((victim.logits(crafted[name]).argmax(axis=-1) == labels).sum())
        for name in (CLEAN, *ATTACKS)
    }


def _victim(make: Make, data: Path, weights: Tensors) -> Victim:
    backend = make(RUN.spec, RUN.optimizer)
    backend.load({name: weights[name] for name in RUN.spec.weights})
    return Victim(backend, digits.load(data).transform, "float32", COUNT)


def _check(quantity: str, measured: float, limit: float, turned: int, note: str = "") -> Check:
    """turned: digits that the reference's attack turned; where it turned hardly any, nobody can tell."""
    verdict: Verdict = "in step" if measured <= limit else "out of step"
    if verdict == "in step" and turned < CLEARLY:
        verdict, note = (
            "cannot tell",
            f"the attack turned {turned} of {COUNT} digits; {CLEARLY} would show it",
        )
    return Check(tier="T7", quantity=quantity, measured=measured, limit=limit, verdict=verdict, note=note)
