"""A small training problem, drawn from a seed: the same on every backend and in every process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lockstep.data.draws import Stream, dropout_masks, generator, initial_weights
from lockstep.optimizer import Adam
from lockstep.spec import Spec

BATCH = 8
RAGGED = 1
"""Images of the smaller last batch: with one, axes of length 1 must survive too."""
CALLS = {"first step": 1, "several steps": 16, "weight noise": 2, "smaller batch": 1}
"""Optimiser steps of the calls that a problem is trained with, in order."""
STEPS = sum(CALLS.values())

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Problem:
    """Arguments of the contract's calls: STEPS batches of BATCH images, in the dtype asked for.

    Weight noise is there for the steps of its own call alone: it is as large as the weights.
    """

    weights: Tensors
    images: np.ndarray
    targets: np.ndarray
    masks: Tensors
    weight_noise: Tensors
    cotangent: np.ndarray

    def astype(self, dtype: str) -> Problem:
        """The same problem; masks stay uint8."""

        def cast(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: cast(tensor) for name, tensor in value.items()}
            return value if value.dtype == np.uint8 else value.astype(dtype)

        return Problem(**{field.name: cast(getattr(self, field.name)) for field in fields(self)})

    def step_masks(self, step: int) -> Tensors:
        return {name: mask[step] for name, mask in self.masks.items()}

    def step_noise(self, step: int) -> Tensors:
        return {name: noise[step] for name, noise in self.weight_noise.items()}

    def calls(self, adam: Adam) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The calls of `train_steps` that CALLS names, with their arguments."""
        first = 0
        for name, count in CALLS.items():
            steps = slice(first, first + count)
            images = slice(RAGGED if name == "smaller batch" else BATCH)
            masks = {layer: mask[steps, images] for layer, mask in self.masks.items()}
            yield (
                name,
                (
                    self.images[steps, images],
                    self.targets[steps, images],
                    masks,
                    adam.scales(first + 1, count),
                    self.weight_noise if name == "weight noise" else None,
                ),
            )
            first += count


def draw(spec: Spec, seed: int) -> Problem:
    """In float64, but every number is one that float32 holds exactly: both dtypes solve one problem."""
    tensors = iter(range(1000))

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        values = generator(seed, Stream.PROBLEM, tensor=next(tensors)).normal(scale=scale, size=shape)
        return values.astype(np.float32).astype(np.float64)

    single = initial_weights(spec, seed, "float32")
    weights = {name: value.astype(np.float64) for name, value in single.items()}
    for name, value in weights.items():
        if name.endswith("/bias"):
            # Biases of zero would hide an error in them; but where the image is empty too, they put the
            # next layer at exactly 0, where activations have their kink.
            weights[name] = normal(*value.shape, scale=0.1) * (np.arange(len(value)) % 2)
    images = normal(STEPS, BATCH, *spec.input_shape)
    # Digits have an empty background, where the windows of a pool meet ties: half of the images have one.
    images[:, ::2, : -(-spec.input_shape[0] // 2)] = 0
    # Soft targets in 64ths sum to 1 exactly; otherwise the frameworks' gradients differ, rightly.
    shares = np.full(spec.output_shape[-1], 1 / spec.output_shape[-1])
    size = (STEPS, BATCH, *spec.output_shape[:-1])
    targets = generator(seed, Stream.PROBLEM, tensor=next(tensors)).multinomial(64, shares, size) / 64
    masks = [dropout_masks(spec, seed, step, BATCH) for step in range(STEPS)]
    return Problem(
        weights=weights,
        images=images,
        targets=targets,
        masks={name: np.stack([mask[name] for mask in masks]) for name in spec.dropouts},
        weight_noise={
            name: normal(CALLS["weight noise"], *shape, scale=0.01) for name, shape in spec.weights.items()
        },
        cotangent=normal(BATCH, *spec.output_shape),
    )
