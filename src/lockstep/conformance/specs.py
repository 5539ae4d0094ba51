"""Small specs that between them use every layer, padding and odd shape, from easy to hard.

The author of an unfinished plugin meets them in this order.
"""

from __future__ import annotations

from lockstep.optimizer import Adam
from lockstep.spec import (
    Activation,
    AvgPool,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool,
    Shape,
    Spec,
)

RELU = Activation(function="relu")
TANH = Activation(function="tanh")
SWISH = Activation(function="swish")
LEAKY = Activation(function="leaky_relu", slope=0.1)


def _small(shape: Shape, *convolutions: Conv2D) -> Spec:
    hidden = (layer for convolution in convolutions for layer in (convolution, RELU))
    return _spec(shape, *hidden, MaxPool(size=2), Flatten(), Dense(units=10))


def _spec(shape: Shape, *layers: Layer) -> Spec:
    return Spec(input_shape=shape, layers=layers)


SPECS = {
    "no convolution": _spec((6, 6, 1), Flatten(), Dense(units=20), LEAKY, Dense(units=3)),
    "valid": _small((12, 12, 1), Conv2D(filters=4, kernel=5)),
    "classroom": _spec(
        (28, 28, 1),
        *(Conv2D(filters=32, kernel=5), RELU, MaxPool(size=2)),
        *(Conv2D(filters=64, kernel=5), RELU, MaxPool(size=2)),
        *(Flatten(), Dense(units=1024), RELU, Dropout(rate=0.5), Dense(units=10)),
    ),
    "LeNet-5": _spec(
        (28, 28, 1),
        *(Conv2D(filters=6, kernel=5, padding="same"), TANH, AvgPool(size=2)),
        *(Conv2D(filters=16, kernel=5), TANH, AvgPool(size=2)),
        *(Flatten(), Dense(units=120), TANH, Dense(units=84), TANH, Dense(units=10)),
    ),
    "same": _small(
        (12, 12, 1),
        Conv2D(filters=4, kernel=5, padding="same"),
        Conv2D(filters=3, kernel=4, padding="same"),  # an odd number of zeros: one more after than before
    ),
    "full": _small(
        (9, 9, 1),
        Conv2D(filters=4, kernel=4, padding="full"),
        Conv2D(filters=3, kernel=3, stride=2, padding="full"),
    ),
    "strided": _small(
        (23, 23, 1),
        Conv2D(filters=4, kernel=5, stride=2),
        Conv2D(filters=3, kernel=4, stride=3, padding="same"),
    ),
    "odd sizes": _spec(
        (13, 17, 1),
        *(Conv2D(filters=3, kernel=3), LEAKY, MaxPool(size=3), Flatten(), Dropout(rate=0.25), Dense(units=7)),
    ),
    "three channels": _spec(
        (12, 10, 3),
        *(Conv2D(filters=5, kernel=3, padding="same"), SWISH, Dropout(rate=0.3)),
        # Two dropouts alike, with more than an activation between them: whose mask is whose shows.
        *(Conv2D(filters=5, kernel=2, padding="same"), TANH, Dropout(rate=0.3), AvgPool(size=3)),
        *(Conv2D(filters=6, kernel=2, padding="full"), RELU, MaxPool(size=2), Flatten(), Dense(units=10)),
    ),
}

TAPS = {
    "hidden image": SPECS["odd sizes"].until("max_pool1"),
    "hidden units": SPECS["three channels"].until("flatten1"),
    "vectors in": _spec((9,), Dense(units=8), SWISH, Dense(units=4)),
    "no weights": _spec((9,), SWISH),
}
"""Specs that end early or start late, for `logits` and `vjp`: feature maps and activation patterns."""

ALIKE = {"layers alike": _spec((4,), *(Dense(units=4), Dropout(rate=0.1)) * 10, Dense(units=4))}
"""Each layer has weights of its own, by its name: "dense10" comes after "dense2"."""

LARGE = {
    "large logits": SPECS["no convolution"],
    "huge logits": SPECS["no convolution"],
    "large gradients": SPECS["no convolution"],
    "images of 0 to 255": SPECS["valid"],
}
"""Specs of before, on numbers far from 1 (`problem.FACTORS`): what clips or overflows is right near 1."""

TRAINED = {
    "no convolution": Adam(learning_rate=1e-3),
    "classroom": Adam(learning_rate=1e-3),
    "strided": Adam(learning_rate=1e-3),
    "three channels": Adam(learning_rate=1e-3, b1=0.8, b2=0.99, eps=1e-4, form="paper"),
    "large logits": Adam(learning_rate=1e-3),
    "huge logits": Adam(learning_rate=1e-3),
    # Where gradients are large, so is what a step does: small ones keep a run from magnifying its rounding.
    # Yet smaller ones would be lost in the last place of the weights, and travel with them.
    "large gradients": Adam(learning_rate=1e-4),
    "images of 0 to 255": Adam(learning_rate=1e-4),
}
"""{spec that is also trained for some steps: its optimizer}: between them every kind of layer and both
forms of Adam.  Training compiles anew, so not all of them are."""
CROWDED = ("no convolution", "three channels")
"""Specs that are also shown as many images as an attack and an evaluation show: without and with dropout."""

_SWAPPED: dict[Layer, Layer] = {RELU: SWISH, MaxPool(size=2): AvgPool(size=2)}
SMOOTH = _spec((28, 28, 1), *(_SWAPPED.get(layer, layer) for layer in SPECS["classroom"].layers))
"""The classroom's network without kinks, where rounding does not grow."""
ATTACKED = _spec(
    (28, 28, 1),
    *(Conv2D(filters=8, kernel=5), RELU, MaxPool(size=2)),
    *(Conv2D(filters=16, kernel=5), RELU, MaxPool(size=2)),
    *(Flatten(), Dense(units=10)),
)
"""With the classroom's kinks, and small: an attack takes forty gradients."""
