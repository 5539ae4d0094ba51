"""Checks of attacks: what passes, what fails, and that each known weakness shows on a real network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from conftest import Trained

from lockstep.attacks import apgd, autoattack, balls, honesty, losses, strength
from lockstep.attacks.gradient import PGD
from lockstep.attacks.honesty import Check
from lockstep.attacks.named import NAMED, named
from lockstep.attacks.noisy import Noisy
from lockstep.attacks.scores import accuracy_under, unsteadiness
from lockstep.attacks.suite import Suite, pieces
from lockstep.attacks.victim import Victim
from lockstep.backend import Backend
from lockstep.config_file import Attacks
from lockstep.data.dataset import Affine
from lockstep.data.draws import epoch_order
from lockstep.data.mnist import read_mnist_5k
from lockstep.discovery import find, load
from lockstep.optimizer import Adam

COUNT = 100
"""Digits that are attacked: one is a point."""
SMALL, SHOWN = 0.1, 0.15
PGDS = [("pgd", SMALL), ("pgd", SHOWN)]
STANDARD = [("autoattack_fast", SHOWN), ("worst", SHOWN)]
ELSEWHERE = [("worst", SMALL)]


@pytest.fixture(scope="module")
def hardened(trained: Trained) -> Victim:
    """The small network after three more epochs on digits that PGD has changed; three seconds."""
    adam, (images, labels) = Adam(learning_rate=3e-3), read_mnist_5k()
    backend = load(find("numpy"))(
        trained.spec, adam, device="cpu", dtype="float32", threads=1, deterministic=True
    )
    backend.load(trained.weights)
    victim, seen = Victim(backend, trained.affine, "float32", batch=64), epoch_order(len(labels), 0, 0)[500:]
    order = np.concatenate([seen[epoch_order(len(seen), 0, epoch)][: 70 * 64] for epoch in (4, 5, 6)])
    for step, rows in enumerate(order.reshape(-1, 64)):
        pixels, of = (images[rows] / 255).astype(np.float32), labels[rows].astype(int)
        attacked = PGD(0.2, steps=3)(victim, pixels, of, first=64 * step)
        targets = np.eye(10, dtype=np.float32)[of]
        chunk = trained.affine.of_unit(attacked, "float32")[np.newaxis], targets[np.newaxis]
        backend.train_steps(*chunk, {}, adam.scales(step + 1, 1))
    return replace(victim, batch=COUNT)


def judged(victim: Victim, trained: Trained, **settings: object) -> list[Check]:
    """All checks of a network that the pipeline has attacked."""
    images, labels, fit = trained.images[:COUNT], trained.labels[:COUNT], slice(COUNT, COUNT + 50)
    how = {"images": COUNT, "eps": [SMALL, SHOWN], "shown": SHOWN, "steps": 10} | settings
    suite = Suite(
        victim=victim,
        classes=10,
        images=images,
        labels=labels,
        fit=(trained.images[fit], trained.labels[fit]),
        part=lambda layer: victim.backend,
        hidden={},
        settings=Attacks.model_validate(how),
        strong=None,
        others=(images[:0], labels[:0]),
        image_noise=0,
        seed=0,
    )
    for what, work in pieces(suite):
        if what == "sticker":  # from here on nothing is checked
            break
        work()
    numbers = {(row["condition"], row["metric"]): row["value"] for row in suite.measurements}
    return strength.judge(numbers, classes=10)


def failed(checks: list[Check]) -> list[Check]:
    return [check for check in checks if not check.passed and check.name not in honesty.OF_FLOAT32]


class Around:
    """A network inside another one, as a plugin may have it."""

    def __init__(self, inner: Backend, affine: Affine) -> None:
        self.inner, self.affine = inner, affine

    def before(self, images: np.ndarray) -> np.ndarray:
        return images

    def after(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self.after(self.inner.logits(self.before(images)))

    def vjp(self, images: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """As autodiff has it for a rounding or a choice, which have no slope."""
        return self.logits(images), lambda by_logits: np.zeros_like(images)


class Quantised(Around):
    """Pixels are rounded to 17 shades of grey."""

    def before(self, images: np.ndarray) -> np.ndarray:
        pixels = np.round((images - self.affine.shift) / self.affine.scale * 16) / 16
        return self.affine.of_unit(pixels, "float32")


class Decided(Around):
    """It tells the class, and nothing else."""

    def after(self, logits: np.ndarray) -> np.ndarray:
        return np.eye(10, dtype=np.float32)[logits.argmax(axis=1)]


class Larger(Around):
    """Logits times 20, which says the same."""

    def after(self, logits: np.ndarray) -> np.ndarray:
        return 20 * logits

    def vjp(self, images: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        logits, pullback = self.inner.vjp(images)
        return self.after(logits), lambda by_logits: pullback(20 * by_logits)


class Beside(Larger):
    """Images are compared with those that are shown beside them, as batch norm does in training."""

    def after(self, logits: np.ndarray) -> np.ndarray:
        return logits - 0.1 * logits[:1]


def inside(kind: type[Around]) -> Callable[[Victim], Victim]:
    return lambda victim: replace(victim, backend=kind(victim.backend, victim.affine))


def noisy(victim: Victim) -> Victim:
    return Noisy(**vars(victim), level=0.2)


@dataclass(frozen=True)
class Weakness:
    """Of a network or of the attacks on it: the numbers that it makes upper bounds, and some that it must
    not, as another attack makes up for it."""

    bounds: list[honesty.Number]
    spared: list[honesty.Number]
    network: Callable[[Victim], Victim] = lambda victim: victim
    attacks: Callable[[pytest.MonkeyPatch], None] = lambda patch: None
    settings: tuple[tuple[str, object], ...] = ()


def step_of_pgd(factor: float) -> Callable[[pytest.MonkeyPatch], None]:
    right = PGD.length.fget
    return lambda patch: patch.setattr(PGD, "length", property(lambda self: right(self) * factor))


def step_of_apgd(factor: float) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(apgd, "FIRST_STEP", apgd.FIRST_STEP * factor)


def one_step(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(autoattack, "FAST_STEPS", 1)


def loss_in_float32(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(losses.LOSSES, "cross_entropy", losses.LOSSES["cross_entropy_float32"])


WEAK = {
    "none": Weakness([], [*PGDS, *STANDARD, *ELSEWHERE]),
    "larger logits": Weakness([], [*PGDS, *STANDARD, *ELSEWHERE], inside(Larger)),
    "PGD, a tenth of the step": Weakness([*PGDS, *ELSEWHERE], STANDARD, attacks=step_of_pgd(0.1)),
    "PGD, the step of another number of steps": Weakness(PGDS, STANDARD, settings=(("step", "madry"),)),
    # APGD halves its steps where they are too long, and never doubles them.
    "APGD, a hundredth of the step": Weakness([*STANDARD], PGDS, attacks=step_of_apgd(0.01)),
    "too few steps": Weakness(STANDARD, [], attacks=one_step, settings=(("names", ["fgsm"]),)),
    "larger logits, loss in float32": Weakness(PGDS, [], inside(Larger), loss_in_float32),
    "input in shades": Weakness([*PGDS, *STANDARD, *ELSEWHERE], [], inside(Quantised)),
    "output of classes": Weakness([*PGDS, *STANDARD, *ELSEWHERE], [], inside(Decided)),
    "noise": Weakness([*PGDS, *STANDARD, *ELSEWHERE], [], noisy),
}


@pytest.mark.parametrize("weakness", WEAK.values(), ids=WEAK)
def test_a_weakness_makes_upper_bounds(
    weakness: Weakness, hardened: Victim, trained: Trained, monkeypatch: pytest.MonkeyPatch
):
    weakness.attacks(monkeypatch)
    found = judged(weakness.network(hardened), trained, **dict(weakness.settings))
    for attack, eps in weakness.bounds:
        assert any(check.makes_upper_bound(attack, eps) for check in found), (attack, eps)
    wrongly = [check for number in weakness.spared for check in found if check.makes_upper_bound(*number)]
    assert not wrongly, [str(check) for check in wrongly]
    assert bool(failed(found)) == bool(weakness.bounds), [str(check) for check in failed(found)]


def test_a_tenth_of_the_first_step_is_made_up_for_by_apgd(hardened: Victim, trained: Trained, monkeypatch):
    """Its 20 steps still cover four times the radius: the number is right, so no check may fail."""
    images, labels = trained.images[:COUNT], trained.labels[:COUNT]

    def under() -> float:
        return accuracy_under(named("apgd", SHOWN, steps=20), hardened, images, labels)

    whole = under()
    step_of_apgd(0.1)(monkeypatch)
    assert abs(under() - whole) <= honesty.SETTLED
    assert not failed(judged(hardened, trained))


def test_logits_that_saturate_float32_are_noticed(hardened: Victim, trained: Trained):
    images, labels = trained.images[:COUNT], trained.labels[:COUNT]
    share, larger = (
        honesty.saturated(victim.logits(images), labels) for victim in (hardened, inside(Larger)(hardened))
    )
    assert larger > share + 0.5
    assert not honesty.gradients_exist(larger).passed


@pytest.mark.parametrize(
    ("network", "steady"), [(lambda victim: victim, True), (noisy, False), (inside(Beside), False)]
)
def test_whether_the_network_answers_the_same_twice(network, steady, hardened: Victim, trained: Trained):
    share = unsteadiness(network(hardened), trained.images[:COUNT])
    assert honesty.answers_are_steady(share).passed == steady


def test_rounding_is_no_change_of_an_answer():
    logits = np.random.default_rng(0).normal(size=(50, 10)).astype(np.float32)
    assert honesty.unsteady(logits, np.nextafter(logits, np.float32(9))) == 0
    assert honesty.unsteady(logits, logits + np.float32(0.01)) == 1
    assert honesty.unsteady(logits.astype(np.float64), logits + 1e-5) == 1


# What each check allows, and of what


def test_a_check_allows_just_what_it_says():
    """0.06 + 0.01 and 0.2 - 0.18 are not quite 0.07 and 0.02 in float64."""
    assert honesty.iterations_help(0.06, 0.07).passed
    assert honesty.finds_little("more steps", 0.2, 0.18).passed
    assert not honesty.finds_little("more steps", 0.2, 0.17).passed


def test_an_attack_is_held_against_noise_of_its_own_norm():
    known = {("pgd_l2", 0.1): 0.9, ("pgd_l2", 0.3): 0.9}
    found = strength.checks(known | {("uniform_noise", 0.3): 0.5}, 10)
    assert [check.name for check in found] == ["success grows with eps"]
    found = strength.checks(known | {("uniform_noise_l2", 0.3): 0.5}, 10)
    assert [(check.attack, check.passed) for check in found] == [("pgd_l2", True), ("pgd_l2", False)]
    assert set(strength.AIMED) | set(strength.CONTROLS.values()) <= set(NAMED)
    for eps, aimed in product((0.5, 3.0), strength.AIMED):
        if eps <= balls.LIMITS[strength.AIMED[aimed]]:  # whatever an attack takes, its control takes
            named(aimed, eps)
            named(strength.CONTROLS[strength.AIMED[aimed]], eps)


def test_every_attack_has_a_place_among_the_checks():
    noises = {name for name in NAMED if "noise" in name or name == "salt_and_pepper"}
    assert set(NAMED) - noises == set(strength.AIMED)
    assert all(name.endswith("_l2") == (norm == "l2") for name, norm in strength.AIMED.items())


@pytest.mark.parametrize("suffix", ["", "_l2"])
def test_the_command_lines_attacks_are_held_against_each_other(suffix: str):
    """There, each was tried on all images, and there is no worst case."""
    known = {"pgd": 0.7, "apgd": 0.65, "apgd_targeted": 0.6, "square": 0.62, "fab": 0.64}

    def bounded(**accuracies: float) -> set[str]:
        numbers = {(name + suffix, 0.3): value for name, value in (known | accuracies).items()}
        wrong = [check for check in strength.checks(numbers, 10) if not check.passed]
        return {name.removesuffix("_l2") for check in wrong for name, _ in check.bounds}

    assert bounded() == {"pgd"}  # ten points behind targeted APGD
    assert bounded(pgd=0.62) == set()
    assert bounded(square=0.5) == set(known)
    assert "apgd_targeted" in bounded(pgd=0.62, fab=0.58)
    assert "apgd_targeted" not in bounded(pgd=0.62, fab=0.59)


def test_what_was_not_measured_is_not_checked():
    assert not strength.checks({(strength.FLOAT32, 0.1): 0.5, ("bim", 0.1): 0.5}, 10)
    assert not strength.checks({("uniform_noise", 0.1): 0.5}, 10)


@pytest.mark.parametrize(
    ("check", "detail"),
    [
        (honesty.iterations_help(0.3, 0.5), "50.0% under PGD, 30.0% under FGSM"),
        (honesty.stronger_with_eps({0.2: 0.6, 0.1: 0.4, 0.3: 0.1}), "40.0% at eps 0.1, 60.0% at 0.2"),
        (honesty.reaches_chance(0.3, 10), "30.0%, chance is 10.0%"),
        (honesty.is_not_behind(0.77, 0.61, "apgd"), "77.0%, 61.0% under apgd"),
        (honesty.beats_all_others(0.64, 0.61, "pgd"), "64.0%, 61.0% under pgd"),
        (honesty.standard_adds_little(0.67, 0.64), "67.0% survive the other attacks, 64.0% with APGD"),
        (
            honesty.finds_little("more steps", 0.64, 0.6),
            "64.0% survive all attacks, 60.0% one with more",
        ),
        (
            honesty.gradients_are_not_masked(0.9, 0.7),
            "90.0% under attacks along gradients, 70.0% with",
        ),
        (honesty.answers_are_steady(0.01), "1.0% of images"),
        (honesty.noise_is_weaker(0.2, 0.9), "90.0% under attack, 20.0% under noise"),
        (honesty.transfer_is_weaker(0.2, 0.4), "40.0% under its own attack, 20.0%"),
        (
            honesty.gradients_exist(honesty.saturated(np.array([[40.0, 0], [1, 0]]), np.array([0, 0]))),
            "on 50.0%",
        ),
        (honesty.float32_suffices(0.096, 0.03), "9.6% with the loss in float32, 3.0% in float64"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_check_fails_and_says_why(check, detail):
    assert not check.passed
    assert detail in check.detail
