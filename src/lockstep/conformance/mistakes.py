"""Known mistakes: what each would make of a layer or of Adam, compared with what a backend made of it.

A guess is named only if it explains the measured difference nearly whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lockstep.conformance.distance import distance
from lockstep.conformance.localise import INPUT_GRADIENT, OUTPUT, Place
from lockstep.conformance.problem import BATCH, RAGGED, Tensors
from lockstep.optimizer import Adam
from lockstep.spec import Activation, Conv2D, Dense, Dropout, Flatten, MaxPool, Spec

EXPLAINED = 0.01
"""Share of the difference that a guess may leave open."""

Guess = tuple[str, np.ndarray]
Convolve = Callable[[Spec, Tensors, np.ndarray], np.ndarray]
"""The reference's output of a one-layer spec, for weights and images."""


def likeliest(place: Place, convolve: Convolve) -> str:
    """The mistake that explains a place out of step; "" where none of the known ones does."""
    if place.measured.shape != place.expected.shape:
        return f"its shape is {place.measured.shape}, expected {place.expected.shape}"
    if not np.isfinite(place.measured).all():
        return "it has NaN or infinite values"
    apart = distance(place.measured, place.expected, floor=1e-300)
    for text, guess in _guesses(place, convolve):
        if distance(place.measured, guess, floor=1e-300) <= EXPLAINED * apart:
            return text
    return _precision(place, apart)


def _guesses(place: Place, convolve: Convolve) -> Iterator[Guess]:
    layer, x, factor = place.node.layer, place.x, place.cotangent
    match layer:
        case Flatten() if place.quantity == OUTPUT and x.ndim == 4:
            yield "it flattens channels first (CHW), not height, width, channel", _rows(np.moveaxis(x, -1, 1))
            yield "it flattens width before height", _rows(np.swapaxes(x, 1, 2))
        case Activation() if place.quantity in (OUTPUT, INPUT_GRADIENT):
            yield from _activation(place, layer)
        case Dropout() if place.quantity in (OUTPUT, INPUT_GRADIENT) and place.mask is not None:
            value = x if factor is None else factor
            keep, rate = place.mask, layer.rate
            yield "masks are not rescaled by 1 / (1 - rate)", value * keep
            yield "masks are ignored", value
            yield "masks are inverted: 1 keeps an element", value * (1 - keep) / (1 - rate)
            yield "kept elements are divided by rate instead of 1 - rate", value * keep / rate
        case MaxPool() if place.quantity == INPUT_GRADIENT and factor is not None:
            yield from _pool(x, factor, layer.size)
        case Conv2D() if place.quantity == OUTPUT:
            yield from _convolution(place, layer, convolve)
        case Dense() if place.quantity == OUTPUT:
            yield "its bias is missing", place.expected - place.weights["bias"]
    if place.quantity.startswith("gradient of"):
        yield from _batch_mean(place)


def _activation(place: Place, layer: Activation) -> Iterator[Guess]:
    """Slopes are read off the measured values: where the input is negative, and where it is exactly 0."""
    upstream = place.x if place.cotangent is None else place.cotangent
    for where, name, right in (
        (place.x < 0, "its slope below 0", layer.slope or 0.0),
        (place.x == 0, "its derivative at 0", layer.slope or 0.0),
    ):
        usable = where & (np.abs(upstream) > 1e-6)
        if layer.function in ("relu", "leaky_relu") and usable.any():
            slope = float(np.median(place.measured[usable] / upstream[usable]))
            guess = np.where(where, slope * upstream, place.expected)
            yield f"{name} is {slope:.3g}, the spec and the contract say {right:.3g}", guess


def _pool(x: np.ndarray, cotangent: np.ndarray, size: int) -> Iterator[Guess]:
    rows, columns = cotangent.shape[1:3]
    shape = (len(x), rows, size, columns, size, x.shape[-1])
    windows = x[:, : rows * size, : columns * size].reshape(shape)
    ties = windows == windows.max(axis=(2, 4), keepdims=True)
    spread = cotangent[:, :, np.newaxis, :, np.newaxis]
    yield (
        "a tie shares the gradient equally; the first maximum takes it",
        _unpool(spread * ties / ties.sum(axis=(2, 4), keepdims=True), x),
    )
    flat = ties.transpose(0, 1, 3, 5, 2, 4).reshape(*cotangent.shape, size * size)
    last = np.zeros(flat.shape)
    np.put_along_axis(last, size * size - 1 - flat[..., ::-1].argmax(axis=-1)[..., np.newaxis], 1, axis=-1)
    last = last.reshape(*cotangent.shape, size, size).transpose(0, 1, 4, 2, 5, 3)
    yield "of a tie the last maximum takes the gradient; the first one must", _unpool(spread * last, x)
    yield "of a tie every maximum takes the whole gradient; the first one must", _unpool(spread * ties, x)


def _unpool(windows: np.ndarray, x: np.ndarray) -> np.ndarray:
    batch, rows, size, columns, _, channels = windows.shape
    whole = np.zeros(x.shape)
    whole[:, : rows * size, : columns * size] = windows.reshape(batch, rows * size, columns * size, channels)
    return whole


def _convolution(place: Place, layer: Conv2D, convolve: Convolve) -> Iterator[Guess]:
    kernel = place.weights["kernel"]

    def output(pads: tuple[tuple[int, int], ...], kernel: np.ndarray = kernel) -> np.ndarray:
        padded = np.pad(place.x, ((0, 0), *pads, (0, 0)))
        spec = Spec(input_shape=padded.shape[1:], layers=(layer.model_copy(update={"padding": "valid"}),))
        return convolve(spec, {"conv1/kernel": kernel, "conv1/bias": place.weights["bias"]}, padded)

    pads = place.node.pads
    yield (
        "the odd zero of its padding stands before, it must stand after",
        output(tuple((after, before) for before, after in pads)),
    )
    yield (
        "all zeros of its padding stand after, half of them must stand before",
        output(tuple((0, before + after) for before, after in pads)),
    )
    yield (
        "its kernel is flipped: a convolution, where the spec means cross-correlation",
        output(pads, kernel[::-1, ::-1]),
    )
    yield "height and width of its kernel are swapped", output(pads, kernel.swapaxes(0, 1))
    yield "its bias is missing", place.expected - place.weights["bias"]


def _batch_mean(place: Place) -> Iterator[Guess]:
    yield "the loss is summed over the batch, not averaged", place.expected * BATCH
    ratio = _ratio(place.measured, place.expected)
    yield (
        f"all gradients are {ratio:.4g} times too large: the loss is no mean over the batch",
        (place.expected * ratio),
    )


def _precision(place: Place, apart: float) -> str:
    if place.measured.dtype == np.float64 and 1e-9 < apart < 1e-5:
        return "computed in float32"
    if isinstance(place.node.layer, Conv2D | Dense) and 1e-5 < apart < 2e-2:
        return "products of reduced precision (TF32, bfloat16 or float16); switch them off"
    return ""


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


STAGES = {
    "several steps": "of a call with several steps the later ones go wrong: each has scales of its own",
    "weight noise": "gradients are to be taken at weights + noise, and the update applied to the weights",
    "load without moments": "load keeps old moments: those that are absent must become zero",
    "load with moments": "dump or load loses Adam's moments",
}
"""What goes wrong where a run is out of step for the first time at a stage of the problem."""


def of_training(stage: str, quantity: str, measured: Tensors, expected: Tensors, adam: Adam) -> str:
    """The cause of the first stage and quantity of training that is out of step, although step 0 is in step.

    measured, expected: {"loss", "moment m", "moment v", "travel"} at that stage.
    """
    if not np.isfinite(measured[quantity]).all():
        return "it has NaN or infinite values"
    if (stage, quantity) == ("first step", "loss"):
        return "train_steps computes another forward pass than logits with masks"
    if stage in STAGES:
        return STAGES[stage]
    if stage == "smaller batch":
        return f"the loss of a smaller batch ({RAGGED} image) is no mean over it: it may be padded to {BATCH}"
    found, right = measured[quantity], expected[quantity]
    for text, guess in _adam(quantity, expected, adam):
        if _explains(guess, found, right):
            return text
    ratio = _ratio(found, right)
    explained = _explains(right * ratio, found, right)
    return f"all of it is {ratio:.9g} times what it should be" if explained else ""


def _ratio(measured: np.ndarray, expected: np.ndarray) -> float:
    """The factor that fits best."""
    return float(np.vdot(expected, measured) / max(np.vdot(expected, expected), 1e-300))


def _explains(guess: np.ndarray, measured: np.ndarray, expected: np.ndarray) -> bool:
    apart = distance(measured, expected, floor=1e-300)
    return distance(measured, guess, floor=1e-300) <= EXPLAINED * apart


def _adam(quantity: str, expected: Tensors, adam: Adam) -> Iterator[Guess]:
    """Of the first step, from zero moments; what stands before `quantity` is in step."""
    value, single = expected[quantity], np.float32
    if quantity.startswith("moment"):
        name, b = ("b1", adam.b1) if quantity == "moment m" else ("b2", adam.b2)
        yield f"{name} is rounded to float32", value * (1 - float(single(b))) / (1 - b)
        yield f"1 - {name} is computed in float32", value * float(single(1) - single(b)) / (1 - b)
        return
    m, root = expected["moment m"], np.sqrt(expected["moment v"])
    ((s1, s2),) = adam.scales(1, 1)

    def update(s1: float, s2: float, eps: float) -> np.ndarray:
        return -s1 * m / (root * s2 + eps)

    other = adam.model_copy(update={"form": "paper" if adam.form == "keras" else "keras"})
    ((o1, o2),) = other.scales(1, 1)
    for eps in (1e-8, 1e-7):
        if eps != adam.eps:
            yield f"eps is {eps:g}, the run says {adam.eps:g}", update(s1, s2, eps)
        where = f"eps {eps:g} stands where the {other.form} form has it, the run says {adam.form}"
        yield where, update(o1, o2, eps)
    rate = adam.learning_rate
    rounded = rate * np.sqrt(float(1 - single(adam.b2))) / float(1 - single(adam.b1))
    yield "the bias correction is computed in float32", value * rounded / s1
    yield "there is no bias correction", update(rate, 1, adam.eps)
    yield "the learning rate is rounded to float32", value * float(single(rate)) / rate
    yield "the step's scale is rounded to float32", value * float(single(s1)) / s1
