"""A small training problem, drawn from a seed: the same on every backend and in every process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lockstep.data.draws import Stream, dropout_masks, generator, initial_weights
from lockstep.spec import Spec

BATCH = 8
STEPS = 3


@dataclass(frozen=True)
class Problem:
    """Arguments of the contract's calls: K = STEPS batches of BATCH images, in the dtype asked for."""

    weights: dict[str, np.ndarray]
    images: np.ndarray
    targets: np.ndarray
    masks: dict[str, np.ndarray]
    weight_noise: dict[str, np.ndarray]
    cotangent: np.ndarray


def draw(spec: Spec, seed: int, dtype: str) -> Problem:
    """Every number is one that float32 holds exactly, so both dtypes solve the same problem."""
    tensors = iter(range(1000))

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        values = generator(seed, Stream.PROBLEM, tensor=next(tensors)).normal(scale=scale, size=shape)
        return values.astype(np.float32).astype(dtype)

    weights = {name: value.astype(dtype) for name, value in initial_weights(spec, seed, "float32").items()}
    # Biases of zero would hide an error in them.
    weights |= {name: normal(*value.shape, scale=0.1) for name, value in weights.items() if value.ndim == 1}
    images = normal(STEPS, BATCH, *spec.input_shape)
    # Digits have a constant background, where pools meet ties: half of the images have one too.
    images[:, ::2, : spec.input_shape[0] // 2] = -0.5
    # Soft targets in 64ths sum to 1 exactly; otherwise the frameworks' gradients differ, rightly.
    shares = np.full(spec.output_shape[-1], 1 / spec.output_shape[-1])
    size = (STEPS, BATCH, *spec.output_shape[:-1])
    targets = generator(seed, Stream.PROBLEM, tensor=next(tensors)).multinomial(64, shares, size) / 64
    masks = [dropout_masks(spec, seed, step, BATCH) for step in range(STEPS)]
    return Problem(
        weights=weights,
        images=images,
        targets=targets.astype(dtype),
        masks={name: np.stack([mask[name] for mask in masks]) for name in spec.dropouts},
        weight_noise={name: normal(STEPS, *shape, scale=0.01) for name, shape in spec.weights.items()},
        cotangent=normal(BATCH, *spec.output_shape),
    )
