"""Training on attacked images: what each step learns from, and that TRADES is its published loss."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from lockstep.adversarial import attack_of, attacked
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.victim import Victim
from lockstep.backend import Backend
from lockstep.data import dataset as datasets
from lockstep.data import sources
from lockstep.data.batches import Chunk, epoch_chunks
from lockstep.data.dataset import UNIT, Affine
from lockstep.data.draws import Stream, generator, initial_weights
from lockstep.discovery import find, load
from lockstep.errors import LockstepError
from lockstep.experiment import Adversarial, Experiment
from lockstep.optimizer import Adam
from lockstep.spec import Activation, Conv2D, Dense, Flatten, Spec


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> datasets.Dataset:
    folder = tmp_path_factory.mktemp("data") / "mnist-5k"
    sources.prepare("mnist-5k", folder)
    return datasets.load(folder, "mnist-5k", "centred", 0, 150)


def hardened(**adversarial: object) -> Experiment:
    settings = {
        "model": {"layers": [{"kind": "flatten"}, {"kind": "dense", "units": 10}]},
        "regularisation": {"adversarial": adversarial},
        "training": {"epochs": 1, "batch_size": 64},
    }
    return Experiment.model_validate_json(json.dumps(settings))


def network(experiment: Experiment) -> Backend:
    settings = {"device": "cpu", "dtype": "float32", "threads": 1, "deterministic": True}
    backend = load(find("numpy"))(experiment.spec, experiment.optimizer, **settings)
    backend.load(initial_weights(experiment.spec, 0, "float32"))
    return backend


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_each_step_is_attacked_on_the_weights_before_it(data, name):
    experiment = hardened(attack=name, eps=0.1)
    backend, settings = network(experiment), experiment.regularisation.adversarial
    plain = list(epoch_chunks(replace(data, transform=UNIT), experiment, experiment.spec, 0, 0))
    pixels = [images for chunk in plain for images in chunk.images]
    labels = [targets.argmax(axis=1) for chunk in plain for targets in chunk.targets]
    steps = 0
    for place, chunk in enumerate(attacked(plain, backend, data.transform, settings, seed=0)):
        assert chunk.first_step == place + 1
        victim = Victim(backend, data.transform, "float32", batch=len(pixels[place]))
        attack = FGSM(0.1) if name == "fgsm" else PGD(0.1, steps=10, keep="last")
        first = (place + 1) * len(pixels[place])
        expected = data.transform.of_unit(attack(victim, pixels[place], labels[place], 0, first), "float32")
        assert np.array_equal(chunk.images[0], expected)
        assert not np.array_equal(chunk.images[0], data.transform.of_unit(pixels[place], "float32"))
        backend.train_steps(*chunk.arguments)
        steps += 1
    assert steps == 3


def test_the_attack_of_training_is_one_of_the_library():
    assert attack_of(Adversarial(attack="fgsm", eps=0.3)) == FGSM(0.3)
    assert attack_of(Adversarial(attack="pgd", eps=0.3, steps=7)) == PGD(0.3, steps=7, keep="last")
    written = Adversarial(attack="pgd", eps=0.3, steps=7, step="madry")
    assert attack_of(written) == PGD(0.3, steps=7, step="madry", keep="last")


# TRADES

SMOOTH = Spec(
    input_shape=(7, 6, 2),
    layers=(Conv2D(filters=4, kernel=3), Activation(function="tanh"), Flatten(), Dense(units=5)),
)
AFFINE = Affine(np.array(2.0), np.array(-0.5))
BETA, EPS = 6.0, 0.2


@pytest.fixture(scope="module")
def trades() -> tuple[Backend, Chunk, Chunk]:
    """A network in float64, one step of pixels, and what TRADES makes of it."""
    backend = load(find("numpy"))(
        SMOOTH, Adam(), device="cpu", dtype="float64", threads=1, deterministic=True
    )
    backend.load(initial_weights(SMOOTH, 0, "float64"))
    draw = generator(1, Stream.PROBLEM)
    images, labels = draw.uniform(size=(1, 6, *SMOOTH.input_shape)), draw.integers(0, 5, (1, 6))
    smoothed = 0.9 * np.eye(5)[labels] + 0.02
    chunk = Chunk(1, images, smoothed, {}, Adam().scales(1, 1), None)
    settings = Adversarial(attack="pgd", eps=EPS, steps=10, trades=BETA)
    (made,) = attacked([chunk], backend, AFFINE, settings, seed=0)
    return backend, chunk, made


def test_the_step_of_trades_has_the_gradient_of_its_published_loss(trades):
    """Written with PyTorch's autograd as the paper and its code have it: both terms depend on the weights."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    backend, chunk, made = trades
    weights = {
        name: torch.tensor(value, requires_grad=True)
        for name, value in initial_weights(SMOOTH, 0, "float64").items()
    }

    def network(images: np.ndarray):
        kernel = weights["conv1/kernel"].permute(3, 2, 0, 1)
        maps = torch.conv2d(torch.tensor(images).permute(0, 3, 1, 2), kernel, weights["conv1/bias"])
        flat = torch.tanh(maps).permute(0, 2, 3, 1).flatten(1)
        return flat @ weights["dense1/kernel"] + weights["dense1/bias"]

    count = chunk.images.shape[1]
    clean, other = network(made.images[0, :count]), network(made.images[0, count:])
    learnt = torch.nn.functional.cross_entropy(clean, torch.tensor(chunk.targets[0]))
    log_q, p = torch.log_softmax(other, dim=1), torch.softmax(clean, dim=1)
    loss = learnt + BETA * torch.nn.functional.kl_div(log_q, p, reduction="batchmean")
    loss.backward()

    _, gradients = backend.loss_and_gradients(made.images[0], made.targets[0])
    for name, gradient in gradients.items():
        expected = weights[name].grad.numpy()
        assert np.abs(gradient - expected).max() <= 1e-12 * np.abs(expected).max()
    measured, right = made.measured(backend.logits(made.images[0])[np.newaxis])
    assert measured.mean() == pytest.approx(loss.item(), rel=1e-12)
    assert np.array_equal(right[0], other.detach().numpy().argmax(axis=1) == chunk.targets[0].argmax(axis=1))


def test_the_attack_of_trades_makes_answers_differ_within_its_ball(trades):
    backend, chunk, made = trades
    clean, found = np.split(made.images[0], 2)
    assert np.array_equal(clean, AFFINE.of_unit(chunk.images[0], "float64"))
    assert np.abs(found - clean).max() <= float(AFFINE.scale) * (EPS + 2**-23)
    start = Adversarial(attack="pgd", eps=EPS, steps=1, step=1e-9, trades=BETA)
    (still,) = attacked([chunk], backend, AFFINE, start, seed=0)

    def apart(chunk: Chunk) -> np.ndarray:
        """beta KL of each image: the loss without its first term, which is of the clean images."""
        return chunk.measured(backend.logits(chunk.images[0])[np.newaxis])[0][0]

    assert (apart(made) > apart(still)).all()


def test_the_targets_of_trades_sum_to_one_and_are_no_distributions(trades):
    _, _, made = trades
    assert made.targets.shape == (1, 12, 5)
    assert np.allclose(made.targets.sum(axis=-1), 1, rtol=0, atol=1e-14)
    assert made.targets.min() < 0


@pytest.mark.parametrize("key", ["dropout", "weight_noise"])
def test_trades_is_refused_where_two_answers_are_of_two_networks(key):
    layers = [{"kind": "flatten"}, {"kind": "dropout"}, {"kind": "dense", "units": 10}]
    settings = {
        "model": {"layers": layers, "dropout": 0.5 if key == "dropout" else 0},
        "regularisation": {
            "adversarial": {"attack": "pgd", "eps": 0.1, "trades": 6},
            "weight_noise": 0.1 if key == "weight_noise" else 0,
        },
        "training": {"epochs": 1},
    }
    with pytest.raises(LockstepError, match="trades: not with dropout or weight_noise"):
        Experiment.model_validate_json(json.dumps(settings)).check()


@pytest.mark.parametrize("key", ["steps", "step", "trades"])
def test_what_fgsm_does_not_have_is_without_effect(key):
    experiment = hardened(attack="fgsm", eps=0.1, **{key: 3})
    assert experiment.without_effect()["regularisation", "adversarial", key] == "it is of attack: pgd"
