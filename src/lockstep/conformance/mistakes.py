"""Known mistakes: what each would make of a layer or of the loss, compared with what a backend made of it.

A guess is named only if it explains the measured difference nearly whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lockstep.conformance.distance import distance
from lockstep.conformance.localise import BY_LOGITS, INPUT_GRADIENT, OUTPUT, Place
from lockstep.conformance.problem import Tensors
from lockstep.spec import Activation, Conv2D, Dense, Dropout, Flatten, MaxPool, Spec

EXPLAINED = 0.01
"""Share of the difference that a guess may leave open."""

LARGEST = 80
"""Logits whose exponential float32 still holds."""

Guess = tuple[str, np.ndarray]
Convolve = Callable[[Spec, Tensors, np.ndarray], np.ndarray]
"""The reference's output of a one-layer spec, for weights and images."""


def likeliest(place: Place, convolve: Convolve) -> str:
    """The mistake that explains a place out of step; "" where none of the known ones does."""
    if place.measured.shape != place.expected.shape:
        return f"its shape is {place.measured.shape}, expected {place.expected.shape}"
    if not np.isfinite(place.measured).all():
        overflows = place.quantity == BY_LOGITS and np.abs(place.x).max() > LARGEST
        why = ": the softmax must subtract the largest logit first" if overflows else ""
        return f"it has NaN or infinite values{why}"
    apart = distance(place.measured, place.expected, floor=1e-300)
    for text, guess in _guesses(place, convolve):
        if distance(place.measured, guess, floor=1e-300) <= EXPLAINED * apart:
            return text
    return _precision(place, apart)


def _guesses(place: Place, convolve: Convolve) -> Iterator[Guess]:
    layer, x, factor = place.node.layer, place.x, place.cotangent
    if place.quantity == BY_LOGITS and place.targets is not None:
        yield from _loss(place, x, place.targets)
        return
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
    if place.quantity == OUTPUT and "bias" in place.weights:
        bias = place.weights["bias"]
        times = ratio(place.measured - bias, place.expected - bias)
        yield f"its input is multiplied by {times:.4g}", bias + times * (place.expected - bias)
    times = ratio(place.measured, place.expected)
    yield f"it is {times:.4g} times what it should be", place.expected * times
    lost = (place.measured == 0) & (place.expected != 0)
    yield f"{lost.sum():,} of {lost.size:,} numbers are 0", np.where(lost, 0, place.expected)


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


def _loss(place: Place, z: np.ndarray, t: np.ndarray) -> Iterator[Guess]:
    """The gradient by the logits z [B, classes] of other losses; t: the targets."""
    n, classes = z.shape
    p = _softmax(z)
    yield "the loss is summed over the batch, not averaged", p - t
    yield "the loss is in bits, not in nats", (p - t) / n / np.log(2)
    over_images = _softmax(z.T).T
    shifted = np.exp(z - z.max(axis=1, keepdims=True))
    across = "the softmax goes over the images of a batch, not over the classes"
    yield across, (over_images * t.sum(axis=0) - t) / n
    yield across, (over_images - t) / n
    yield across, (shifted / shifted.sum(axis=0) - t) / n
    yield "the softmax is taken twice: the loss gets probabilities", _by_logits(p, _softmax(p) - t) / n
    yield "targets are rounded to float16", (p - t.astype(np.float16)) / n
    yield "targets are clipped to between 0 and 1", (p - t.clip(0, 1)) / n
    yield "of a target the largest share alone counts", (p - np.eye(classes)[t.argmax(axis=1)]) / n
    smoothed = t - 1 / classes
    share = ratio(place.measured - (p - t) / n, smoothed / n)
    yield f"targets are smoothed by {share:.3g}", (p - t + share * smoothed) / n
    for limit in (10, 15, 16, 20, 25, 30, 40, 50, 60, 64, 80, 88, 100):
        clipped = (_softmax(z.clip(-limit, limit)) - t) / n * (np.abs(z) < limit)
        yield f"logits are clipped to between -{limit} and {limit}", clipped
    for eps in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16):
        inside = (p > eps) & (p < 1 - eps)
        yield (
            f"probabilities are clipped to between {eps:g} and 1 - {eps:g}",
            _by_logits(p, -t / p.clip(eps, 1 - eps) * inside) / n,
        )
        yield (
            f"probabilities are clipped from {eps:g} on",
            _by_logits(p, -t / p.clip(eps) * (p > eps)) / n,
        )
        yield f"the loss takes log(p + {eps:g})", _by_logits(p, -t / (p + eps)) / n
    times = ratio(place.measured, place.expected)
    yield (
        f"it is {times:.4g} times what it should be: the loss is no mean over the batch",
        (place.expected * times),
    )


def _softmax(z: np.ndarray) -> np.ndarray:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def _by_logits(p: np.ndarray, by_p: np.ndarray) -> np.ndarray:
    """Through the softmax, from the gradient by probabilities."""
    return np.asarray(p * (by_p - (by_p * p).sum(axis=1, keepdims=True)))


def ratio(measured: np.ndarray, expected: np.ndarray) -> float:
    """The factor that fits best."""
    return float(np.vdot(expected, measured) / max(np.vdot(expected, expected), 1e-300))


def _precision(place: Place, apart: float) -> str:
    """Told by the size of the difference alone, so not where anything else is as large."""
    single = place.measured.dtype == np.float32
    if not single and np.array_equal(place.measured, place.measured.astype(np.float32)):
        return "computed in float32"
    if not single and 1e-9 < apart < 1e-6:
        return "as large as float32's rounding: something in it may be computed in float32"
    if single and isinstance(place.node.layer, Conv2D | Dense) and 1e-5 < apart < 2e-2:
        return "products of reduced precision (TF32, bfloat16 or float16); switch them off"
    return ""


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)
