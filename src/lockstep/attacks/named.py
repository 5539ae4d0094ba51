"""Attacks by the names that a command line and a config use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np

from lockstep import given
from lockstep.attacks.apgd import APGD, TargetedAPGD
from lockstep.attacks.attack import Attack
from lockstep.attacks.autoattack import AutoAttack
from lockstep.attacks.fab import FAB
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.losses import NEEDED
from lockstep.attacks.noise import GaussianNoise, SaltAndPepper, UniformNoise
from lockstep.attacks.patterns import Universal
from lockstep.attacks.scores import accuracy_under
from lockstep.attacks.square import Square
from lockstep.attacks.victim import Victim
from lockstep.errors import LockstepError

OF_BOTH_NORMS: dict[str, partial[Any]] = {
    "pgd": partial(PGD),
    "apgd": partial(APGD, loss="cross_entropy"),
    "apgd_dlr": partial(APGD, loss="dlr"),
    "apgd_targeted": partial(TargetedAPGD),
    "fab": partial(FAB),
    "square": partial(Square),
    "autoattack": partial(AutoAttack, fast=False),
    "autoattack_fast": partial(AutoAttack, fast=True),
    "uniform_noise": partial(UniformNoise),
}
NAMED: dict[str, partial[Any]] = {
    "fgsm": partial(FGSM),
    "bim": partial(PGD, random_start=False),
    **OF_BOTH_NORMS,
    **{f"{name}_l2": partial(attack, norm="l2") for name, attack in OF_BOTH_NORMS.items()},
    "pgd_margin": partial(PGD, loss="margin"),
    "mifgsm": partial(PGD, momentum=1.0, random_start=False),
    "universal": partial(Universal),
    "gaussian_noise": partial(GaussianNoise),
    "salt_and_pepper": partial(SaltAndPepper),
}
"""{name: what makes the attack of an eps and options}; what is fixed here is no option."""
NO_OPTIONS = ("eps", "norm", "targeted")
"""An argument of its own; part of the name; with other labels than the true ones, which a name has not."""


@dataclass(frozen=True)
class Attacked:
    """Accuracy under one attack at one eps, on n images."""

    attack: str
    eps: float
    accuracy: float
    n: int
    stages: dict[str, float] = field(default_factory=dict)
    """Of a set of attacks: accuracy after each part."""


def named(name: str, eps: float, **options: Any) -> Attack:
    """Raises LockstepError for a name or an option that is not known, or a value that the attack refuses."""
    known = options_of(name)
    for option in options:
        if option not in known:
            raise LockstepError(
                f"{name}: no option {option!r}; it has {', '.join(known) if known else 'none'}"
            )
    try:
        checked = {
            option: VALUES.get(known[option], given.text)(option, value) for option, value in options.items()
        }
        return NAMED[name](eps, **checked)
    except LockstepError as error:
        raise LockstepError(f"{name}: {error}") from None


def options_of(name: str) -> dict[str, str]:
    """{option: the type that its attack declares}.  Raises LockstepError for a name that is not known."""
    if name not in NAMED:
        raise LockstepError(f"unknown attack {name!r}; known: {', '.join(NAMED)}")
    kind = NAMED[name]
    declared = {each.name: str(each.type) for each in fields(kind.func)}  # type: ignore[arg-type]
    return {option: of for option, of in declared.items() if option not in (*NO_OPTIONS, *kind.keywords)}


def taken(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Of options that were given to several attacks those that this one has."""
    known = options_of(name)
    return {option: value for option, value in options.items() if option in known}


def require_takers(names: Sequence[str], options: Iterable[str]) -> None:
    """Raises LockstepError for an option that none of the attacks has."""
    for option in options:
        if not any(option in options_of(name) for name in names):
            takers = [name for name in NAMED if option in options_of(name)]
            raise LockstepError(
                f"{option}: no option of {', '.join(names)}; attacks that have it: {', '.join(takers)}"
            )


def _none_or(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda option, value: None if value is None else check(option, value)


def _step(option: str, value: Any) -> Any:
    if isinstance(value, str):
        return value  # the attack knows words
    if (found := given.number(option, value)) <= 0:
        raise LockstepError(f"{option}: found {found:g}, expected a number above 0, in units of eps")
    return found


VALUES: dict[str, Callable[[str, Any], Any]] = {
    "int": lambda option, value: given.whole(option, value, 1),
    "bool": given.flag,
    "float | None": _none_or(given.number),
    "Step": _none_or(_step),
}
"""{declared type: (option, value) -> the value checked}; any other is text."""


def remark(attack: Attack, classes: int) -> str:
    """What is to be said of an attack on a network of so many classes; mostly nothing."""
    targeted = isinstance(attack, TargetedAPGD | AutoAttack)
    needed = NEEDED.get("dlr_targeted" if targeted else getattr(attack, "loss", ""), 0)
    if classes >= needed:
        return ""
    return f"the DLR loss needs {needed} classes and there are {classes}: the margin is climbed in its place"


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
        stages = {}
        if isinstance(attack, AutoAttack):
            parts = attack.stages(victim, images, labels, seed)
            stages = {stage.name: float(stage.standing.mean()) for stage in parts}
            found = list(stages.values())[-1]
        else:
            found = accuracy_under(attack, victim, images, labels, seed)
        yield Attacked(name, eps, found, len(labels), stages)
