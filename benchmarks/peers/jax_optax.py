"""The default network trained in plain JAX, with optax's Adam.

    python benchmarks/peers/jax_optax.py [--threads 1] [--epochs 5] [--images 4000]

Follows examples/mnist_classifier_fromscratch.py of the JAX repository (parameters as plain arrays, batches
cut from NumPy arrays) and "Getting started" of optax.readthedocs.io (value_and_grad, update,
apply_updates): one jitted step a batch, which may overwrite the old parameters and optimiser state.
Images are NHWC and kernels HWIO, as in Flax.  Initial weights are He's; Adam's betas and epsilon are
optax's defaults.
"""

from __future__ import annotations

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from peer import Peer, main

BATCH_SIZE = 64
SHAPES = {"conv1": (5, 5, 1, 32), "conv2": (5, 5, 32, 64), "dense1": (1024, 1024), "dense2": (1024, 10)}

optimizer = optax.adam(learning_rate=5e-4)


def initial_parameters(key):
    initializer = jax.nn.initializers.he_normal()
    return {
        name: {"kernel": initializer(key, shape), "bias": jnp.zeros(shape[-1])}
        for key, (name, shape) in zip(jax.random.split(key, len(SHAPES)), SHAPES.items(), strict=True)
    }


def conv(x, layer):
    y = lax.conv_general_dilated(
        x, layer["kernel"], window_strides=(1, 1), padding="VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + layer["bias"]


def max_pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def network(parameters, x):
    x = max_pool(jax.nn.relu(conv(x, parameters["conv1"])))
    x = max_pool(jax.nn.relu(conv(x, parameters["conv2"])))
    x = x.reshape(len(x), -1)
    x = jax.nn.relu(dense(x, parameters["dense1"]))
    return dense(x, parameters["dense2"])


def loss_function(parameters, images, labels):
    logits = network(parameters, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@partial(jax.jit, donate_argnums=(0, 1))
def train_step(parameters, state, images, labels):
    loss, gradients = jax.value_and_grad(loss_function)(parameters, images, labels)
    updates, state = optimizer.update(gradients, state, parameters)
    return optax.apply_updates(parameters, updates), state, loss


@jax.jit
def classify(parameters, images):
    return network(parameters, images).argmax(axis=1)


def scaled(images: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [0, 1]."""
    return images.astype(np.float32) / 255


def prepare(images: np.ndarray, labels: np.ndarray, threads: int) -> Peer:
    # JAX documents no limit; XLA reads this when it makes its pool of threads, as a device is first used.
    os.environ["NPROC"] = str(threads)
    inputs = scaled(images)
    parameters = initial_parameters(jax.random.key(0))
    state = optimizer.init(parameters)
    rng = np.random.default_rng(0)

    def train(epochs: int) -> list[float]:
        nonlocal parameters, state
        losses = []
        for _ in range(epochs):
            order, total = rng.permutation(len(inputs)), 0.0
            for start in range(0, len(order), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                parameters, state, loss = train_step(parameters, state, inputs[rows], labels[rows])
                total += loss * len(rows)  # an array still: reading it here would wait for the step
            losses.append(total / len(inputs))
        jax.block_until_ready((parameters, state))
        return [float(loss) for loss in losses]

    def predict(images: np.ndarray) -> np.ndarray:
        return np.asarray(classify(parameters, scaled(images)))

    return Peer(train, predict, sum(leaf.size for leaf in jax.tree.leaves(parameters)))


if __name__ == "__main__":
    main(prepare)
