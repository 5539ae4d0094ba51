"""Augmentation: Keras's own images from Keras's own draws, and what holds for any draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lockstep.data.augmentation import UNIFORMS, Augmentation, augment, inverse_maps, warp
from lockstep.data.draws import Stream, generator

NOTHING = Augmentation(height_shift=0, width_shift=0, zoom=0, rotation=0)


def images(count: int, shape: tuple[int, ...] = (28, 28, 1), seed: int = 0) -> np.ndarray:
    return generator(seed, Stream.PROBLEM).integers(0, 256, (count, *shape), dtype=np.uint8)


def uniforms(count: int, seed: int = 0) -> np.ndarray:
    return generator(seed, Stream.PROBLEM, 1).uniform(size=(count, UNIFORMS))


def as_keras_draws(
    ranges: Augmentation, count: int, seed: int, skip: int = 0
) -> tuple[np.ndarray, np.random.RandomState]:
    """Uniforms as ImageDataGenerator draws them, one image after the other, a range of zero drawing none.

    skip: images whose order is drawn first.
    """
    draw = np.random.RandomState(seed)
    draw.permutation(skip)
    wanted = [
        ranges.rotation,
        ranges.width_shift,
        ranges.height_shift,
        ranges.shear,
        ranges.zoom,
        ranges.zoom,
    ]
    rows = []
    for _ in range(count):
        row = [draw.random_sample() if value else 0.5 for value in wanted]
        rows.append([*row, draw.random_sample(), draw.random_sample()])
    return np.array(rows), draw


def places(ranges: Augmentation, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column and row that each pixel shows: [n, 28, 28]."""
    maps = inverse_maps(ranges, (28, 28), draws)
    grid = np.stack([*np.meshgrid(np.arange(28), np.arange(28)), np.ones((28, 28))])
    return tuple(np.einsum("nij,jrc->inrc", maps, grid))


@pytest.mark.parametrize(
    "ranges",
    [
        Augmentation(),
        Augmentation(fill="constant", fill_value=0.25),
        Augmentation(shear=25, horizontal_flip=True),
        Augmentation(rotation=180, zoom=0.6, vertical_flip=True, horizontal_flip=True),
        Augmentation(rotation=0, zoom=0),
    ],
    ids=str,
)
def test_keras_images_from_keras_draws(ranges):
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    fill = {"fill_mode": ranges.fill, "cval": ranges.fill_value}
    keras = ImageDataGenerator(
        height_shift_range=ranges.width_shift,  # Keras's names are the wrong way round
        width_shift_range=ranges.height_shift,
        zoom_range=ranges.zoom,
        rotation_range=ranges.rotation,
        shear_range=ranges.shear,
        horizontal_flip=ranges.horizontal_flip,
        vertical_flip=ranges.vertical_flip,
        **fill,
    )
    originals = images(200)
    draws, state = as_keras_draws(ranges, 200, seed=5)
    np.random.seed(5)
    theirs = np.stack([keras.random_transform(image / 255) for image in originals])
    assert state.random_sample() == np.random.random_sample()  # both have drawn as many numbers
    ours = augment(ranges, originals, draws) / 255
    if ranges.fill == "constant":  # a place within rounding of the edge may be called inside or outside
        x, y = places(ranges, draws)
        edge = np.minimum(np.abs([x, x - 27]).min(axis=0), np.abs([y, y - 27]).min(axis=0)) < 1e-6
        assert np.abs(ours - theirs)[~edge].max() < 1e-6
    else:
        assert np.abs(ours - theirs).max() < 1e-6
    assert np.abs(ours - originals / 255).mean() > 0.1


def test_keras_batches_from_its_seeds():
    """Its iterator draws from RandomState(seed + batch), in the first batch after the order of the images."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    originals, ranges = images(40), Augmentation()
    generator = ImageDataGenerator(
        height_shift_range=0.2, width_shift_range=0.2, zoom_range=0.2, rotation_range=30, rescale=1 / 255
    )
    batches = generator.flow(originals.astype(np.float32), batch_size=16, seed=9, shuffle=True)
    order = np.random.RandomState(9).permutation(40)
    for batch in range(3):
        rows = order[16 * batch : 16 * batch + 16]
        draws, _ = as_keras_draws(ranges, len(rows), 9 + batch, skip=40 if batch == 0 else 0)
        ours = augment(ranges, originals[rows], draws) / 255
        assert np.abs(ours - next(batches)).max() < 1e-6


def test_without_ranges_nothing_moves():
    originals = images(70, (9, 12, 3))
    assert np.array_equal(augment(NOTHING, originals, uniforms(70)), originals)


def test_an_image_does_not_depend_on_its_batch():
    originals, draws = images(70), uniforms(70)
    whole = augment(Augmentation(), originals, draws)
    assert np.array_equal(whole[65:67], augment(Augmentation(), originals[65:67], draws[65:67]))


def test_flips_are_exact_and_come_half_of_the_time():
    ranges = NOTHING.model_copy(update={"horizontal_flip": True})
    originals, draws = images(400, (5, 8, 2)), uniforms(400)
    flipped = draws[:, 6] < 0.5
    assert 150 < flipped.sum() < 250
    expected = np.where(flipped[:, None, None, None], originals[:, :, ::-1], originals)
    assert np.array_equal(augment(ranges, originals, draws), expected)


def test_a_shift_to_the_full_moves_along_the_axis_of_its_name():
    original = np.zeros((1, 10, 10, 1), np.uint8)
    original[0, 5, 5] = 200
    draws = np.full((1, UNIFORMS), 0.5)
    draws[0, 1] = 0.75  # of the width shift: half of +0.4, so two pixels of ten
    moved = augment(NOTHING.model_copy(update={"width_shift": 0.4}), original, draws)
    assert np.argwhere(moved[0, :, :, 0]).tolist() == [[5, 3]]


@given(
    ranges=st.builds(
        Augmentation,
        height_shift=st.floats(0, 0.9),
        width_shift=st.floats(0, 0.9),
        zoom=st.floats(0, 0.9),
        rotation=st.floats(0, 180),
        shear=st.floats(0, 60),
        horizontal_flip=st.booleans(),
        vertical_flip=st.booleans(),
    ),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 90), st.integers(1, 3)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_any_warp_of_any_shape_equals_scipys(ranges, shape, seed):
    originals, draws = images(3, shape, seed), uniforms(3, seed)
    maps = inverse_maps(ranges, shape[:2], draws)
    ours = warp(originals, maps, ranges)
    for image, (to_column, to_row), found in zip(originals, maps, ours, strict=True):
        matrix = [[to_row[1], to_row[0]], [to_column[1], to_column[0]]]
        for channel in range(shape[2]):
            expected = ndimage.affine_transform(
                image[:, :, channel].astype(float), matrix, [to_row[2], to_column[2]], order=1, mode="nearest"
            )
            assert np.abs(found[:, :, channel] - expected).max() < 3e-6 * 255


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 1), (9, 1, 3), (2, 2, 1), (1, 2, 1)])
@pytest.mark.parametrize("fill", ["nearest", "constant"])
def test_the_last_image_of_a_batch_is_as_any_other_however_small(shape, fill):
    """Behind its last pixel there is nothing to read."""
    ranges = Augmentation(
        shear=20, horizontal_flip=True, fill=fill, fill_value=0.5 if fill == "constant" else 0
    )
    originals, draws = images(5, shape), uniforms(5)
    whole = augment(ranges, originals, draws)
    for n in range(5):
        assert np.array_equal(augment(ranges, originals[n:][:1], draws[n:][:1])[0], whole[n])
