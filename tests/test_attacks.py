"""Attacks: gradients by finite differences, budgets on drawn images, and effects on a trained network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.attacks import balls, honesty
from lockstep.attacks.apgd import APGD, TargetedAPGD
from lockstep.attacks.autoattack import AutoAttack
from lockstep.attacks.corruptions import CORRUPTIONS, Scale
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.losses import LOSSES, cross_entropy, lead, margin, uphill
from lockstep.attacks.named import named
from lockstep.attacks.noise import GaussianNoise, SaltAndPepper, UniformNoise
from lockstep.attacks.patch import Patch, Placement, Sticker
from lockstep.attacks.patterns import MaximumActivation, Pattern, Universal, pictures
from lockstep.attacks.scores import accuracy, accuracy_under, transfer_accuracy
from lockstep.attacks.victim import Victim, with_victim
from lockstep.data.dataset import Affine
from lockstep.data.draws import Stream, generator, initial_weights
from lockstep.discovery import find, load
from lockstep.errors import LockstepError
from lockstep.evaluation import cross_entropy as entropies
from lockstep.optimizer import Adam
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Flatten, Spec

ROUNDING = 2.0**-24
"""Half the distance of float32 numbers below 1: what one addition may be off by."""
# Smooth, several channels, not square: finite differences work, and no layout goes unnoticed.
SMOOTH = Spec(
    input_shape=(7, 6, 2),
    layers=(
        *(Conv2D(filters=4, kernel=3), Activation(function="tanh"), AvgPool(size=2)),
        *(Flatten(), Dense(units=5)),
    ),
)
BUDGETED = [
    FGSM(0.2),
    PGD(0.2, steps=3),
    PGD(0.2, steps=3, momentum=1.0),
    PGD(1.5, "l2", steps=3),
    PGD(1.5, "l2", steps=3, order="clip_then_project"),
    Universal(0.2, steps=3),
    MaximumActivation(1, 0.2, steps=3),
    APGD(0.2, steps=8),
    APGD(1.5, "l2", steps=8, loss="dlr"),
    TargetedAPGD(0.2, steps=8, targets=3),
    TargetedAPGD(1.5, "l2", steps=8),
    AutoAttack(0.2, fast=True),
    AutoAttack(1.5, "l2", fast=True),
    UniformNoise(0.2),
    UniformNoise(1.5, "l2"),
    GaussianNoise(0.2),
    SaltAndPepper(0.2),
]
ALL = [*BUDGETED, Patch(3, Placement(20, 0.1), steps=2), *CORRUPTIONS.values()]


def name(attack) -> str:
    return f"{type(attack).__name__} {getattr(attack, 'norm', '')} {getattr(attack, 'order', '')}".strip()


def victim(dtype: str = "float64", batch: int = 9) -> Victim:
    draw = generator(3, Stream.PROBLEM)
    shape = SMOOTH.input_shape
    affine = Affine(draw.uniform(1, 4, shape), draw.normal(size=shape))
    reference = load(find("numpy"))
    backend = reference(SMOOTH, Adam(), device="cpu", dtype=dtype, threads=1, deterministic=True)
    backend.load(initial_weights(SMOOTH, 0, dtype))
    return Victim(backend, affine, dtype, batch)


def problem(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Images with many pixels at the edges of the box, as digits have; what the network takes them for."""
    draw = generator(1, Stream.PROBLEM)
    images = np.clip(draw.uniform(-0.5, 1.5, (count, *SMOOTH.input_shape)), 0, 1)
    images = images.astype(np.float32)
    return images, victim().logits(images).argmax(axis=1)


@pytest.fixture(scope="module")
def digits(trained) -> tuple[Victim, np.ndarray, np.ndarray]:
    """The trained network, and 100 digits."""
    backend = load(find("numpy"))(
        trained.spec, Adam(), device="cpu", dtype="float32", threads=1, deterministic=True
    )
    backend.load(trained.weights)
    return Victim(backend, trained.affine, "float32", 100), trained.images[:100], trained.labels[:100]


# Gradients


def differences(function, at: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of a function to [n], each image's own: float64, the shape of `at`."""
    found = np.zeros(at.shape)
    for place in np.ndindex(at.shape[1:]):
        moved = np.zeros(at.shape[1:])
        moved[place] = step
        found[:, *place] = (function(at + moved) - function(at - moved)) / (2 * step)
    return found


def log_odds(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """log((1 - p_true) / p_true)"""
    entropy = entropies(logits, np.eye(logits.shape[1])[labels])
    return np.log(np.expm1(entropy))


def ahead(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    rows = np.arange(len(labels))
    return np.delete(logits, labels[0], axis=1).max(axis=1) - logits[rows, labels]


def test_cotangents_are_derivatives_of_their_losses():
    logits, labels = 3 * generator(0, Stream.PROBLEM).normal(size=(6, 5)), np.full(6, 2)
    by_odds = differences(lambda z: log_odds(z, labels), logits)
    assert cross_entropy(logits, labels) == pytest.approx(by_odds, abs=1e-7)
    assert margin(logits, labels) == pytest.approx(differences(lambda z: ahead(z, labels), logits), abs=1e-7)
    assert lead(logits, labels) == pytest.approx(ahead(logits, labels))


def test_the_cotangent_of_cross_entropy_is_softmax_minus_target_scaled():
    logits, labels = 3 * generator(0, Stream.PROBLEM).normal(size=(6, 5)), np.array([0, 1, 2, 3, 4, 0])
    targets = np.eye(5)[labels]
    plain = differences(lambda z: entropies(z, targets), logits)
    scaled = plain / np.abs(plain).max(axis=1, keepdims=True)
    assert cross_entropy(logits, labels) == pytest.approx(scaled, abs=1e-6)
    assert LOSSES["cross_entropy_float32"].derivative(logits, labels) == pytest.approx(plain, abs=1e-6)
    assert LOSSES["cross_entropy_float32"].derivative(logits, labels).dtype == np.float32


def test_a_saturated_cross_entropy_keeps_its_direction():
    logits, labels = np.array([[2000.0, 5, 3, 1]]), np.array([0])
    shares = np.exp([0, -2, -4]) / np.exp([0, -2, -4]).sum()
    assert cross_entropy(logits, labels)[0] == pytest.approx([-1, *shares])
    assert not LOSSES["cross_entropy_float32"].derivative(logits, labels).any()  # an attack would stand still


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_the_gradient_by_pixels_is_that_of_preprocessing_and_network(loss):
    attacked, (images, labels) = victim(), problem()
    value = {"cross_entropy": log_odds, "margin": lead}[loss]
    expected = differences(lambda x: value(attacked.logits(x), labels), images.astype(np.float64), step=1e-5)
    assert attacked.gradient(images, labels, uphill(loss, False)) == pytest.approx(expected, abs=1e-8)
    assert attacked.gradient(images, labels, uphill(loss, True)) == pytest.approx(-expected, abs=1e-8)


def test_cross_entropy_in_float32_overstates_robustness(digits):
    """The same decisions with logits 20 times as large: float32 loses the way up, and float64 does not."""
    attacked, images, labels = digits
    state = attacked.backend.dump()
    sure = {name: 20 * value if name.startswith("dense1") else value for name, value in state.items()}
    attacked.backend.load(sure)
    logits = attacked.logits(images)
    found = {
        loss: accuracy_under(FGSM(0.1, loss), attacked, images, labels)
        for loss in ("cross_entropy", "cross_entropy_float32")
    }
    attacked.backend.load(state)
    assert not honesty.gradients_exist(honesty.saturated(logits, labels)).passed
    assert found["cross_entropy_float32"] > found["cross_entropy"] + 0.1
    assert not honesty.float32_suffices(found["cross_entropy_float32"], found["cross_entropy"]).passed
    plain = accuracy_under(FGSM(0.1), attacked, images, labels)
    assert found["cross_entropy"] == pytest.approx(plain, abs=0.05)


def test_a_tiny_gradient_does_not_underflow():
    """Weights that shrink a gradient to 1e-60 of its size would, with 1 - p_true for a factor, be 0."""
    attacked, (images, labels) = victim("float32"), problem()
    attacked.backend.load({"dense1/bias": 300 * np.eye(5)[0], **_but(attacked, "dense1/bias")})
    assert np.abs(attacked.gradient(images, 0 * labels, cross_entropy)).max() > 1e-3
    assert not attacked.gradient(images, 0 * labels, LOSSES["cross_entropy_float32"].derivative).any()


def _but(attacked: Victim, gone: str) -> dict[str, np.ndarray]:
    return {name: weight for name, weight in attacked.backend.dump().items() if name != gone}


# Budget and box


pixels = st.floats(0, 1, width=32)
moves = st.floats(-2, 2, width=32)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(pixels, moves), min_size=6, max_size=6),
    st.floats(0, 1),
    st.sampled_from(["linf", "l2"]),
)
@pytest.mark.parametrize("order", ["project_then_clip", "clip_then_project"])
def test_what_has_moved_comes_back_into_ball_and_box(order, drawn, eps, norm):
    image, move = np.array(drawn, np.float32).T.reshape(2, 1, 3, 2, 1)
    found = balls.inside(norm, order, image, eps, image + move)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    change = found.astype(np.float64) - image
    size = np.abs(change).max() if norm == "linf" else np.linalg.norm(change)
    assert size <= eps + 3 * ROUNDING
    within = balls.clip(image + np.clip(move, -eps / 3, eps / 3))
    assert balls.inside(norm, order, image, eps, within) == pytest.approx(within, abs=2 * ROUNDING)


def test_the_orders_of_projection_differ_in_how_much_of_the_ball_is_used():
    image = np.zeros((1, 1, 2, 1), np.float32)
    moved = np.array([3, -4], np.float32).reshape(image.shape)
    first, then = (balls.inside("l2", order, image, 0.5, moved) for order in balls.Order.__args__)
    assert first.ravel() == pytest.approx([0.3, 0])
    assert then.ravel() == pytest.approx([0.5, 0])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_starts_fill_the_ball(norm):
    draw = generator(0, Stream.ATTACK_START)
    drawn = np.stack([balls.random(norm, (2, 1, 1), 0.5, draw) for _ in range(4000)])[:, :, 0, 0]
    size = np.abs(drawn).max(axis=1) if norm == "linf" else np.linalg.norm(drawn, axis=1)
    assert size.max() <= 0.5
    # In two dimensions half the radius holds a quarter of the area.
    assert np.mean(size < 0.25) == pytest.approx(0.25, abs=0.03)
    assert drawn.mean(axis=0) == pytest.approx([0, 0], abs=0.02)


@pytest.mark.parametrize("attack", ALL, ids=name)
def test_every_attack_gives_images(attack):
    images, labels = problem()
    found = attack(victim(), images, labels, seed=4)
    assert found.shape == images.shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert not np.array_equal(found, images)
    assert np.array_equal(images, problem()[0]), "the caller's images are left as they were"


@pytest.mark.parametrize("attack", BUDGETED, ids=name)
def test_without_a_budget_nothing_changes(attack):
    images, labels = problem()
    assert np.array_equal(replace(attack, eps=0.0)(victim(), images, labels), images)


@pytest.mark.parametrize(
    "attack", [a for a in BUDGETED if not isinstance(a, GaussianNoise | SaltAndPepper)], ids=name
)
def test_the_budget_is_kept(attack):
    images, labels = problem()
    change = attack(victim(), images, labels).astype(np.float64) - images
    sizes = np.linalg.norm(change.reshape(5, -1), axis=1) if " l2" in name(attack) else np.abs(change)
    assert sizes.max() <= attack.eps + 3 * ROUNDING


# What each attack is


def test_fgsm_is_one_step_of_pgd():
    images, labels = problem()
    one = PGD(0.2, steps=1, step=1, random_start=False)(victim(), images, labels)
    assert np.abs(FGSM(0.2)(victim(), images, labels) - one).max() <= 2 * ROUNDING
    direction = np.sign(victim().gradient(images, labels, cross_entropy))
    assert one == pytest.approx(np.clip(images + 0.2 * direction, 0, 1), abs=1e-7)


def test_momentum_adds_gradients_of_length_one():
    """Two steps of MI-FGSM by hand."""
    attacked, (images, labels) = victim(), problem()

    def normal(x: np.ndarray) -> np.ndarray:
        gradient = attacked.gradient(x, labels, cross_entropy)
        return gradient / np.abs(gradient).sum(axis=(1, 2, 3), keepdims=True)

    first = balls.clip(images + np.float32(0.1) * np.sign(normal(images)).astype(np.float32))
    second = first + 0.1 * np.sign(0.5 * normal(images) + normal(first))
    attack = PGD(0.2, steps=2, step=0.5, random_start=False, momentum=0.5)
    assert attack(attacked, images, labels) == pytest.approx(np.clip(second, 0, 1), abs=1e-6)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_restarts_never_help_the_victim(digits, norm, targeted):
    attacked, images, labels = digits
    attack = PGD(0.1 if norm == "linf" else 1.0, norm, steps=4, step=0.25, targeted=targeted)
    wanted = np.full_like(labels, 3) if targeted else labels
    sign = -1 if targeted else 1
    one, five = (
        sign * lead(attacked.logits(replace(attack, restarts=n)(attacked, images, wanted)), wanted)
        for n in (1, 5)
    )
    assert (five >= one).all()
    assert (five > one).any()


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_a_targeted_attack_reaches_its_class(digits, loss):
    attacked, images, _ = digits
    wanted = np.full(len(images), 3)
    for attack in (PGD(0.3, steps=20, step=0.1), PGD(4.0, "l2", steps=20, step=0.1)):
        found = replace(attack, loss=loss, targeted=True)(attacked, images, wanted)
        assert np.mean(attacked.logits(found).argmax(axis=1) == 3) > 0.9
    untargeted = FGSM(0.2, loss)(attacked, images, wanted)
    targeted = FGSM(0.2, loss, targeted=True)(attacked, images, wanted)
    assert accuracy(attacked, targeted, wanted) > accuracy(attacked, untargeted, wanted)


def test_a_diverged_network_is_not_attacked(digits):
    attacked, images, labels = digits
    state = attacked.backend.dump()
    attacked.backend.load({name: value * np.nan for name, value in state.items()})
    with pytest.raises(LockstepError, match="gradient: NaN or infinite; the network has diverged"):
        FGSM(0.1)(attacked, images, labels)
    attacked.backend.load(state)


def test_a_universal_perturbation_is_one_for_all_and_hurts_others(digits):
    attacked, images, labels = digits
    pattern = Universal(0.2, steps=20).fit(attacked, images[:50], labels[:50])
    assert pattern.delta.shape == (28, 28, 1)
    others = images[50:]
    assert np.array_equal(pattern(attacked, others, labels[50:]), np.clip(others + pattern.delta, 0, 1))
    noise = accuracy_under(UniformNoise(0.2), attacked, others, labels[50:])
    assert accuracy_under(pattern, attacked, others, labels[50:]) < noise - 0.2


def test_maximum_activation_raises_a_class_or_a_hidden_unit(digits, trained):
    attacked, images, labels = digits
    hidden_spec = trained.spec.until("activation2")
    hidden = load(find("numpy"))(
        hidden_spec, Adam(), device="cpu", dtype="float32", threads=1, deterministic=True
    )
    hidden.load(trained.weights)
    for looked_at in (attacked, replace(attacked, backend=hidden)):
        found = MaximumActivation(5, 0.2, steps=20)(looked_at, images, labels)
        before, after = (looked_at.logits(x)[..., 5].mean() for x in (images, found))
        noise = looked_at.logits(UniformNoise(0.2)(looked_at, images, labels))[..., 5].mean()
        assert after > max(before, noise) + 0.05
        (drawn,) = pictures(replace(looked_at, batch=1), images.mean(axis=0), [5], steps=20)
        assert drawn.shape == (28, 28, 1)
        assert 0 <= drawn.min() <= drawn.max() <= 1
        assert looked_at.logits(drawn[np.newaxis])[..., 5].mean() > before


def test_a_patch_is_pasted_where_it_is_placed():
    """Upright and of its own size, at whole pixels, it covers exactly `size` x `size` of them."""
    images = np.full((2, 7, 6, 2), 0.5, np.float32)
    patch = generator(0, Stream.PROBLEM).uniform(size=(3, 3, 2)).astype(np.float32)
    uniforms = np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 1, 1]])
    found = Sticker(patch, Placement(0, 0)).on(images, uniforms)
    expected = images.copy()
    expected[0, :3, :3], expected[1, 4:, 3:] = patch, patch
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_turned_patch_turns():
    images, patch = np.zeros((1, 9, 9, 1), np.float32), np.zeros((3, 3, 1), np.float32)
    patch[0, 1] = 1  # above its centre
    uniforms = np.array([[1.0, 0.5, 0.5, 0.5]])
    found = Sticker(patch, Placement(90, 0)).on(images, uniforms)
    expected = np.zeros_like(images)
    expected[0, 4, 3] = 1  # to the left: 90 degrees counter-clockwise
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_gradient_by_a_patch_is_the_transpose_of_placing_it():
    draw, placement = generator(0, Stream.PROBLEM), Placement(40, 0.3)
    uniforms = draw.uniform(size=(4, 4))
    rows, columns = placement.weights(3, (8, 9), uniforms)
    pixels = draw.normal(size=(4, 72))
    by_patch = np.einsum("npi,npj,np->ij", rows, columns, pixels)
    patch = draw.uniform(0.1, 0.9, (3, 3, 1)).astype(np.float32)
    placed = Sticker(patch, placement).on(np.zeros((4, 8, 9, 1), np.float32), uniforms)
    assert (placed.reshape(4, 72) * pixels).sum() == pytest.approx((by_patch * patch[..., 0]).sum(), rel=1e-5)


def test_a_patch_fools_more_than_a_grey_one(digits):
    attacked, images, labels = digits
    attack = Patch(10, Placement(10, 0.1), steps=15)
    fitted = attack.fit(attacked, images[:50], labels[:50])
    grey = replace(attack, steps=0).fit(attacked, images[:50], labels[:50])
    others, truth = images[50:], labels[50:]
    assert (
        accuracy_under(fitted, attacked, others, truth) < accuracy_under(grey, attacked, others, truth) - 0.1
    )


# Randomness


@pytest.mark.parametrize("attack", ALL, ids=name)
def test_the_same_seed_gives_the_same_images(attack):
    images, labels = problem()
    once, twice = (attack(victim(), images, labels, seed=7) for _ in range(2))
    assert np.array_equal(once, twice)


IMAGE_BY_IMAGE = [a for a in ALL if not isinstance(a, Universal | MaximumActivation | Patch)]


@pytest.mark.parametrize("attack", [*IMAGE_BY_IMAGE, PGD(0.2, steps=3, restarts=3)], ids=name)
def test_a_part_can_be_attacked_alone_and_in_batches_of_any_size(attack):
    images, labels = problem(7)
    whole = attack(victim(batch=7), images, labels, seed=7)
    part = attack(victim(batch=2), images[3:6], labels[3:6], seed=7, first=3)
    assert part == pytest.approx(whole[3:6], abs=1e-6)
    if getattr(attack, "random_start", isinstance(attack, UniformNoise | GaussianNoise | SaltAndPepper)):
        other = attack(victim(), images[3:6], labels[3:6], seed=7, first=4)
        assert not np.allclose(other, whole[3:6], atol=1e-3), "another place, other draws"


@pytest.mark.parametrize("attack", [Universal(0.2, steps=3), Patch(3, Placement(20, 0.1), steps=2)], ids=name)
def test_what_is_fitted_to_all_images_does_not_depend_on_batches_either(attack):
    images, labels = problem(7)
    whole, split = (attack(victim(batch=batch), images, labels) for batch in (7, 2))
    assert split == pytest.approx(whole, abs=1e-6)


def test_seeds_differ_and_networks_do_not():
    images, labels = problem()
    one, two = (PGD(0.2, steps=0)(victim(), images, labels, seed) for seed in (1, 2))
    assert not np.allclose(one, two, atol=1e-3)
    assert np.array_equal(one, PGD(0.2, steps=0)(victim("float32"), images, labels, 1))


# Scores


def test_scores(digits):
    attacked, images, labels = digits
    clean = accuracy(attacked, images, labels)
    assert clean > 0.85
    white_box = accuracy_under(FGSM(0.15), attacked, images, labels)
    assert white_box < 0.5
    assert transfer_accuracy(FGSM(0.15), attacked, attacked, images, labels) == white_box
    assert accuracy_under(Pattern(np.zeros((28, 28, 1), np.float32)), attacked, images, labels) == clean


def test_a_victim_is_made_where_the_backend_lives(digits, trained):
    attacked, images, labels = digits

    def make(spec: Spec, adam: Adam):
        return load(find("numpy"))(spec, adam, device="cpu", dtype="float32", threads=1, deterministic=True)

    there = with_victim(
        make, trained.spec, trained.weights, trained.affine, "float32", FGSM(0.1), images, labels, seed=1
    )
    assert there == pytest.approx(FGSM(0.1)(attacked, images, labels), abs=1e-6)


# What a person may get wrong


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: FGSM(1.5), "eps: found 1.5, expected a number, 0 to 1"),
        (lambda: FGSM(-0.1), "eps: found -0.1"),
        (lambda: FGSM(float("nan")), "eps: found nan"),
        (lambda: PGD(30.0, "l2", restarts=0), "restarts: found 0, expected a number, 1 or more"),
        (lambda: PGD(0.1, restarts=2, random_start=False), "restarts: without a random start"),
        (lambda: PGD(2.0), "eps: found 2.0, expected a number, 0 to 1"),
        (lambda: PGD(0.1, "l1"), "norm: no norm 'l1'; there are: linf, l2"),
        (lambda: PGD(0.1, order="none"), "order: found 'none'"),
        (lambda: PGD(0.1, loss="hinge"), "loss: no loss 'hinge'; there are: cross_entropy, margin"),
        (lambda: UniformNoise(2), "eps: found 2"),
        (lambda: UniformNoise(-1, "l2"), "eps: found -1, expected a number, 0 or more"),
        (lambda: UniformNoise(1, "l0"), "norm: no norm 'l0'"),
        (lambda: named("pgd", 1.5), "pgd: eps: found 1.5, .* in l2 eps is a length"),
        (lambda: Universal(2), "eps: found 2"),
        (lambda: Scale(0), "factor: found 0"),
        (
            lambda: FGSM(0.1)(victim(), problem()[0] * 255, problem()[1]),
            "images: found 0 to 255, expected pixels",
        ),
        (lambda: FGSM(0.1)(victim(), problem()[0] * np.nan, problem()[1]), "images: found nan to nan"),
        (lambda: FGSM(0.1)(victim(), problem()[0].astype("uint8"), problem()[1]), "divide bytes by 255"),
        (
            lambda: FGSM(0.1)(victim(), problem()[0][0], problem()[1]),
            r"of shape \(7, 6, 2\), expected floats",
        ),
        (
            lambda: FGSM(0.1)(victim(), problem()[0], problem()[1] + 5),
            "expected 0 to 4: the network has 5 outputs",
        ),
        (lambda: FGSM(0.1)(victim(), problem()[0], problem()[1] - 9), "expected one class, 0 or more"),
        (lambda: FGSM(0.1)(victim(), problem()[0], problem()[1][:3]), "for each of 5 images"),
        (lambda: UniformNoise(0.1)(None, problem()[0] - 1, problem()[1]), "expected pixels in"),
        (lambda: MaximumActivation(9, 0.1).fit(victim(), problem()[0]), "the network has 5 outputs"),
        (
            lambda: Patch(9).fit(victim(), *problem()),
            "size: a patch of 9 pixels, enlarged by 0.2, does not fit",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(wrong, message):
    with pytest.raises(LockstepError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
