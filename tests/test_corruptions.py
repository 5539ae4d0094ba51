"""Noise and corruptions: what each does to an image, worked out again by hand or by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lockstep.attacks.corruptions import (
    BLACK,
    Brightness,
    ImpulseNoise,
    Rotate,
    Scale,
    Shear,
    Shift,
    ShotNoise,
    Stripe,
    Translate,
)
from lockstep.attacks.noise import GaussianNoise, SaltAndPepper, UniformNoise
from lockstep.data.augmentation import warp
from lockstep.data.draws import Stream, generator


def test_noise_has_the_distribution_that_it_says():
    images, labels = np.full((20, 28, 28, 1), 0.5, np.float32), np.zeros(20, int)
    uniform, gaussian, salted = (
        kind(0.2)(None, images, labels) for kind in (UniformNoise, GaussianNoise, SaltAndPepper)
    )
    assert np.abs(uniform - 0.5).max() == pytest.approx(0.2, abs=1e-3)
    assert uniform.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.02)
    assert gaussian.std() == pytest.approx(0.2, rel=0.03)
    assert np.mean(salted == 0) == pytest.approx(0.1, abs=0.01)
    assert np.mean(salted == 1) == pytest.approx(0.1, abs=0.01)
    assert np.mean(salted == 0.5) == pytest.approx(0.8, abs=0.02)


def corrupted(corruption, images: np.ndarray) -> np.ndarray:
    return corruption(None, images, np.zeros(len(images), int))


def test_translations_are_exact():
    images = generator(0, Stream.PROBLEM).uniform(size=(40, 28, 28, 1)).astype(np.float32)
    expected = np.zeros_like(images)
    expected[:, 3:, :-5] = images[:, :-3, 5:]
    assert np.array_equal(corrupted(Shift(3, -5), images), expected)
    assert not corrupted(Shift(28, 0), images).any()
    assert not corrupted(Shift(0, -50), images).any()
    ways = {(down, right): corrupted(Shift(down, right), images) for down in (-3, 3) for right in (-3, 3)}
    seen = [
        [way for way, shifted in ways.items() if np.array_equal(found, shifted[i])]
        for i, found in enumerate(corrupted(Translate(), images))
    ]
    assert all(len(found) == 1 for found in seen)
    assert {found[0] for found in seen} == set(ways), "all four directions are drawn"


def test_a_shift_is_a_warp_by_whole_pixels():
    images = generator(0, Stream.PROBLEM).uniform(size=(2, 28, 28, 1)).astype(np.float32)
    maps = np.array([[[1, 0, -4], [0, 1, 2]]] * 2, float)  # a pixel shows what is 4 left and 2 below it
    assert corrupted(Shift(-2, 4), images) == pytest.approx(warp(images, maps, BLACK), abs=1e-6)


def test_stripes_and_brightness():
    images = generator(0, Stream.PROBLEM).uniform(size=(3, 28, 28, 1)).astype(np.float32)
    striped = corrupted(Stripe(), images)
    inverted = [*range(7), *range(21, 28)]
    assert striped[:, :, inverted] == pytest.approx(1 - images[:, :, inverted])
    assert np.array_equal(striped[:, :, 7:21], images[:, :, 7:21])
    assert corrupted(Brightness(), images) == pytest.approx(np.minimum(images + 0.5, 1))


def test_shot_and_impulse_noise():
    images = np.full((20, 28, 28, 1), 0.4, np.float32)
    shot = corrupted(ShotNoise(), images)
    assert set(np.unique(np.round(shot * 3, 5))) == {0, 1, 2, 3}, "three photons are white"
    unclipped = corrupted(ShotNoise(1000), images)
    assert unclipped.mean() == pytest.approx(0.4, abs=1e-3)
    assert unclipped.var() == pytest.approx(0.4 / 1000, rel=0.05)
    hit = corrupted(ImpulseNoise(), images)
    assert np.mean(hit == 0) == pytest.approx(0.085, abs=0.01)
    assert np.mean(hit == 1) == pytest.approx(0.085, abs=0.01)


@pytest.mark.parametrize("corruption", [Shear(), Scale(), Rotate()], ids=lambda one: type(one).__name__)
def test_geometric_corruptions_are_those_of_scipy(corruption):
    """Within a margin of the edge: there scipy mixes in what lies beyond, and the warp does not."""
    image = generator(0, Stream.PROBLEM).uniform(size=(28, 28)).astype(np.float32)
    sin, cos = np.sin(0.4), np.cos(0.4)
    matrices = {  # of (row, column), for both signs
        "Shear": [[[cos, 0], [-s * sin, 1]] for s in (-1, 1)],
        "Scale": [np.eye(2) / 0.7],
        "Rotate": [[[cos, s * sin], [-s * sin, cos]] for s in (-1, 1)],
    }
    expected = [
        ndimage.affine_transform(image, m, 13.5 - np.array(m) @ [13.5, 13.5], order=1)
        for m in matrices[type(corruption).__name__]
    ]
    seen = set()
    for found in corrupted(corruption, np.repeat(image[np.newaxis, :, :, np.newaxis], 12, axis=0))[..., 0]:
        apart = [np.abs(found - other)[6:-6, 6:-6].max() for other in expected]
        assert min(apart) < 1e-5
        seen.add(int(np.argmin(apart)))
    assert seen == set(range(len(expected)))
