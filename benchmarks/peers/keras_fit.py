"""The default network trained with Keras's `fit`, on TensorFlow.

    python benchmarks/peers/keras_fit.py [--threads 1] [--epochs 5] [--images 4000]

Follows "Simple MNIST convnet" and the guide "Training & evaluation with the built-in methods" of keras.io:
a Sequential model, compile, fit on arrays.  All that they leave at its default stays there: initial weights,
Adam's betas and epsilon, the order that fit draws, and jit_compile="auto", with which Keras decides about XLA
(3.15: not where there are only CPUs).
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"  # read when Keras is imported

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from peer import Peer, main

BATCH_SIZE = 64
LEARNING_RATE = 5e-4


def network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, kernel_size=5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, kernel_size=5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            layers.Dense(10),
        ]
    )


def scaled(images: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [0, 1]."""
    return images.astype("float32") / 255


def prepare(images: np.ndarray, labels: np.ndarray, threads: int) -> Peer:
    # Before TensorFlow does anything else: its pools cannot be resized later.
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.config.set_image_data_format("channels_last")  # as its guides have it, whatever ~/.keras says
    keras.utils.set_random_seed(0)
    inputs = scaled(images)
    model = network()
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def train(epochs: int) -> list[float]:
        history = model.fit(inputs, labels, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
        return history.history["loss"]

    def predict(images: np.ndarray) -> np.ndarray:
        return model.predict(scaled(images), verbose=0).argmax(axis=1)

    return Peer(train, predict, model.count_params())


if __name__ == "__main__":
    main(prepare)
