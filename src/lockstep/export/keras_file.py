"""A `.keras` file of standard layers, which `keras.models.load_model` opens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import layers

from lockstep.export import Network
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool, Node

FUNCTIONS = {"relu": "relu", "swish": "silu", "tanh": "tanh"}
LAST = {"data_format": "channels_last"}


def save(network: Network, path: Path) -> None:
    keras.config.set_floatx("float32")
    model = keras.Sequential(
        [
            keras.Input(network.spec.input_shape, name="pixels"),
            layers.Rescaling(float(network.scale), network.shift.tolist(), name="preprocessing"),
            *(layer for node in network.spec.nodes for layer in _layers(node)),
            layers.Softmax(name="probabilities"),
        ],
        name="lockstep",
    )
    for node in network.spec.nodes:
        if node.weights:
            model.get_layer(node.name).set_weights(
                [network.weights[f"{node.name}/{part}"] for part in node.weights]
            )
    model.save(path)


def _layers(node: Node) -> Iterator[Any]:
    match layer := node.layer:
        case Conv2D():
            if any(map(any, node.pads)):  # explicit, as frameworks disagree on "same"
                yield layers.ZeroPadding2D(node.pads, name=f"{node.name}_padding", **LAST)
            yield layers.Conv2D(layer.filters, layer.kernel, layer.stride, name=node.name, **LAST)
        case MaxPool():
            yield layers.MaxPooling2D(layer.size, name=node.name, **LAST)
        case AvgPool():
            yield layers.AveragePooling2D(layer.size, name=node.name, **LAST)
        case Flatten():
            yield layers.Flatten(name=node.name, **LAST)
        case Dense():
            yield layers.Dense(layer.units, name=node.name)
        case Activation(slope=float(slope)) if slope < 0:  # which LeakyReLU refuses
            once = {"shared_axes": list(range(1, len(node.input_shape) + 1)), "trainable": False}
            yield layers.PReLU(keras.initializers.Constant(slope), name=node.name, **once)
        case Activation(slope=float(slope)):
            yield layers.LeakyReLU(slope, name=node.name)
        case Activation():
            yield layers.Activation(FUNCTIONS[layer.function], name=node.name)
        case Dropout():
            yield layers.Dropout(layer.rate, name=node.name)
