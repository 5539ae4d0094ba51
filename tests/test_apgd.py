"""APGD and AutoAttack: their losses, and an APGD written down once more without any tricks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from test_attacks import differences, problem, victim

from lockstep.attacks import balls
from lockstep.attacks.apgd import APGD, TargetedAPGD, checkpoints
from lockstep.attacks.autoattack import AutoAttack
from lockstep.attacks.gradient import PGD, random_start
from lockstep.attacks.losses import LOSSES, TARGETED_DLR, lead, pair_difference
from lockstep.attacks.named import NAMED, named, remark
from lockstep.attacks.noisy import Noisy
from lockstep.attacks.scores import accuracy_under
from lockstep.attacks.standing import likely, right
from lockstep.attacks.victim import Victim
from lockstep.data.dataset import Affine
from lockstep.data.draws import Stream, generator, initial_weights
from lockstep.discovery import find, load
from lockstep.errors import LockstepError
from lockstep.optimizer import Adam
from lockstep.spec import Dense, Flatten, Spec


@pytest.fixture(scope="module")
def digits(trained) -> tuple[Victim, np.ndarray, np.ndarray]:
    """The trained network, and 60 digits of which about half stand at eps 0.1."""
    make = load(find("numpy"))
    backend = make(trained.spec, Adam(), device="cpu", dtype="float32", threads=1, deterministic=True)
    backend.load(trained.weights)
    return Victim(backend, trained.affine, "float32", 100), trained.images[:60], trained.labels[:60]


# Losses


LABELS = np.arange(6) % 5
PAIRS = np.stack([LABELS, (LABELS + 1 + np.arange(6) // 2) % 5], axis=1)


def logits(classes: int = 5) -> np.ndarray:
    return 3 * generator(0, Stream.PROBLEM).normal(size=(6, classes))


@pytest.mark.parametrize(
    ("loss", "of"), [(LOSSES["dlr"], LABELS), (TARGETED_DLR, PAIRS)], ids=["untargeted", "targeted"]
)
def test_dlr_climbs_its_derivative_and_sees_no_shift_or_factor(loss, of):
    numeric = differences(lambda z: loss.value(z, of), logits())
    expected = numeric / np.abs(numeric).max(axis=1, keepdims=True)
    assert loss.derivative(logits(), of) == pytest.approx(expected, abs=1e-7)
    other = 20 * logits() + np.arange(6)[:, np.newaxis]
    assert loss.value(other, of) == pytest.approx(loss.value(logits(), of), abs=1e-12)
    assert loss.derivative(other, of) == pytest.approx(loss.derivative(logits(), of), abs=1e-12)


def test_dlr_by_hand():
    z = np.array([[5.0, 1, 3, 2]])
    assert LOSSES["dlr"].value(z, np.array([0])) == pytest.approx([(3 - 5) / (5 - 2)])
    assert LOSSES["dlr"].value(z, np.array([2])) == pytest.approx([(5 - 3) / (5 - 2)])
    assert TARGETED_DLR.value(z, np.array([[0, 3]])) == pytest.approx([(2 - 5) / (5 - (2 + 1) / 2)])


@pytest.mark.parametrize("classes", [2, 3])
def test_with_too_few_classes_the_margin_is_climbed(classes):
    z, labels = logits(classes), np.arange(6) % classes
    pairs = np.stack([labels, (labels + 1) % classes], axis=1)
    rows = np.arange(6)
    assert TARGETED_DLR.value(z, pairs) == pytest.approx(z[rows, pairs[:, 1]] - z[rows, labels])
    assert np.array_equal(TARGETED_DLR.derivative(z, pairs), pair_difference(z, pairs))
    assert (LOSSES["dlr"].value(z, labels) == lead(z, labels)).all() == (classes < 3)


# The attack


def test_checkpoints_are_those_of_the_paper():
    """w_j = p_j N: 0.22, 0.41, 0.57, 0.7, 0.8, 0.87, 0.93, 0.99 of 100 steps."""
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(50) == [11, 21, 30, 38, 45]  # in whole steps, as the authors' code counts them
    assert checkpoints(1) == [1]


@dataclass(frozen=True)
class Listening(Victim):
    """Keeps what it is asked about."""

    heard: list[np.ndarray] = field(default_factory=list)

    def logits(self, images):
        self.heard.append(images)
        return super().logits(images)

    def logits_and_gradient(self, images, labels, cotangent):
        self.heard.append(images)
        return super().logits_and_gradient(images, labels, cotangent)


def one_by_one(attack: APGD | TargetedAPGD, victim: Victim, image, label, aim, loss, x) -> list[np.ndarray]:
    """The paper's algorithm for a single image and target: all points, until one is misclassified."""

    def inside(moved: np.ndarray) -> np.ndarray:
        return balls.inside(attack.norm, "project_then_clip", image, attack.eps, moved.astype(np.float32))

    size, before, points = np.float32(2 * attack.eps), x, []
    last, halved, rises, at_checkpoint = 0, True, 0, -np.inf
    before_value, best = np.inf, (-np.inf, x, x)
    for step in range(attack.steps + 1):
        points.append(x)
        logits, gradient = victim.logits_and_gradient(x, aim, loss.derivative)
        if logits.argmax() != label:
            break
        value, uphill = loss.value(logits, aim)[0], balls.steepest(attack.norm, gradient).astype(np.float32)
        rises += value > before_value
        before_value = value
        if value > best[0]:
            best = value, x, uphill
        if step in checkpoints(attack.steps):
            halved = rises <= 0.75 * (step - last) or (not halved and best[0] <= at_checkpoint)
            last, at_checkpoint, rises = step, best[0], 0
            if halved:
                size, (_, x, uphill) = size / 2, best
        share = 0.75 if step > 0 else 1
        x, before = inside(x + share * (inside(x + size * uphill) - x) + (1 - share) * (x - before)), x
    return points


@pytest.fixture(scope="module")
def exact(digits) -> tuple[Victim, np.ndarray, np.ndarray]:
    """The network in float64, so that no branch hangs on a rounding, and 20 digits."""
    attacked, images, labels = digits
    make = load(find("numpy"))
    spec, weights = attacked.backend.spec, attacked.backend.dump()
    backend = make(spec, Adam(), device="cpu", dtype="float64", threads=1, deterministic=True)
    backend.load({name: value.astype(float) for name, value in weights.items()})
    return Victim(backend, attacked.affine, "float64", 1), images[:20], labels[:20]


PLAIN = [
    APGD(0.08, steps=30),
    APGD(0.8, "l2", steps=30, loss="dlr"),
    APGD(0.08, steps=30, loss="margin"),
    TargetedAPGD(0.08, steps=10, targets=2),
]
plain = pytest.mark.parametrize("attack", PLAIN, ids=lambda attack: f"{type(attack).__name__} {attack.norm}")


def by_the_paper(attack, attacked: Victim, images, labels, i: int) -> list[list[np.ndarray]]:
    """The points of each ascent of image i."""
    image, label = images[i : i + 1], labels[i : i + 1]
    if isinstance(attack, APGD):
        aims = [(LOSSES[attack.loss], label)]
    else:
        targets = likely(attacked.logits(image), label, attack.targets)[0]
        aims = [(TARGETED_DLR, np.array([[label[0], target]])) for target in targets]
    starts = [random_start(attack.norm, attack.eps, image, 5, i, number) for number in range(len(aims))]
    return [
        one_by_one(attack, attacked, image, label, aim, loss, start)
        for (loss, aim), start in zip(aims, starts, strict=True)
    ]


@plain
def test_every_point_is_that_of_the_paper(attack, exact):
    attacked, images, labels = exact
    attack = replace(attack, targets=1) if isinstance(attack, TargetedAPGD) else attack
    for i in range(4):
        (points,) = by_the_paper(attack, attacked, images, labels, i)
        listening = Listening(**vars(attacked))
        attack(listening, images[i : i + 1], labels[i : i + 1], seed=5, first=i)
        assert len(listening.heard) == 1 + len(points), "first of all the clean image"
        assert np.abs(np.concatenate(listening.heard[1:]) - np.concatenate(points)).max() < 1e-6


@plain
def test_neither_dropping_nor_packing_changes_a_verdict(attack, exact):
    attacked, images, labels = exact
    found = attack(attacked, images, labels, seed=5)
    fallen, clean = ~right(attacked.logits(found), labels), right(attacked.logits(images), labels)
    for i in np.flatnonzero(clean):
        ends = [points[-1] for points in by_the_paper(attack, attacked, images, labels, int(i))]
        wrong = [end for end in ends if attacked.logits(end).argmax() != labels[i]]
        assert fallen[i] == bool(wrong), f"image {i}"
        expected = wrong or [images[i : i + 1]]
        assert min(np.abs(found[i] - point[0]).max() for point in expected) < 1e-6
    assert 1 < (fallen & clean).sum() < clean.sum() - 1, "some fall and some stand"


def test_restarts_are_for_what_still_stands(digits):
    once, more = (replace(APGD(0.08, steps=5), restarts=n)(*digits) for n in (1, 4))
    attacked, _, labels = digits
    fell, fell_later = (~right(attacked.logits(found), labels) for found in (once, more))
    assert np.array_equal(once[fell], more[fell])
    assert (fell_later >= fell).all()


def test_it_needs_no_step_where_pgd_does(digits):
    for steps in (10, 40):
        short = accuracy_under(PGD(0.1, steps=steps, step=0.01), *digits)
        assert accuracy_under(APGD(0.1, steps=steps), *digits) < short - 0.1


# AutoAttack


def test_each_part_works_on_what_stands(digits):
    attacked, images, labels = digits
    attack = AutoAttack(0.1, fast=True)
    stages = list(attack.stages(*digits, seed=3))
    assert [stage.name for stage in stages] == ["apgd", "apgd_targeted"]
    assert list(AutoAttack(0.1).parts()) == ["apgd", "apgd_targeted", "fab", "square"]
    first, last = stages
    assert (last.standing <= first.standing).all()
    assert np.array_equal(first.images[~first.standing], last.images[~first.standing]), "left alone"
    assert np.array_equal(last.images[last.standing], images[last.standing]), "as they were"
    assert np.array_equal(attack(*digits, seed=3), last.images)
    for stage in stages:
        assert np.array_equal(right(attacked.logits(stage.images), labels), stage.standing)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("l2", 0.2)])
def test_the_full_set(norm, eps):
    attacked, (images, labels) = victim(), problem(4)
    *_, last = AutoAttack(eps, norm).stages(attacked, images, labels)
    assert last.name == "square"
    change = (last.images - images).reshape(4, -1)
    assert np.linalg.norm(change, np.inf if norm == "linf" else 2, axis=1).max() <= eps + 2e-7
    assert np.array_equal(right(attacked.logits(last.images), labels), last.standing)
    assert 0 < last.standing.sum() < 4, "some fall and some stand"


def test_answers_that_change_break_no_budget(digits):
    """What a part took for fallen may stand when it is asked again: it must not be the next one's start."""
    attacked, images, labels = digits
    noisy = Noisy(**vars(attacked), level=0.3)
    for stage in AutoAttack(0.1, fast=True).stages(noisy, images, labels):
        assert np.abs(stage.images - images).max() <= 0.1 + 2e-7
        assert np.array_equal(stage.images[stage.standing], images[stage.standing])


# Few classes, and what a person may get wrong


def few(classes: int) -> tuple[Victim, np.ndarray, np.ndarray]:
    spec = Spec(input_shape=(4, 4, 1), layers=(Flatten(), Dense(units=classes)))
    make = load(find("numpy"))
    backend = make(spec, Adam(), device="cpu", dtype="float64", threads=1, deterministic=True)
    backend.load(initial_weights(spec, 0, "float64"))
    images = generator(2, Stream.PROBLEM).uniform(size=(6, 4, 4, 1)).astype(np.float32)
    found = Victim(backend, Affine(np.array(2.0), np.array(-1.0)), "float64", 6)
    return found, images, found.logits(images).argmax(axis=1)


ASKED = [
    name for name in NAMED if "noise" not in name and name != "salt_and_pepper" and name != "autoattack_l2"
]


@pytest.mark.parametrize("classes", [2, 3])
def test_two_classes_are_enough(classes):
    for name in ASKED:
        eps = 3.0 if name.endswith("_l2") else 0.8
        assert accuracy_under(named(name, eps), *few(classes)) < 1, name
    said = {name: remark(named(name, 0.1), classes) for name in NAMED}
    for name in ("apgd_targeted", "autoattack", "autoattack_fast", "apgd_targeted_l2"):
        assert said[name] == (
            f"the DLR loss needs 4 classes and there are {classes}: the margin is climbed in its place"
        )
    assert bool(said["apgd_dlr"]) == (classes == 2)
    assert not any(said[name] for name in ("apgd", "fab", "square", "pgd", "uniform_noise"))
    assert not any(remark(named(name, 0.1), 4) for name in NAMED)


@pytest.mark.parametrize("name", ["apgd", "apgd_targeted", "fab", "square", "autoattack_fast"])
def test_one_class_is_refused(name):
    with pytest.raises(LockstepError, match="the network has 1 output, expected 2 or more"):
        named(name, 0.1)(*few(1))


def test_a_diverged_network_does_not_pass_for_a_broken_one(digits):
    attacked, images, labels = digits
    state = attacked.backend.dump()
    attacked.backend.load({name: value * np.nan for name, value in state.items()})
    with pytest.raises(LockstepError, match="NaN or infinite; the network has diverged"):
        APGD(0.1)(attacked, images, labels)
    attacked.backend.load(state)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: APGD(1.5), "eps: found 1.5, expected a number, 0 to 1"),
        (lambda: APGD(0.1, restarts=0), "restarts: found 0, expected a number, 1 or more"),
        (lambda: APGD(0.1, steps=0), "steps: found 0, expected a number, 1 or more"),
        (lambda: APGD(0.1, loss="hinge"), "loss: no loss 'hinge'"),
        (lambda: APGD(0.1, "l1"), "norm: no norm 'l1'"),
        (lambda: TargetedAPGD(0.1, targets=0), "targets: found 0, expected a number, 1 or more"),
        (lambda: AutoAttack(-0.1), "eps: found -0.1"),
        (lambda: APGD(0.1)(victim(), problem()[0], problem()[1] + 5), "the network has 5 outputs"),
        (lambda: named("apdg", 0.1), "unknown attack 'apdg'; known: fgsm, bim, pgd, apgd"),
        (lambda: named("apgd", 0.1, targets=3), "apgd: no option 'targets'; it has steps, restarts"),
        (
            lambda: named("apgd_targeted", 0.1, loss="dlr"),
            "no option 'loss'; it has steps, targets, restarts",
        ),
        (lambda: named("autoattack", 0.1, steps=3), "autoattack: no option 'steps'; it has none"),
        (lambda: named("autoattack_fast", 0.1, fast=False), "autoattack_fast: no option 'fast'; it has none"),
        (lambda: named("pgd_l2", 0.1, norm="linf"), "pgd_l2: no option 'norm'"),
        (lambda: named("pgd", 0.1, targeted=True), "pgd: no option 'targeted'"),
        (lambda: named("pgd", 0.1, restarts=0), "pgd: restarts: found 0"),
        (lambda: named("pgd", 0.1, restarts=1.5), r"pgd: restarts: found 1.5 \(float\), expected an integer"),
        (lambda: named("pgd", 0.1, steps=True), r"pgd: steps: found True \(bool\), expected an integer"),
        (lambda: named("pgd", 0.1, step="maddy"), "pgd: step: found 'maddy', expected a number"),
        (lambda: named("pgd", 0.1, step=0), "pgd: step: found 0, expected a number above 0"),
        (lambda: named("pgd", 0.1, step=float("nan")), "pgd: step: found nan"),
        (lambda: named("pgd", 0.1, step=[1]), r"pgd: step: found \[1\]"),
        (lambda: named("pgd", 0.1, momentum="a"), "pgd: momentum: found 'a'"),
        (lambda: named("pgd", 0.1, loss=["dlr"]), r"pgd: loss: found \['dlr'\] \(list\), expected text"),
        (lambda: named("pgd", 0.1, keep="first"), "pgd: keep: found 'first'"),
        (lambda: named("pgd", 0.1, random_start=1), r"random_start: found 1 \(int\), expected True or False"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(wrong, message):
    with pytest.raises(LockstepError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
