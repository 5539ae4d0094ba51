"""The fast path: each layer as a function that returns its output and its pullback.

A pullback takes the cotangent of the output and returns the cotangent of the input, and for layers
with weights those of kernel and bias.  `classroom/layers.py` says the same things slowly; the tests hold the
two together.  Images are [B, H, W, C].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Array = np.ndarray
Pads = tuple[tuple[int, int], tuple[int, int]]
Pullback = Callable[[Array], Array]
Product = Callable[[Array, Array], Array]
WeightPullback = Callable[[Array, bool], tuple[Array | None, dict[str, Array]]]


def conv2d(x: Array, kernel: Array, bias: Array, pads: Pads, stride: int) -> tuple[Array, WeightPullback]:
    """Cross-correlation as a matrix product of patches: x [B, H, W, C], kernel [k, k, C, F].

    The pullback makes the patches again: keeping them takes much memory, and as long.
    """
    size, _, channels, filters = kernel.shape
    padded = np.pad(x, ((0, 0), *pads, (0, 0))) if np.any(pads) else x
    windows = _windows(np.ascontiguousarray(padded), size, stride)
    rows, columns = windows.shape[1:3]
    y = (_patches(windows) @ kernel.reshape(-1, filters)).reshape(len(x), rows, columns, filters)
    y += bias

    def pullback(cotangent: Array, wants_input: bool) -> tuple[Array | None, dict[str, Array]]:
        part = cotangent.reshape(-1, filters)
        by_bias = np.ones(len(part), part.dtype) @ part  # a sum along columns, several times as fast
        gradients = {"kernel": (_patches(windows).T @ part).reshape(kernel.shape), "bias": by_bias}
        if not wants_input:
            return None, gradients
        by_padded = np.zeros_like(padded)
        for i in range(size):
            # A product per kernel position keeps what is added contiguous; a row of them fits the cache.
            spread = np.matmul(part, kernel[i].transpose(0, 2, 1)).reshape(size, *y.shape[:-1], channels)
            by_rows = by_padded[:, i : i + rows * stride : stride]
            for j in range(size):
                here = by_rows[:, :, j : j + columns * stride : stride]
                np.add(here, spread[j], out=here)
        (top, _), (left, _) = pads
        return by_padded[:, top : top + x.shape[1], left : left + x.shape[2]], gradients

    return y, pullback


def _windows(x: Array, size: int, stride: int) -> Array:
    """What a kernel sees: [B, rows, columns, C, k, k], a view of contiguous x [B, H, W, C].

    `sliding_window_view` with steps, whose Python takes so long that other threads wait for it.
    """
    batch, height, width, channels = x.shape
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    by_image, by_row, by_column, by_channel = x.strides
    strides = (by_image, stride * by_row, stride * by_column, by_channel, by_row, by_column)
    return np.ndarray((batch, rows, columns, channels, size, size), x.dtype, x, strides=strides)


def _patches(windows: Array) -> Array:
    """A row for each window, [B * rows * columns, k * k * C], of windows [B, rows, columns, C, k, k]."""
    channels, size = windows.shape[3:5]
    if channels == 1:  # copied along the columns, which is faster than a few pixels at a time
        return windows.transpose(4, 5, 3, 0, 1, 2).reshape(size * size, -1).T
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * channels)


def dense(x: Array, kernel: Array, bias: Array, product: Product = np.matmul) -> tuple[Array, WeightPullback]:
    """x @ kernel + bias: x [B, units in]; product: how matrices are multiplied."""

    def pullback(cotangent: Array, wants_input: bool) -> tuple[Array | None, dict[str, Array]]:
        gradients = {"kernel": product(x.T, cotangent), "bias": cotangent.sum(axis=0)}
        return (product(cotangent, kernel.T) if wants_input else None), gradients

    return product(x, kernel) + bias, pullback


def max_pool(x: Array, size: int) -> tuple[Array, Pullback]:
    """The cotangent goes to the first maximum of each window in row-major order."""
    batch, height, width, channels = x.shape
    rows, columns = height // size, width // size
    inside = x[:, : rows * size, : columns * size]
    across, pull_across = _maximum(inside.reshape(batch, rows * size, columns, size, channels))
    y, pull_down = _maximum(across.reshape(batch, rows, size, columns * channels))

    def pullback(cotangent: Array) -> Array:
        by_across = pull_down(cotangent.reshape(y.shape)).reshape(across.shape)
        by_inside = pull_across(by_across).reshape(inside.shape)
        if by_inside.shape == x.shape:
            return by_inside
        return np.pad(by_inside, ((0, 0), (0, height - rows * size), (0, width - columns * size), (0, 0)))

    return y.reshape(batch, rows, columns, channels), pullback


def _maximum(x: Array) -> tuple[Array, Pullback]:
    """Along the last axis but one; the cotangent goes to the first of equals."""
    parts = [x[..., i, :] for i in range(x.shape[-2])]
    best = [parts[0]]
    for part in parts[1:]:
        best.append(np.maximum(best[-1], part))

    def pullback(cotangent: Array) -> Array:
        if len(parts) == 1:
            return cotangent
        by_x = np.empty(x.shape, x.dtype)
        for i in reversed(range(1, len(parts))):
            np.multiply(cotangent, best[i - 1] < parts[i], out=by_x[..., i, :])
            cotangent = np.subtract(cotangent, by_x[..., i, :], out=by_x[..., 0, :])
        return by_x

    return best[-1], pullback


def avg_pool(x: Array, size: int) -> tuple[Array, Pullback]:
    positions = list(_positions(x, size))
    y = sum(x[position] for position in positions) / size**2

    def pullback(cotangent: Array) -> Array:
        by_x = np.zeros_like(x)
        for position in positions:
            by_x[position] = cotangent / size**2
        return by_x

    return y, pullback


def _positions(x: Array, size: int) -> Iterator[tuple[slice, ...]]:
    """For each place in a window, row by row: the elements that stand there."""
    rows, columns = x.shape[1] // size * size, x.shape[2] // size * size
    for i in range(size):
        for j in range(size):
            yield slice(None), slice(i, rows, size), slice(j, columns, size)


def relu(x: Array) -> tuple[Array, Pullback]:
    return np.maximum(x, 0), lambda cotangent: cotangent * (x > 0)


def leaky_relu(x: Array, slope: float) -> tuple[Array, Pullback]:
    factor = np.where(x > 0, x.dtype.type(1), x.dtype.type(slope))
    return x * factor, lambda cotangent: cotangent * factor


def swish(x: Array) -> tuple[Array, Pullback]:
    """x sigmoid(x), with the sigmoid from tanh, which does not overflow."""
    sigmoid = 0.5 * np.tanh(0.5 * x) + 0.5
    y = x * sigmoid
    return y, lambda cotangent: cotangent * (sigmoid + y * (1 - sigmoid))


def tanh(x: Array) -> tuple[Array, Pullback]:
    y = np.tanh(x)
    return y, lambda cotangent: cotangent * (1 - y * y)


def dropout(x: Array, mask: Array, rate: float) -> tuple[Array, Pullback]:
    factor = mask * x.dtype.type(1 / (1 - rate))
    return x * factor, lambda cotangent: cotangent * factor


def cross_entropy(logits: Array, targets: Array) -> tuple[float, Array]:
    """Mean over the batch, in nats, and its gradient by the logits; each target sums to 1."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    loss = ((np.log(total) - shifted) * targets).sum(axis=1).mean()
    return float(loss), (exponentials / total - targets) / len(logits)
