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
from lockstep.report.robustness.names import title

COLUMNS = ["experiment", "backend", "device", "seed", "check", "about", "passed", "detail"]
OF_FLOAT32 = {honesty.gradients_exist(0).name, honesty.float32_suffices(0, 0).name}
"""They speak of a loss that no number of the page was made with."""


@dataclass(frozen=True)
class Judged:
    """A check of one attacked run."""

    attacked: Attacked
    check: Check

    @property
    def of_float32(self) -> bool:
        return self.check.name in OF_FLOAT32

    def concerns(self, attack: str, eps: float) -> bool:
        """Whether a number under this attack rests on it; the worst case rests on all of single images."""
        # What finds no way at an eps that allows any image is as doubtful at any other.
        if self.of_float32 or self.check.passed or self.check.eps not in (None, eps, honesty.LARGE):
            return False
        return self.check.attack == attack or (attack == "worst" and self.check.attack != "universal")


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
        what, _, level = name.partition("=")
        if metric == "accuracy" and _is_number(level):
            accuracies[what, float(level)] = value
    for check in honesty.checks(accuracies, attacked.classes):
        yield Judged(attacked, check)
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
        check = honesty.transfer_is_weaker(min(others), own[0])
        yield Judged(attacked, check._replace(attack="pgd", eps=robustness.settings.shown))


def table(robustness: Robustness) -> Iterable[dict[str, Any]]:
    for each in judge(robustness):
        cell = each.attacked.run.cell
        about = "float32" if each.of_float32 else "attack"
        check = (each.check.name, about, each.check.passed, str(each.check))
        yield dict(zip(COLUMNS, (cell.name, cell.backend, cell.device, cell.seed, *check), strict=True))


def upper_bound(judged: Sequence[Judged], experiment: str, attack: str, eps: float) -> list[str]:
    """Why a number is not to be trusted."""
    return [
        f"{each.attacked.run.cell.backend}, seed {each.attacked.run.cell.seed}: not true that "
        f"{each.check.name} ({readable(each.check)})"
        for each in judged
        if each.attacked.run.cell.name == experiment and each.concerns(attack, eps)
    ]


def readable(check: Check) -> str:
    """With percent signs as the page writes them, and the page's names of attacks."""
    said = str(check._replace(attack=title(check.attack) if check.attack else ""))
    return re.sub(r"(?<=\d)%", " %", said)
