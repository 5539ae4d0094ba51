"""Which checks the accuracies of one network allow, and which of these each makes an upper bound.

Accuracies are {(attack, eps): share of images}, by the names that `suite` and `lockstep attack` give them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lockstep.attacks import honesty
from lockstep.attacks.balls import Norm
from lockstep.attacks.honesty import LARGE, Check, Number

CONTROLS: dict[Norm, str] = {"linf": "uniform_noise", "l2": "uniform_noise_l2"}
"""The noise that attacks must beat, at every eps: of their norm, as an l2 length is no bound on a pixel."""
FLOAT32 = "fgsm_float32"
"""FGSM with the loss in float32."""
STANDARD = ("apgd_targeted", "autoattack_fast", "autoattack")
"""The field's, which no other attack should beat,"""
ITERATED = ("bim", "pgd", "pgd_margin", "mifgsm", "apgd", "apgd_dlr", "fab", *STANDARD)
"""and all that take many steps along gradients,"""
EASY = ("fgsm", "universal")
"""and those that take one step, or one pattern for all: nobody takes what they leave for robustness."""
OF_L2 = ("pgd", "apgd", "apgd_dlr", "fab", "square", *STANDARD)
AIMED: dict[str, Norm] = {
    **dict.fromkeys((*EASY, *ITERATED, "square"), "linf"),
    **dict.fromkeys((f"{name}_l2" for name in OF_L2), "l2"),
}
"""Attacks that look at the network, and what their eps limits."""
WORST, OF_NAMES = "worst", "worst_of_names"
"""Who survives all attacks of a run; and who all but the standard's."""
FURTHER = {"more_steps": "more steps", "restart": "another start", "other_loss": "another loss"}
"""Tried on who survives all."""
STRONG = "strong_"
"""How measurements on other images start: the standard's full set, and PGD with restarts."""


def judge(numbers: Mapping[tuple[str, str], float], classes: int) -> list[Check]:
    """All checks that {(condition, metric): value} of one attacked network allows."""
    accuracies = {
        (name, float(level)): value
        for (condition, metric), value in numbers.items()
        for name, _, level in [condition.partition("=")]
        if metric == "accuracy" and _is_number(level)
    }
    found = checks(accuracies, classes, numbers.get(("clean", "unsteady")))
    if ("clean", "saturated") in numbers:
        found.append(honesty.gradients_exist(numbers["clean", "saturated"]))
    return found


def _is_number(level: str) -> bool:
    try:
        float(level)
    except ValueError:
        return False
    return True


def checks(accuracies: Mapping[Number, float], classes: int, unsteady: float | None = None) -> list[Check]:
    """All that accuracies of one network allow; unsteady: share of images, if it was measured."""
    measured = Measured(accuracies)
    steady = [] if unsteady is None else [honesty.answers_are_steady(unsteady)]
    return [
        *_of_curves(measured, classes),
        *_of_each(measured),
        *_of_the_standard(measured),
        *_of_survivors(measured),
        *_of_other_images(measured),
        *(check._replace(bounds=measured.white_box) for check in steady),
    ]


@dataclass(frozen=True)
class Measured:
    """Accuracies of one network, and which of them rest on which."""

    accuracies: Mapping[Number, float]

    @cached_property
    def elsewhere(self) -> dict[Number, float]:
        """Those measured on other images."""
        strong = {eps for name, eps in self.accuracies if name.startswith(STRONG)}
        return {
            (name, eps): value
            for (name, eps), value in self.accuracies.items()
            if name.startswith(STRONG) or (name == "autoattack" and eps in strong)
        }

    @cached_property
    def curves(self) -> dict[str, dict[float, float]]:
        """{attack: {eps: accuracy}} of the others."""
        found: dict[str, dict[float, float]] = {}
        for (name, eps), accuracy in self.accuracies.items():
            if (name, eps) not in self.elsewhere:
                found.setdefault(name, {})[eps] = accuracy
        return found

    def curve(self, name: str) -> dict[float, float]:
        return self.curves.get(name, {})

    def strongest(self, eps: float, names: Iterable[str]) -> tuple[float, str] | None:
        """The lowest accuracy at an eps, and the attack that leaves it."""
        return min(((self.curve(name)[eps], name) for name in names if eps in self.curve(name)), default=None)

    @property
    def white_box(self) -> tuple[Number, ...]:
        """All that doubtful gradients make doubtful."""
        return tuple(
            number for number in self.accuracies if number[0] in (*AIMED, WORST) or number in self.elsewhere
        )

    @property
    def claims(self) -> tuple[Number, ...]:
        """Those that are taken for robustness."""
        return tuple(number for number in self.white_box if number[0] not in EASY)

    def resting(self, name: str, eps: float) -> tuple[Number, ...]:
        """What an attack leaves, and the worst case where nothing of the standard was tried too."""
        alone = name == "universal" or AIMED[name] == "l2" or self.is_standard(eps)
        return ((name, eps),) if alone else ((name, eps), (WORST, eps))

    def is_standard(self, eps: float) -> bool:
        return any(eps in self.curve(name) for name in STANDARD)


def _of_curves(measured: Measured, classes: int) -> Iterator[Check]:
    """Of an attack at all its eps."""
    for name in AIMED:
        curve = measured.curve(name)
        bounds = tuple(number for eps in curve for number in measured.resting(name, eps))
        if len(curve) > 1:
            yield honesty.stronger_with_eps(curve)._replace(attack=name, bounds=bounds)
        for eps, accuracy in curve.items():
            if eps >= LARGE and name in ITERATED:
                # What finds no way where any image can be made the same is as doubtful everywhere.
                far = measured.claims if name.startswith("apgd") else bounds
                yield honesty.reaches_chance(accuracy, classes)._replace(attack=name, eps=eps, bounds=far)


def _of_each(measured: Measured) -> Iterator[Check]:
    """Of an attack at an eps, beside others at the same."""
    fgsm = measured.curve("fgsm")
    for name, norm in AIMED.items():
        noise, rivals = measured.curve(CONTROLS[norm]), _rivals(name)
        for eps, accuracy in measured.curve(name).items():
            bounds = measured.resting(name, eps)
            if eps in noise:
                check = honesty.noise_is_weaker(noise[eps], accuracy)
                yield check._replace(attack=name, eps=eps, bounds=bounds)
            if name == "pgd" and eps in fgsm:
                check = honesty.iterations_help(fgsm[eps], accuracy)
                yield check._replace(attack=name, eps=eps, bounds=bounds)
            if rivals and (found := measured.strongest(eps, rivals)):
                # Too weak at one eps, at every one: elsewhere there may be nothing that shows it.
                everywhere = tuple((name, size) for size in measured.curve(name))
                check = honesty.is_not_behind(accuracy, *found)
                yield check._replace(attack=name, eps=eps, bounds=everywhere)
    noise = measured.curve(CONTROLS["linf"])
    for eps, accuracy in measured.curve(WORST).items():
        if eps in noise:
            check = honesty.noise_is_weaker(noise[eps], accuracy)
            yield check._replace(attack=WORST, eps=eps, bounds=((WORST, eps),))
    for eps, accuracy in measured.curve(FLOAT32).items():
        if eps in fgsm:
            yield honesty.float32_suffices(accuracy, fgsm[eps])._replace(attack="fgsm", eps=eps)


def _rivals(name: str) -> list[str]:
    """What an attack that takes many steps is held against: nobody expects more of the easy ones."""
    if name.removesuffix("_l2") not in ITERATED:
        return []
    return [
        *(other for other, norm in AIMED.items() if norm == AIMED[name] and other not in (name, *EASY)),
        WORST,
    ]


def _of_the_standard(measured: Measured) -> Iterator[Check]:
    """Of its attacks beside all others, gradient-free ones too."""
    for norm, suffix in (("linf", ""), ("l2", "_l2")):
        standard = [name + suffix for name in STANDARD]
        others = [
            name for name, of in AIMED.items() if of == norm and name not in (*standard, f"square{suffix}")
        ]
        for eps in dict.fromkeys(eps for name in standard for eps in measured.curve(name)):
            best, least = measured.strongest(eps, standard), measured.strongest(eps, others)
            if best and least:
                bounds = tuple((name, eps) for name in (*standard, *([] if suffix else [WORST])))
                check = honesty.beats_all_others(best[0], *least)
                yield check._replace(attack=best[1], eps=eps, bounds=bounds)
        for eps, accuracy in measured.curve(f"square{suffix}").items():
            found = measured.strongest(eps, [*standard, *others, *([] if suffix else [WORST])])
            if found:
                check = honesty.gradients_are_not_masked(found[0], accuracy)
                yield check._replace(attack=found[1], eps=eps, bounds=measured.white_box)


def _of_survivors(measured: Measured) -> Iterator[Check]:
    """Of who survives all attacks of a run."""
    worst = measured.curve(WORST)
    for eps, accuracy in measured.curve(OF_NAMES).items():
        bounds = tuple((WORST, size) for size in worst if not measured.is_standard(size))
        yield honesty.standard_adds_little(accuracy, worst[eps])._replace(
            attack=WORST, eps=eps, bounds=bounds
        )
    for name, what in FURTHER.items():
        for eps, accuracy in measured.curve(name).items():
            check = honesty.finds_little(what, worst[eps], accuracy)
            yield check._replace(attack=WORST, eps=eps, bounds=measured.claims)


def _of_other_images(measured: Measured) -> Iterator[Check]:
    """Of those that the standard's full set was tried on."""
    strong, pgd, white_box = measured.elsewhere, f"{STRONG}pgd", f"{STRONG}fab"
    for (name, eps), accuracy in strong.items():
        if name != "autoattack":
            continue
        bounds = tuple(number for number in strong if number[1] == eps)
        if (pgd, eps) in strong:
            check = honesty.beats_all_others(accuracy, strong[pgd, eps], pgd)
            yield check._replace(attack=name, eps=eps, bounds=bounds)
            check = honesty.is_not_behind(strong[pgd, eps], accuracy, name)
            yield check._replace(attack=pgd, eps=eps, bounds=((pgd, eps),))
        if (white_box, eps) in strong:
            check = honesty.gradients_are_not_masked(strong[white_box, eps], accuracy)
            yield check._replace(attack=name, eps=eps, bounds=measured.white_box)
