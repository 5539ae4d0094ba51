"""The checks of `attacks/honesty.py` on every attacked run, and which numbers each of them concerns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lockstep.attacks import honesty
from lockstep.attacks.honesty import Check
from lockstep.report.robustness import carried
from lockstep.report.robustness.attacked import Attacked, Robustness

COLUMNS = ["experiment", "backend", "device", "seed", "check", "about", "passed", "detail"]
NEEDS = {honesty.TWICE: "pgd", honesty.FLOAT32: "fgsm"}
"""What is compared with another attack says nothing where that one was not measured."""
OF_FLOAT32 = {honesty.gradients_exist(0).name, honesty.float32_suffices(0, 0).name}
"""They speak of a loss that no number of the page was made with."""
WHERE = re.compile(r"(?:(?P<attack>\w+), )?eps (?P<eps>[\d.e-]+): |(?P<curve>\w+): ")
"""How `honesty.checks` begins a detail: one attack at one eps, all attacks at it, or one at each."""


@dataclass(frozen=True)
class Judged:
    """A check of one attacked run."""

    attacked: Attacked
    check: Check
    attack: str = ""
    """That it speaks of; empty for all."""
    eps: float | None = None

    @property
    def of_float32(self) -> bool:
        return self.check.name in OF_FLOAT32

    def concerns(self, attack: str, eps: float) -> bool:
        """Whether a number under this attack rests on it; the worst case rests on every attack."""
        if self.of_float32 or self.check.passed:
            return False
        return (attack == "worst" or self.attack in ("", attack)) and self.eps in (None, eps)


def judge(robustness: Robustness) -> list[Judged]:
    found: list[Judged] = []
    transferred = carried.read(robustness)[0]
    for each in robustness.runs:
        if each.usable:
            found += _own(each)
            found += _transferred(robustness, each, transferred)
    return found


def _own(attacked: Attacked) -> Iterable[Judged]:
    accuracies: dict[tuple[str, float], float] = {}
    for (name, metric), (value, _) in attacked.numbers.items():
        attack, _, level = name.partition("=")
        if metric == "accuracy" and _is_number(level):
            accuracies[attack, float(level)] = value
    usable = {
        (attack, eps): value
        for (attack, eps), value in accuracies.items()
        if attack not in NEEDS or (NEEDS[attack], eps) in accuracies
    }
    for check in honesty.checks(usable, attacked.arrays["logits/clean"].shape[1]):
        place = WHERE.match(check.detail)
        attack = (place["attack"] or place["curve"] or "") if place else ""
        eps = float(place["eps"]) if place and place["eps"] else None
        yield Judged(attacked, check, attack, eps)
    yield Judged(attacked, honesty.gradients_exist(attacked.numbers["clean", "saturated"][0]))


def _is_number(level: str) -> bool:
    try:
        float(level)
    except ValueError:
        return False
    return True


def _transferred(
    robustness: Robustness, attacked: Attacked, pairs: Sequence[carried.Shown]
) -> Iterable[Judged]:
    """Against the network whose images hurt most."""
    if attacked.run.cell.name != robustness.baseline:
        return
    network = carried.Network(attacked.run.side, attacked.run.cell.seed)
    shown = [pair for pair in pairs if pair.shown == network]
    own = [pair.accuracy for pair in shown if pair.crafted == network]
    others = [pair.accuracy for pair in shown if pair.crafted != network]
    if own and others:
        yield Judged(
            attacked, honesty.transfer_is_weaker(min(others), own[0]), "pgd", robustness.settings.shown
        )


def table(robustness: Robustness) -> Iterable[dict[str, Any]]:
    for each in judge(robustness):
        cell = each.attacked.run.cell
        about = "float32" if each.of_float32 else "attack"
        check = (each.check.name, about, each.check.passed, each.check.detail)
        yield dict(zip(COLUMNS, (cell.name, cell.backend, cell.device, cell.seed, *check), strict=True))
