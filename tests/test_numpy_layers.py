"""The NumPy backend's fast path against the classroom's definitions, outputs and pullbacks."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.conformance.specs import SPECS
from lockstep.data.draws import initial_weights
from lockstep.discovery import find, load
from lockstep.optimizer import Adam

numpy_backend = load(find("numpy"))
layers = importlib.import_module("lockstep_backend_numpy.layers")
classroom = importlib.import_module("lockstep_backend_numpy.classroom.layers")

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
pads = st.tuples(st.integers(0, 3), st.integers(0, 3))


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@quick
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), pads, pads, st.integers(0, 99)
)
def test_conv2d(size, stride, channels, filters, rows, columns, seed):
    rng = np.random.default_rng(seed)
    images, kernel = rng.normal(size=(5, 6, 7, channels)), rng.normal(size=(size, size, channels, filters))
    bias = rng.normal(size=filters)
    y, pullback = layers.conv2d(images, kernel, bias, (rows, columns), stride)
    close(y, classroom.conv2d(images, kernel, bias, (rows, columns), stride))
    cotangent = rng.normal(size=y.shape)
    by_images, gradients = pullback(cotangent, True)
    expected = classroom.conv2d_gradients(images, kernel, cotangent, (rows, columns), stride)
    for ours, theirs in zip((by_images, gradients["kernel"], gradients["bias"]), expected, strict=True):
        close(ours, theirs)
    assert pullback(cotangent, False)[0] is None


def test_one_thread_and_several_give_the_same_bits():
    spec, adam = SPECS["classroom"], Adam()
    rng = np.random.default_rng(0)
    images = rng.random((2, 37, *spec.input_shape), dtype=np.float32)  # not a whole number of blocks
    targets = np.eye(10, dtype=np.float32)[rng.integers(0, 10, (2, 37))]
    masks = {
        name: rng.integers(0, 2, (2, 37, *node.input_shape)).astype(np.uint8)
        for name, node in spec.dropouts.items()
    }
    states = []
    for threads in (1, 2, 3):
        backend = numpy_backend(
            spec, adam, device="cpu", dtype="float32", threads=threads, deterministic=True
        )
        backend.load(initial_weights(spec, 0, "float32"))
        logits = backend.train_steps(images, targets, masks, adam.scales(1, 2))
        _, pullback = backend.vjp(images[0])
        states.append(backend.dump() | {"logits": logits, "images": pullback(targets[0])})
    for other in states[1:]:
        assert all(np.array_equal(value, other[name]) for name, value in states[0].items())


@quick
@given(st.sampled_from(["max", "avg"]), st.integers(1, 3), st.integers(0, 99))
def test_pools_with_many_ties(kind, size, seed):
    images = np.random.default_rng(seed).integers(0, 3, (2, 7, 5, 2)).astype(float)
    y, pullback = getattr(layers, f"{kind}_pool")(images, size)
    close(y, getattr(classroom, f"{kind}_pool")(images, size))
    cotangent = np.random.default_rng(seed + 1).normal(size=y.shape)
    close(pullback(cotangent), getattr(classroom, f"{kind}_pool_gradient")(images, size, cotangent))


@pytest.mark.parametrize(
    ("name", "extra"), [("relu", ()), ("leaky_relu", (0.1,)), ("swish", ()), ("tanh", ())]
)
def test_activations(name, extra):
    x = np.concatenate([np.linspace(-30, 30, 61), [0.0, -0.0, 1e-300, -800.0, 800.0]])
    y, pullback = getattr(layers, name)(x, *extra)
    close(y, getattr(classroom, name)(x, *extra))
    close(pullback(np.full_like(x, 3.0)), 3 * getattr(classroom, f"{name}_derivative")(x, *extra))


def test_dropout_and_cross_entropy():
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(4, 6)), rng.integers(0, 2, (4, 6)).astype(np.uint8)
    y, pullback = layers.dropout(x, mask, 0.25)
    close(y, classroom.dropout(x, mask, 0.25))
    close(pullback(x), classroom.dropout(x, mask, 0.25))
    logits, targets = 50 * rng.normal(size=(5, 3)), rng.dirichlet(np.ones(3), 5)
    loss, gradient = layers.cross_entropy(logits, targets)
    close(loss, classroom.cross_entropy(logits, targets))
    close(gradient, classroom.cross_entropy_gradient(logits, targets))


@pytest.mark.parametrize("name", ["relu", "swish", "tanh"])
def test_float32_stays_float32(name):
    x = np.ones((2, 4, 4, 1), np.float32)
    y, pullback = getattr(layers, name)(x)
    assert y.dtype == pullback(y).dtype == np.float32
