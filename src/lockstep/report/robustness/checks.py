"""The checks of `attacks/strength.py` on every attacked run, and which numbers each makes an upper bound."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lockstep.attacks import honesty, strength
from lockstep.attacks.honesty import Check
from lockstep.report.robustness import carried
from lockstep.report.robustness.attacked import Attacked, Robustness
from lockstep.report.robustness.names import TITLES, condition, title

COLUMNS = ["experiment", "backend", "device", "seed", "check", "about", "passed", "detail"]


@dataclass(frozen=True)
class Judged:
    """A check of one attacked run."""

    attacked: Attacked
    check: Check

    @property
    def of_float32(self) -> bool:
        return self.check.name in honesty.OF_FLOAT32


def upper_bound(judged: Sequence[Judged], experiment: str, attack: str, eps: float) -> list[str]:
    """Why what an attack of an eps leaves of an experiment is an upper bound of what is robust; nothing
    where all checks that speak of it passed in all of its runs.

    attack: as in the names of conditions: pgd, worst, autoattack_fast, strong_pgd, ...
    """
    return [
        f"{each.attacked.run.cell.backend}, seed {each.attacked.run.cell.seed}: not true that "
        f"{each.check.name} ({readable(each.check)})"
        for each in judged
        if each.attacked.run.cell.name == experiment and each.check.makes_upper_bound(attack, eps)
    ]


def readable(check: Check) -> str:
    """With percent signs as the page writes them, and the page's names of attacks."""
    said = str(check._replace(attack=title(check.attack) if check.attack else ""))
    known = "|".join(sorted(TITLES, key=len, reverse=True))
    said = re.sub(rf"(?<=under )({known})(?!\w)", lambda found: title(found[1]), said)
    return re.sub(r"(?<=\d)%", " %", said)


def judge(robustness: Robustness) -> list[Judged]:
    found: list[Judged] = []
    transferred = carried.read(robustness)[0]
    for each in robustness.runs:
        if each.usable:
            values = {key: value for key, (value, _) in each.numbers.items()}
            found += [Judged(each, check) for check in strength.judge(values, each.classes)]
            found += _transferred(robustness, each, transferred)
            found += _by_distance(robustness, each)
    return found


def _by_distance(robustness: Robustness, attacked: Attacked) -> Iterable[Judged]:
    """Against the nearest wrong images, which FAB found for some of the images whatever their distance."""
    if attacked.distances is None:
        return
    for eps in robustness.settings.eps:
        left = float(np.mean(attacked.distances > eps))
        for name in (*strength.ITERATED, strength.WORST):
            value = attacked.value(condition(name, eps))
            if value is not None:
                number = (name, eps)
                check = honesty.is_not_behind(value, left, f"FAB on {len(attacked.distances)} images")
                yield Judged(attacked, check._replace(attack=name, eps=eps, bounds=(number,)))


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
        number = ("pgd", robustness.settings.shown)
        check = honesty.transfer_is_weaker(min(others), own[0])
        yield Judged(attacked, check._replace(attack=number[0], eps=number[1], bounds=(number,)))


def table(robustness: Robustness) -> Iterable[dict[str, Any]]:
    for each in judge(robustness):
        cell = each.attacked.run.cell
        about = "float32" if each.of_float32 else "attack"
        check = (each.check.name, about, each.check.passed, str(each.check))
        yield dict(zip(COLUMNS, (cell.name, cell.backend, cell.device, cell.seed, *check), strict=True))
