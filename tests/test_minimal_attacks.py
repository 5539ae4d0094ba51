"""FAB and Square: projections, budgets, a network whose nearest wrong image is known, and one that hides its
gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from lockstep.attacks.fab import FAB, onto_plane
from lockstep.attacks.gradient import FGSM
from lockstep.attacks.scores import accuracy_under
from lockstep.attacks.square import Square
from lockstep.attacks.standing import packed, right
from lockstep.attacks.victim import Victim
from lockstep.data.dataset import Affine
from lockstep.data.draws import Stream, generator, initial_weights
from lockstep.discovery import find, load
from lockstep.errors import LockstepError
from lockstep.optimizer import Adam
from lockstep.spec import Activation, Conv2D, Dense, Flatten, Spec

ROUNDING = 2.0**-24
SHAPE = (7, 6, 2)
BUDGETS = {"linf": 0.2, "l2": 1.5}
ATTACKS = [
    attack
    for norm, eps in BUDGETS.items()
    for attack in (FAB(eps, norm, steps=5), Square(eps, norm, queries=25))
]


def name(attack) -> str:
    return f"{type(attack).__name__} {attack.norm}"


def victim(*layers, classes: int = 5, dtype: str = "float64") -> Victim:
    spec = Spec(input_shape=SHAPE, layers=(*layers, Flatten(), Dense(units=classes)))
    make = load(find("numpy"))
    backend = make(spec, Adam(), device="cpu", dtype=dtype, threads=1, deterministic=True)
    backend.load(initial_weights(spec, 0, dtype))
    return Victim(backend, Affine(np.array(2.0), np.array(-1.0)), dtype, batch=9)


CONVOLUTION = Conv2D(filters=4, kernel=3), Activation(function="tanh")


def images(count: int = 12) -> np.ndarray:
    """Many pixels at the edges of the box, as digits have."""
    draw = generator(1, Stream.PROBLEM)
    return np.clip(draw.uniform(-0.5, 1.5, (count, *SHAPE)), 0, 1).astype(np.float32)


def guesses(attacked: Victim, x: np.ndarray) -> np.ndarray:
    """Labels by which every image is right."""
    return attacked.logits(x).argmax(axis=1)


def length(norm: str, change: np.ndarray) -> np.ndarray:
    flat = change.reshape(len(change), -1)
    return np.linalg.norm(flat, np.inf if norm == "linf" else 2, axis=1)


@pytest.mark.parametrize("norm", BUDGETS)
def test_a_projection_is_the_smallest_change_onto_plane_and_box(norm):
    """Beside scipy's: a linear program in linf, SLSQP in l2."""
    draw = generator(2, Stream.PROBLEM)
    points = np.clip(draw.uniform(-0.5, 1.5, (40, 6)), 0, 1)
    normal = (
        draw.normal(size=(40, 6)) * (draw.uniform(size=(40, 6)) > 0.2) * 10.0 ** draw.integers(-9, 9, (40, 1))
    )
    offset = np.einsum("np,np->n", normal, draw.uniform(size=(40, 6)) - points)  # the box reaches it
    found = onto_plane(norm, points, normal, offset)
    size = np.abs(normal).max(axis=1)
    assert (points + found).min() >= -1e-12
    assert (points + found).max() <= 1 + 1e-12
    assert np.einsum("np,np->n", normal, found) / size == pytest.approx(offset / size, abs=1e-9)
    for point, across, beyond, mine in zip(
        points, normal / size[:, np.newaxis], offset / size, found, strict=True
    ):
        if norm == "linf":
            both = np.block([[np.eye(6), -np.ones((6, 1))], [-np.eye(6), -np.ones((6, 1))]])
            box = [*zip(-point, 1 - point, strict=True), (0, None)]
            plane = np.append(across, 0)[np.newaxis]
            best = linprog(np.append(np.zeros(6), 1), both, np.zeros(12), plane, [beyond], box).fun
        else:
            box = list(zip(-point, 1 - point, strict=True))
            on = {"type": "eq", "fun": lambda d, w=across, b=beyond: w @ d - b}
            solved = minimize(lambda d: d @ d, mine, jac=lambda d: 2 * d, bounds=box, constraints=on)
            best = np.sqrt(solved.fun)
        assert length(norm, mine[np.newaxis])[0] == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("norm", BUDGETS)
def test_a_plane_out_of_reach_gives_the_nearest_corner_and_a_flat_one_nothing(norm):
    points, normal = (
        np.array([[0.25, 0.5, 1.0]] * 3),
        np.array([[1.0, -2.0, 0.0], [0, 0, 0], [-1e-300, 0, 0]]),
    )
    found = onto_plane(norm, points, normal, np.array([100.0, 1.0, 1.0]))
    assert points[0] + found[0] == pytest.approx([1, 0, 1])
    assert not found[1].any()
    assert np.isfinite(found).all()


@pytest.mark.parametrize("attack", ATTACKS, ids=name)
def test_budget_and_box_hold_and_a_part_is_a_part(attack):
    attacked, x = victim(*CONVOLUTION), images()
    labels = guesses(attacked, x)
    found = attack(attacked, x, labels, seed=3)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    change = length(attack.norm, found.astype(np.float64) - x)
    assert change.max() <= attack.eps + ROUNDING * np.sqrt(x[0].size)
    assert (attacked.logits(found).argmax(axis=1) != labels).any()
    assert np.array_equal(found, attack(attacked, x, labels, seed=3))
    assert np.array_equal(found[5:], attack(attacked, x[5:], labels[5:], seed=3, first=5))
    if isinstance(attack, Square):
        assert not np.array_equal(found, attack(attacked, x, labels, seed=4))


@pytest.mark.parametrize("norm", BUDGETS)
def test_of_a_linear_network_fab_finds_the_nearest_wrong_image(norm):
    """The nearest of four planes in the box, each known by a projection."""
    attacked, x = victim(), images()
    labels = guesses(attacked, x)
    logits, rows = attacked.logits(x), np.arange(len(x))
    nearest = np.full(len(x), np.inf)
    for target in range(5):
        other = target != labels
        pairs = np.stack([labels, np.full(len(x), target)], axis=1)
        gradient = attacked.gradient(x, pairs, lambda z, of: np.eye(5)[of[:, 1]] - np.eye(5)[of[:, 0]])
        behind = logits[rows, labels] - logits[:, target]
        flat = onto_plane(norm, x.reshape(len(x), -1), gradient.reshape(len(x), -1), behind)
        reached = np.abs(np.einsum("np,np->n", gradient.reshape(len(x), -1), flat) - behind) < 1e-9
        nearest[other & reached] = np.minimum(nearest, length(norm, flat))[other & reached]
    found, distances = FAB(BUDGETS[norm], norm, steps=20).nearest(attacked, x, labels)
    # The final search ends within a thousandth of the plane; the point that it starts from is the nearest to
    # the clean image that 20 steps found, and need not be on the shortest way.
    assert distances == pytest.approx(nearest, rel=0.01)
    assert np.median(distances / nearest) <= 1 + 2e-3
    assert (distances >= nearest * (1 - 1e-5)).all()
    assert not right(attacked.logits(found), labels).any()
    assert distances == pytest.approx(length(norm, found.astype(np.float64) - x))
    # At every eps the attack breaks those that are nearer than it, and leaves the others alone.
    eps = float(np.median(distances))
    moved = FAB(eps, norm, steps=20)(attacked, x, labels)
    broken = ~right(attacked.logits(moved), labels)
    assert np.array_equal(broken, distances <= eps)
    assert np.array_equal(moved[~broken], x[~broken])


@pytest.mark.parametrize("attack", ATTACKS, ids=name)
@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_will_do(attack, classes):
    attacked, x = victim(*CONVOLUTION, classes=classes), images()
    labels = guesses(attacked, x)
    assert not right(attacked.logits(attack(attacked, x, labels)), labels).all()


@pytest.mark.parametrize("attack", ATTACKS, ids=name)
def test_an_image_that_is_wrong_already_stays(attack):
    attacked, x = victim(*CONVOLUTION), images(2)
    labels = guesses(attacked, x)
    labels[0] = (labels[0] + 1) % 5
    found = attack(attacked, x, labels)
    assert np.array_equal(found[0], x[0])
    assert np.array_equal(found[1:], attack(attacked, x[1:], labels[1:], first=1))
    both = (labels + 1) % 5
    both[0] = labels[0]
    assert np.array_equal(attack(attacked, x, both), x)
    if isinstance(attack, FAB):
        distances = attack.nearest(attacked, x, labels)[1]
        assert distances[0] == 0
        assert distances[1] > 0


class Quantised(Victim):
    """Sees pixels in steps of a fifth, and has no gradient."""

    def logits(self, images):
        return super().logits(np.round(images * 5) / 5)

    def logits_and_gradient(self, images, labels, cotangent):
        return self.logits(images), np.zeros(images.shape)


@pytest.mark.parametrize("norm", BUDGETS)
def test_square_breaks_a_network_that_hides_its_gradient(norm, trained):
    make = load(find("numpy"))
    backend = make(trained.spec, Adam(), device="cpu", dtype="float32", threads=1, deterministic=True)
    backend.load(trained.weights)
    hidden = Quantised(backend, trained.affine, "float32", 20)
    x, labels, eps = trained.images[:20], trained.labels[:20], {"linf": 0.3, "l2": 4.0}[norm]
    clean = right(hidden.logits(x), labels).mean()
    assert accuracy_under(FGSM(0.3), hidden, x, labels) == clean
    distances = FAB(eps, norm, steps=2).nearest(hidden, x, labels)[1]
    assert np.isin(distances, [0, np.inf]).all()
    assert accuracy_under(Square(eps, norm, queries=300), hidden, x, labels) <= clean / 2


@pytest.mark.parametrize("norm", BUDGETS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 1), (4, 4, 3), (29, 5, 2)])
def test_square_takes_any_shape(norm, shape):
    spec = Spec(input_shape=shape, layers=(Flatten(), Dense(units=2)))
    backend = load(find("numpy"))(spec, Adam(), device="cpu", dtype="float64", threads=1, deterministic=True)
    backend.load(initial_weights(spec, 0, "float64"))
    attacked = Victim(backend, Affine(np.array(1.0), np.array(-0.5)), "float64", 4)
    x = generator(0, Stream.PROBLEM).uniform(size=(4, *shape)).astype(np.float32)
    found = Square(0.3, norm, queries=150)(attacked, x, guesses(attacked, x))
    assert length(norm, found.astype(np.float64) - x).max() <= 0.3 + 1e-6


@pytest.mark.parametrize(
    ("norm", "query", "side"),
    [
        ("linf", 0, 25),
        ("linf", 10, 25),
        ("linf", 11, 18),
        ("linf", 51, 13),
        ("linf", 8001, 1),
        ("l2", 11, 19),
    ],
)
def test_the_side_of_a_square_is_the_papers(norm, query, side):
    """round(sqrt(p 784)), p = .8 and then halved; odd in l2; with half as many queries twice as soon."""
    assert Square(0.3, norm, queries=10_000).side(query, 28, 28) == side
    if query % 2 == 0:
        assert Square(0.3, norm).side(query // 2, 28, 28) == side


@pytest.mark.parametrize("count", [1, 30, 80, 119, 160, 200, 1000])
def test_calls_are_nearly_full(count):
    size = packed(replace(victim(), batch=500), count).batch
    assert -(-count // size) * size <= max(20, 1.5 * count)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: FAB(0.1, steps=0), "steps"),
        (lambda: FAB(0.1, targets=0), "targets"),
        (lambda: FAB(1.1), "eps"),
        (lambda: FAB(0.1, "l1"), "no norm 'l1'"),
        (lambda: Square(0.1, queries=0), "queries"),
        (lambda: Square(-0.1), "eps"),
        (lambda: Square(0.1)(victim(), images(2), np.array([0, 5])), "labels: found 5, expected 0 to 4"),
        (lambda: FAB(0.1)(victim(), images(2), np.array([5, 0])), "labels: found 5, expected 0 to 4"),
        (lambda: FAB(0.1)(victim(classes=1), images(2), np.array([0, 0])), "1 output, expected 2 or more"),
        (lambda: Square(0.1)(victim(classes=1), images(2), np.array([0, 0])), "1 output, expected 2 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, says):
    with pytest.raises(LockstepError, match=says):
        wrong()
