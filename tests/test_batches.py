"""Batches as a backend receives them: augmented, noisy, smoothed, made ahead, and each reproducible alone."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from lockstep.data import draws
from lockstep.data.ahead import ahead
from lockstep.data.augmentation import Augmentation, augment
from lockstep.data.batches import Chunk, epoch_chunks
from lockstep.data.dataset import Affine, Dataset, Images, Split
from lockstep.experiment import Experiment


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """100 images of noise, 10 to a class; training is all that batches look at."""
    draw = draws.generator(0, draws.Stream.PROBLEM)
    images = draw.integers(0, 256, (100, 28, 28, 1), dtype=np.uint8)
    images[:, :4] = 0
    rows = np.arange(100)
    split = Split(Images(images, rows), rows.astype(np.uint8) % 10, rows)
    return Dataset(split, split, split, 10, Affine(np.array(1.0), np.array(0.0)))


def experiment(**sections) -> Experiment:
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": 10}]
    base = {
        "data": {"train_size": 100, "preprocessing": "unit"},
        "model": {"layers": layers},
        "training": {"epochs": 2, "batch_size": 30, "dtype": "float64"},
    }
    return Experiment.model_validate({**base, **sections}, strict=False)


def epoch(dataset: Dataset, run: Experiment, number: int) -> list[Chunk]:
    return list(epoch_chunks(dataset, run, run.spec, 7, number))


def test_an_epoch_is_every_image_once_in_batches(dataset):
    plain = epoch(dataset, experiment(), 1)
    assert [chunk.first_step for chunk in plain] == [5, 8]
    assert [chunk.images.shape[:2] for chunk in plain] == [(3, 30), (1, 10)]
    order = draws.epoch_order(100, 7, 1)
    seen = np.concatenate([chunk.images.reshape(-1, 28, 28, 1) for chunk in plain])
    assert np.array_equal(seen, dataset.train.images[order] / 255)
    assert all(chunk.weight_noise is None for chunk in plain)


def test_any_batch_can_be_augmented_again_by_itself(dataset):
    ranges = Augmentation(rotation=10)
    last = epoch(dataset, experiment(augmentation={"rotation": 10}), 1)[-1]
    rows = draws.epoch_order(100, 7, 1)[90:]
    again = augment(ranges, dataset.train.images[rows], draws.augmentation(7, 8, 10))
    assert np.array_equal(last.images[0], again.astype(np.float64) / 255)
    assert np.abs(last.images[0] - dataset.train.images[rows] / 255).mean() > 0.02


def test_no_two_epochs_see_an_image_alike(dataset):
    first, second = (
        np.concatenate([c.images.reshape(-1, 784) for c in epoch(dataset, experiment(augmentation={}), n)])
        for n in (0, 1)
    )
    rows = [np.argsort(draws.epoch_order(100, 7, n)) for n in (0, 1)]
    assert (np.abs(first[rows[0]] - second[rows[1]]).max(axis=1) > 0.05).all()


def test_noise_on_images_is_normal_and_stays_in_the_box(dataset):
    noisy = epoch(dataset, experiment(regularisation={"image_noise": 0.1}), 0)[0]
    plain = epoch(dataset, experiment(), 0)[0]
    assert noisy.images.min() == 0
    assert noisy.images.max() == 1
    inner = (plain.images > 0.35) & (plain.images < 0.65)  # far from the clip
    assert (noisy.images - plain.images)[inner].std() == pytest.approx(0.1, rel=0.1)


def test_noise_on_weights_is_in_units_of_their_initial_spread(dataset):
    run = experiment(regularisation={"weight_noise": 0.5})
    (noise,) = epoch(dataset, run, 0)[0].weight_noise.items()
    name, drawn = noise
    assert (name, drawn.shape) == ("dense1/kernel", (3, 784, 10))  # biases get none
    initial = draws.initial_weights(run.spec, 0, "float64")[name]
    assert drawn.std() / initial.std() == pytest.approx(0.5, rel=0.02)
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[1], draws.weight_noise(run.spec, 7, 2, 0.5)[name])


def test_smoothed_targets_are_distributions(dataset):
    plain = epoch(dataset, experiment(), 0)[0].targets
    smooth = epoch(dataset, experiment(regularisation={"label_smoothing": 0.2}), 0)[0].targets
    assert smooth.sum(axis=-1) == pytest.approx(1)
    assert np.unique(smooth.round(6)).tolist() == [0.02, 0.82]
    assert np.array_equal(smooth.argmax(axis=-1), plain.argmax(axis=-1))


def test_settings_do_not_touch_each_others_draws(dataset):
    """A baseline and its variants share batch order and masks, so that they can be compared pairwise."""
    regularisation = {"image_noise": 0.1, "weight_noise": 0.1, "label_smoothing": 0.1}
    layers = [{"kind": "flatten"}, {"kind": "dropout", "rate": 0.5}, {"kind": "dense", "units": 10}]
    model = {"layers": layers}
    plain = epoch(dataset, experiment(model=model), 1)[0]
    other = epoch(dataset, experiment(model=model, augmentation={}, regularisation=regularisation), 1)[0]
    assert np.array_equal(plain.masks["dropout1"], other.masks["dropout1"])
    assert np.array_equal(plain.targets.argmax(axis=-1), other.targets.argmax(axis=-1))
    assert np.array_equal(plain.scales, other.scales)


def test_a_chunk_cut_to_some_steps_is_those_steps(dataset):
    chunk = epoch(dataset, experiment(regularisation={"weight_noise": 0.5}), 0)[0]
    cut = chunk.cut(slice(1, 3))
    assert cut.first_step == 2
    assert np.array_equal(cut.images, chunk.images[1:3])
    assert np.array_equal(cut.weight_noise["dense1/kernel"], chunk.weight_noise["dense1/kernel"][1:3])


def test_items_come_in_their_order_and_before_they_are_asked_for():
    made = threading.Semaphore(0)

    def items():
        for item in range(5):
            made.release()
            yield item

    found = ahead(items(), 2)
    assert next(found) == 0
    for _ in range(3):  # one was asked for and two are made ahead; no time limit: a failure hangs
        assert made.acquire(timeout=30)
    assert list(found) == [1, 2, 3, 4]


def test_an_error_in_the_thread_comes_up_in_its_place():
    def items():
        yield 1
        raise ValueError("broken")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)


def test_a_caller_that_stops_early_leaves_no_thread():
    before = threading.active_count()
    found = ahead(iter(range(100)))
    next(found)
    found.close()
    assert threading.active_count() == before
