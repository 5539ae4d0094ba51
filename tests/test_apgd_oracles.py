"""APGD beside torchattacks and ART: the same network, images and starts in PyTorch, the loss as theirs.

An adversarially trained network, because of a natural one every image falls at once.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from test_attack_oracles import FEW, ORACLES, Sides, sides_of

from lockstep.attacks import apgd, losses
from lockstep.attacks.apgd import APGD, TargetedAPGD
from lockstep.attacks.losses import Loss
from lockstep.attacks.standing import likely, right

torch = pytest.importorskip("torch", reason="torch is not installed")

WITHOUT_DEPENDENCIES = "not installed: pip install --no-deps torchattacks -c constraints.txt"
COUNT, STEPS, TARGETS = 60, 50, 3
ONE = 1
"""Of 60 images, that may stand on one side alone; none did.  Both sides make the same calls of PyTorch, but
we add in another order, and the last bit (6e-8) decides a sign where a gradient is near 0, or a branch at a
checkpoint: an image that has but one way out may lose it."""
EPS = {"linf": 0.1, "l2": 1.0}


@pytest.fixture(scope="module")
def sides(hardened) -> Sides:
    return sides_of(hardened, COUNT)


def standing(sides: Sides, images: np.ndarray) -> np.ndarray:
    return right(sides.ours.logits(images), sides.labels)


def starts(norm: str, images: np.ndarray, seed: int) -> np.ndarray:
    """What torchattacks draws with this seed set, for all images."""
    torch.manual_seed(seed)
    x = torch.from_numpy(images)
    if norm == "linf":
        drawn = 2 * torch.rand(x.shape) - 1
        size = drawn.reshape(len(x), -1).abs().max(dim=1)[0].reshape(-1, 1, 1, 1)
    else:
        drawn = torch.randn(x.shape)
        size = (drawn**2).sum(dim=(1, 2, 3), keepdim=True).sqrt() + 1e-12
    return (x + EPS[norm] * drawn / size).clamp(0, 1).numpy()


def start_there(monkeypatch, drawn: list[np.ndarray]) -> None:
    """Ours starts from these, one array for each ascent of an image."""

    def start(norm, eps, images, seed, number, ascent):
        return drawn[ascent][number : number + 1]

    monkeypatch.setattr(apgd, "random_start", start)


class Mended:
    """torchattacks, like the authors' code, holds the loss after the first step against an array that is not
    filled yet, hence 0, instead of against the loss at the start, as the paper has it."""

    at_start: np.ndarray

    def check_oscillation(self, x, j, k, y5, k3=0.75):
        if j == k - 1:
            x[-1] = self.at_start
        return super().check_oscillation(x, j, k, y5, k3)  # type: ignore[misc]


def single_run(
    name: str, sides: Sides, norm: str, seed: int, climbed: Loss, aims: np.ndarray, **settings: Any
) -> np.ndarray:
    """torchattacks' own loop, on all images: bool [n], which stand."""
    theirs = pytest.importorskip("torchattacks", reason=f"torchattacks is {WITHOUT_DEPENDENCIES}")

    class Attack(Mended, getattr(theirs, name)):
        pass

    attack = Attack(sides.module, norm=norm.capitalize(), eps=EPS[norm], steps=STEPS)
    attack.at_start = climbed.value(sides.ours.logits(starts(norm, sides.images, seed)), aims)
    vars(attack).update(settings)
    images, labels = torch.from_numpy(sides.images), torch.from_numpy(sides.labels)
    torch.manual_seed(seed)
    _, stands, _, _ = attack.attack_single_run(images, labels)
    return stands.numpy().astype(bool)


def by_torch(value) -> Loss:
    """A loss as PyTorch has it: value of (logits, what it is asked for), both tensors -> [n]."""

    def of(z: np.ndarray, aims: np.ndarray) -> np.ndarray:
        return value(torch.from_numpy(z), torch.from_numpy(aims)).numpy()

    def derivative(z: np.ndarray, aims: np.ndarray) -> np.ndarray:
        leaf = torch.from_numpy(z).requires_grad_()
        return torch.autograd.grad(value(leaf, torch.from_numpy(aims)).sum(), leaf)[0].numpy()

    return Loss(of, derivative)


def entropy(z, labels):
    return torch.nn.functional.cross_entropy(z, labels, reduction="none")


def dlr(z, labels):
    ranked, order = z.sort(dim=1)
    first = (order[:, -1] == labels).float()
    true = z[np.arange(len(z)), labels]
    ahead = true - ranked[:, -2] * first - ranked[:, -1] * (1 - first)
    return -ahead / (ranked[:, -1] - ranked[:, -3] + 1e-12)


def dlr_targeted(z, pairs):
    ranked, rows = z.sort(dim=1)[0], np.arange(len(z))
    spread = ranked[:, -1] - 0.5 * ranked[:, -3] - 0.5 * ranked[:, -4] + 1e-12
    return -(z[rows, pairs[:, 0]] - z[rows, pairs[:, 1]]) / spread


def apart(sides: Sides, found: np.ndarray, stands: np.ndarray) -> int:
    """Images that stand on one side alone."""
    return int((standing(sides, found) != stands).sum())


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize(("ours", "theirs", "value"), [("cross_entropy", "ce", entropy), ("dlr", "dlr", dlr)])
def test_apgd_is_torchattacks(ours, theirs, value, norm, sides, monkeypatch):
    loss = by_torch(value)
    monkeypatch.setitem(losses.LOSSES, ours, loss)
    start_there(monkeypatch, [starts(norm, sides.images, 3)])
    stands = single_run("APGD", sides, norm, 3, loss, sides.labels, loss=theirs)
    attack = APGD(EPS[norm], norm, STEPS, loss=ours)
    assert apart(sides, attack(sides.ours, sides.images, sides.labels), stands) <= ONE
    assert stands.sum() in range(10, COUNT - 10)


@pytest.mark.parametrize("norm", EPS)
def test_targeted_apgd_is_torchattacks(norm, sides, monkeypatch):
    """Theirs takes one target after the other, ours all at once: what falls is the same."""
    loss = by_torch(dlr_targeted)
    monkeypatch.setattr(apgd, "TARGETED_DLR", loss)
    start_there(monkeypatch, [starts(norm, sides.images, number) for number in range(TARGETS)])
    logits, stands = sides.ours.logits(sides.images), np.ones(COUNT, bool)
    for number, target in enumerate(likely(logits, sides.labels, TARGETS).T):
        pairs = np.stack([sides.labels, target], axis=1)
        stands &= single_run("APGDT", sides, norm, number, loss, pairs, target_class=number + 2)
    attack = TargetedAPGD(EPS[norm], norm, STEPS, TARGETS)
    assert apart(sides, attack(sides.ours, sides.images, sides.labels), stands) <= ONE


@pytest.mark.parametrize("norm", EPS)
def test_apgd_finds_what_arts_finds(norm, sides, monkeypatch):
    """ART's differs: only a step that beats the best point counts as a rise, and the last point is judged
    alone.  So it may miss what ours finds, and hardly the other way round."""
    pytest.importorskip("art", reason=f"adversarial-robustness-toolbox is {ORACLES}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.attacks.evasion import auto_projected_gradient_descent as theirs
        from art.estimators.classification import PyTorchClassifier
    images, labels = sides.images, sides.labels
    start, right_at_first = starts(norm, images, 3), standing(sides, images)
    start_there(monkeypatch, [start])
    moved = (start - images)[right_at_first]
    monkeypatch.setattr(theirs, "random_sphere", lambda *sizes: moved.reshape(len(moved), -1))
    model = PyTorchClassifier(sides.module, None, (28, 28, 1), 10, clip_values=(0, 1), device_type="cpu")
    attack = theirs.AutoProjectedGradientDescent(
        model,
        norm={"linf": np.inf, "l2": 2}[norm],
        eps=EPS[norm],
        eps_step=2 * EPS[norm],
        max_iter=STEPS,
        nb_random_init=1,
        batch_size=COUNT,
        loss_type="cross_entropy",
        verbose=False,
    )
    by_art = standing(sides, attack.generate(images, labels))
    ours = standing(sides, APGD(EPS[norm], norm, STEPS)(sides.ours, images, labels))
    assert (ours & ~by_art).sum() <= ONE
    assert ours.sum() in range(10, COUNT - 10)
    assert (~ours & by_art).sum() <= FEW * COUNT, "it finds most of what ours finds"
