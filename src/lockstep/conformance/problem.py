"""A small training problem, drawn from a seed: the same on every backend and in every process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np

from lockstep.data.draws import Stream, dropout_masks, generator, initial_weights
from lockstep.evaluation import BATCH as EVALUATED
from lockstep.optimizer import Adam
from lockstep.spec import Spec

BATCH = 8
RAGGED = {"three images": 3, "one image": 1}
"""Images of smaller last batches: three do not divide BATCH, so a batch that is filled up has another mean;
with one, axes of length 1 must survive too."""
CALLS = {"first step": 1, "several steps": 15, "weight noise": 2, "three images": 1, "one image": 1}
"""Optimiser steps of the calls that a problem is trained with, in order."""
FIRST, *_, LAST = CALLS
STEPS = sum(CALLS.values())
WITHOUT_MOMENTS, WITH_MOMENTS = "load without moments", "load with moments"
"""What is loaded after these calls, and trained a little from."""
CROWDS = (1, 100, EVALUATED)
"""Images that are shown at a time: by the last batch of an attack, by an attack, and by an evaluation."""
FINE = 2**20
"""Targets are multiples of 1 / FINE: they sum to 1 exactly, and no coarser number holds them."""
FACTORS: dict[str, dict[str, float]] = {
    "large logits": {"dense2/kernel": 32, "dense2/bias": 32},
    "huge logits": {"dense2/kernel": 2048, "dense2/bias": 2048},
    "large gradients": {"dense1/kernel": 1 / 128, "dense1/bias": 1 / 128, "dense2/kernel": 128},
    "images of 0 to 255": {"images": 85, "conv1/kernel": 1 / 128},
}
"""{problem: {tensor: what it is multiplied by}}.  Weights by powers of 2, which round nothing; large
gradients and images leave the logits near 1, so that one thing is large at a time."""

Tensors = dict[str, np.ndarray]


class Call(NamedTuple):
    """Arguments of `train_steps`."""

    images: np.ndarray
    targets: np.ndarray
    masks: Tensors
    scales: np.ndarray
    weight_noise: Tensors | None = None


@dataclass(frozen=True)
class Problem:
    """Arguments of the contract's calls: STEPS batches of BATCH images, in the dtype asked for.

    Weight noise is there for the steps of its own call alone: it is as large as the weights.
    crowd: images [2, EVALUATED, ...] and the cotangent of one such batch; empty for most specs.
    """

    weights: Tensors
    images: np.ndarray
    targets: np.ndarray
    masks: Tensors
    weight_noise: Tensors
    cotangent: np.ndarray
    crowd: Tensors = field(default_factory=dict)

    def astype(self, dtype: str) -> Problem:
        """The same problem; masks stay uint8."""

        def cast(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: cast(tensor) for name, tensor in value.items()}
            return value if value.dtype == np.uint8 else value.astype(dtype)

        return Problem(**{each.name: cast(getattr(self, each.name)) for each in fields(self)})

    def step_masks(self, step: int) -> Tensors:
        return {name: mask[step] for name, mask in self.masks.items()}

    def step_noise(self, step: int) -> Tensors:
        return {name: noise[step] for name, noise in self.weight_noise.items()}

    def calls(self, adam: Adam) -> Iterator[tuple[str, Call]]:
        """The calls of `train_steps` that CALLS names."""
        first = 0
        for name, count in CALLS.items():
            noise = self.weight_noise if name == "weight noise" else None
            steps = slice(first, first + count)
            yield name, self._call(steps, adam.scales(first + 1, count), noise, RAGGED.get(name, BATCH))
            first += count

    def calls_after_load(self, adam: Adam) -> dict[str, list[Call]]:
        """{what is loaded: calls}, shaped as earlier ones, of other contents: what is kept by shape shows."""
        # Copies: the harness hands over no array that lies backwards in memory.
        other = {name: draws[::-1].copy() for name, draws in self.weight_noise.items()}
        count = CALLS["weight noise"]
        return {
            WITHOUT_MOMENTS: [self._call(slice(k, k + 1), adam.scales(k, 1)) for k in (1, 2)],
            WITH_MOMENTS: [self._call(slice(3, 3 + count), adam.scales(STEPS + 1, count), other)],
        }

    def _call(
        self, steps: slice, scales: np.ndarray, noise: Tensors | None = None, images: int = BATCH
    ) -> Call:
        masks = {layer: mask[steps, :images] for layer, mask in self.masks.items()}
        return Call(self.images[steps, :images], self.targets[steps, :images], masks, scales, noise)


def draw(spec: Spec, seed: int, crowded: bool = False) -> Problem:
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
    # Where targets do not sum to 1 exactly the frameworks' gradients differ, rightly.
    shares = np.full(spec.output_shape[-1], 1 / spec.output_shape[-1])
    size = (STEPS, BATCH, *spec.output_shape[:-1])
    rng = generator(seed, Stream.PROBLEM, tensor=next(tensors))
    coarse, fine = rng.multinomial(64, shares, size), rng.multinomial(2**10, shares, size)
    targets = (coarse * (2**14 - 2**4) + fine) / FINE
    # Every third image has targets below 0 and above 1, as TRADES asks for: none may be clipped or scaled.
    targets[:, 2::3] = 4 * targets[:, 2::3] - 3 * targets[:, 1:-1:3]
    masks = [dropout_masks(spec, seed, step, BATCH) for step in range(STEPS)]
    drawn = Problem(
        weights=weights,
        images=images,
        targets=targets,
        masks={name: np.stack([mask[name] for mask in masks]) for name in spec.dropouts},
        weight_noise={
            name: normal(CALLS["weight noise"], *shape, scale=0.01) for name, shape in spec.weights.items()
        },
        cotangent=normal(BATCH, *spec.output_shape),
    )
    if not crowded:
        return drawn
    shapes = {"images": (2, EVALUATED, *spec.input_shape), "cotangent": (EVALUATED, *spec.output_shape)}
    return replace(drawn, crowd={name: normal(*shape) for name, shape in shapes.items()})


def enlarged(problem: Problem, factors: Mapping[str, float]) -> Problem:
    """The same problem with tensors multiplied; images become whole numbers of 0 to 255."""
    weights = {name: value * factors.get(name, 1) for name, value in problem.weights.items()}
    images = problem.images
    if "images" in factors:
        images = np.rint(np.abs(images) * factors["images"]).clip(max=255)
    return replace(problem, weights=weights, images=images)
