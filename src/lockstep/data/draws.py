"""Every random number of a training run, made here and nowhere else.

NumPy's Philox is counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
2011): the key is (seed, stream) and the counter says which tensor of which step or epoch, so any
draw can be made again by itself.  A resumed run therefore equals an uninterrupted one, and all
backends see the same numbers.  The experiment's name is no part of the key: a baseline and its
variants share initial weights and batch order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum

import numpy as np

from lockstep.data.augmentation import UNIFORMS
from lockstep.spec import Dropout, Node, Spec


class Stream(IntEnum):
    """What a number is for.  Values are part of every result: add new ones at the end."""

    WEIGHTS = 0
    ORDER = 1
    DROPOUT = 2
    SPLIT = 3
    PROBLEM = 4
    AUGMENTATION = 5
    IMAGE_NOISE = 6
    WEIGHT_NOISE = 7
    SUBNETWORK = 8
    KNOCKOUT = 9
    ATTACK_START = 10
    ATTACK_NOISE = 11
    PATCH = 12
    CORRUPTION = 13
    INFERENCE_NOISE = 14
    SQUARE = 15


def generator(seed: int, stream: Stream, index: int = 0, tensor: int = 0) -> np.random.Generator:
    """The generator of one tensor of one step or epoch."""
    # Philox counts draws in the lowest word, so tensors of different steps never overlap.
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, tensor, index]))


def initial_weights(spec: Spec, seed: int, dtype: str) -> dict[str, np.ndarray]:
    """Glorot-uniform kernels (Glorot & Bengio 2010) and zero biases, drawn in float64 and then cast."""
    weights = {}
    for tensor, (name, shape) in enumerate(spec.weights.items()):
        if name.endswith("/bias"):
            weights[name] = np.zeros(shape, dtype)
            continue
        limit = math.sqrt(3) * _initial_deviation(shape)
        draw = generator(seed, Stream.WEIGHTS, tensor=tensor).uniform(-limit, limit, shape)
        weights[name] = draw.astype(dtype)
    return weights


def _initial_deviation(shape: tuple[int, ...]) -> float:
    """Standard deviation of a kernel's initial weights: sqrt(2 / (fan in + fan out))."""
    *window, fan_in, fan_out = shape
    return math.sqrt(2 / (math.prod(window) * (fan_in + fan_out)))


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which one epoch visits `count` images: int64 [count]."""
    return generator(seed, Stream.ORDER, epoch).permutation(count)


def augmentation(seed: int, step: int, batch: int) -> np.ndarray:
    """What the images of one step are transformed by: uniform [0, 1), float64 [batch, UNIFORMS]."""
    return generator(seed, Stream.AUGMENTATION, step).uniform(size=(batch, UNIFORMS))


def image_noise(seed: int, step: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers for the pixels of one step: float32 [*shape]."""
    return generator(seed, Stream.IMAGE_NOISE, step).standard_normal(shape, np.float32)


def weight_noise(spec: Spec, seed: int, step: int, level: float) -> dict[str, np.ndarray]:
    """{kernel: normal noise of one step, float32}, in units of the spread of its initial weights.

    The deviation is level * sqrt(2 / (fan in + fan out)), so that one level means the same to every
    layer.  Biases, which start at zero, get none.
    """
    return {
        name: generator(seed, Stream.WEIGHT_NOISE, step, tensor).standard_normal(shape, np.float32)
        * np.float32(level * _initial_deviation(shape))
        for tensor, (name, shape) in enumerate(spec.weights.items())
        if not name.endswith("/bias")
    }


def dropout_masks(
    spec: Spec, seed: int, step: int, batch: int, stream: Stream = Stream.DROPOUT
) -> dict[str, np.ndarray]:
    """{dropout layer: uint8 [batch, *its input shape]}, 1 with probability 1 - rate."""
    return {
        name: _keep(node, generator(seed, stream, step, tensor), batch)
        for tensor, (name, node) in enumerate(spec.dropouts.items())
    }


def _keep(node: Node, rng: np.random.Generator, batch: int) -> np.ndarray:
    assert isinstance(node.layer, Dropout)
    count = batch * math.prod(node.input_shape)
    # Comparing raw 32-bit words takes half the time of drawing floats; the rate is exact to 2^-32.
    words = rng.bit_generator.random_raw((count + 1) // 2).astype("<u8").view("<u4")[:count]
    return (words >= round(node.layer.rate * 2**32)).view(np.uint8).reshape(batch, *node.input_shape)


def by_image(
    seed: int,
    stream: Stream,
    first: int,
    count: int,
    draw: Callable[[np.random.Generator], np.ndarray],
    tensor: int = 0,
) -> np.ndarray:
    """What `draw` takes from the generator of each of the images first, first + 1, ...: [count, ...].

    Every image has a generator of its own, so an attack on a part of the images is a part of the attack.
    """
    return np.stack([draw(generator(seed, stream, index, tensor)) for index in range(first, first + count)])


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of all images whose every prefix holds the classes in their proportions: int64 [n].

    Splits are cut from it, so a smaller training set is a subset of a larger one.
    """
    rank = np.empty(len(labels))
    for tensor, label in enumerate(np.unique(labels)):
        members = np.flatnonzero(labels == label)
        shuffled = generator(seed, Stream.SPLIT, tensor=tensor).permutation(members)
        rank[shuffled] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(rank, kind="stable")
