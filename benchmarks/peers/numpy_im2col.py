"""The default network trained in plain NumPy, the textbook's way.

    python benchmarks/peers/numpy_im2col.py [--threads 1] [--epochs 5] [--images 4000]

Follows the course notes of Stanford's CS231n: a convolution copies the patch under every output into a row
("im2col") and is one matrix product from there; max-pooling is a reshape; gradients are written out layer by
layer; Adam is algorithm 1 of Kingma & Ba (2015).  Images are NHWC, initial weights are He's.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from peer import Peer, main
from threadpoolctl import threadpool_limits

BATCH_SIZE = 64
LEARNING_RATE, B1, B2, EPSILON = 5e-4, 0.9, 0.999, 1e-8
SHAPES = {"conv1": (5, 5, 1, 32), "conv2": (5, 5, 32, 64), "dense1": (1024, 1024), "dense2": (1024, 10)}


def initial_parameters(rng):
    parameters = {}
    for name, shape in SHAPES.items():
        scale = np.float32(np.sqrt(2 / np.prod(shape[:-1])))
        parameters[f"{name}/kernel"] = scale * rng.standard_normal(shape, dtype=np.float32)
        parameters[f"{name}/bias"] = np.zeros(shape[-1], np.float32)
    return parameters


def conv(x, kernel, bias):
    """The output, and the patches [n * height * width, 5 * 5 * channels] for the backward pass."""
    size, _, _, filters = kernel.shape
    windows = sliding_window_view(x, (size, size), axis=(1, 2))  # [n, height, width, channels, 5, 5]
    n, height, width = windows.shape[:3]
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(n * height * width, -1)
    y = patches @ kernel.reshape(-1, filters) + bias
    return y.reshape(n, height, width, filters), patches


def conv_kernel_gradient(dy, patches, shape):
    return (patches.T @ dy.reshape(-1, shape[-1])).reshape(shape)


def conv_input_gradient(dy, kernel, shape):
    """Every patch's gradient is added where the patch came from ("col2im")."""
    size, _, channels, filters = kernel.shape
    n, height, width, _ = dy.shape
    dpatches = dy.reshape(-1, filters) @ kernel.reshape(-1, filters).T
    dpatches = dpatches.reshape(n, height, width, size, size, channels)
    dx = np.zeros(shape, dy.dtype)
    for i in range(size):
        for j in range(size):
            dx[:, i : i + height, j : j + width] += dpatches[:, :, :, i, j]
    return dx


def max_pool(x):
    """The output, and a mask [n, height, width, 4, channels] of the first largest in each 2x2 window."""
    n, height, width, channels = x.shape
    windows = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    windows = windows.reshape(n, height // 2, width // 2, 4, channels)
    mask = np.arange(4)[:, np.newaxis] == windows.argmax(axis=3, keepdims=True)
    return windows.max(axis=3), mask


def max_pool_gradient(dy, mask):
    n, height, width, channels = dy.shape
    dwindows = (mask * dy[:, :, :, np.newaxis]).reshape(n, height, width, 2, 2, channels)
    return dwindows.transpose(0, 1, 3, 2, 4, 5).reshape(n, 2 * height, 2 * width, channels)


def forward(p, x):
    """Logits, and what the backward pass needs."""
    y1, patches1 = conv(x, p["conv1/kernel"], p["conv1/bias"])
    pooled1, mask1 = max_pool(np.maximum(y1, 0))
    y2, patches2 = conv(pooled1, p["conv2/kernel"], p["conv2/bias"])
    pooled2, mask2 = max_pool(np.maximum(y2, 0))
    flat = pooled2.reshape(len(x), -1)
    y3 = flat @ p["dense1/kernel"] + p["dense1/bias"]
    hidden = np.maximum(y3, 0)
    logits = hidden @ p["dense2/kernel"] + p["dense2/bias"]
    return logits, (y1, patches1, pooled1, mask1, y2, patches2, pooled2, mask2, flat, y3, hidden)


def loss_and_gradients(p, x, labels):
    logits, (y1, patches1, pooled1, mask1, y2, patches2, pooled2, mask2, flat, y3, hidden) = forward(p, x)
    rows = np.arange(len(x))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[rows, labels].mean()

    dlogits = np.exp(log_probabilities)
    dlogits[rows, labels] -= 1
    dlogits /= len(x)
    dy3 = dlogits @ p["dense2/kernel"].T * (y3 > 0)
    dpooled2 = (dy3 @ p["dense1/kernel"].T).reshape(pooled2.shape)
    dy2 = max_pool_gradient(dpooled2, mask2) * (y2 > 0)
    dpooled1 = conv_input_gradient(dy2, p["conv2/kernel"], pooled1.shape)
    dy1 = max_pool_gradient(dpooled1, mask1) * (y1 > 0)
    return loss, {
        "conv1/kernel": conv_kernel_gradient(dy1, patches1, SHAPES["conv1"]),
        "conv1/bias": dy1.sum(axis=(0, 1, 2)),
        "conv2/kernel": conv_kernel_gradient(dy2, patches2, SHAPES["conv2"]),
        "conv2/bias": dy2.sum(axis=(0, 1, 2)),
        "dense1/kernel": flat.T @ dy3,
        "dense1/bias": dy3.sum(axis=0),
        "dense2/kernel": hidden.T @ dlogits,
        "dense2/bias": dlogits.sum(axis=0),
    }


def adam(parameters, gradients, m, v, t):
    for name, g in gradients.items():
        m[name] = B1 * m[name] + (1 - B1) * g
        v[name] = B2 * v[name] + (1 - B2) * g**2
        m_hat, v_hat = m[name] / (1 - B1**t), v[name] / (1 - B2**t)
        parameters[name] -= LEARNING_RATE * m_hat / (np.sqrt(v_hat) + EPSILON)


def scaled(images: np.ndarray) -> np.ndarray:
    """uint8 -> float32 in [0, 1]."""
    return images.astype(np.float32) / 255


def prepare(images: np.ndarray, labels: np.ndarray, threads: int) -> Peer:
    threadpool_limits(limits=threads, user_api="blas")  # of matrix products; the rest of NumPy has one
    inputs = scaled(images)
    rng = np.random.default_rng(0)
    parameters = initial_parameters(rng)
    m = {name: np.zeros_like(value) for name, value in parameters.items()}
    v = {name: np.zeros_like(value) for name, value in parameters.items()}
    step = 0

    def train(epochs: int) -> list[float]:
        nonlocal step
        losses = []
        for _ in range(epochs):
            order, total = rng.permutation(len(inputs)), 0.0
            for start in range(0, len(order), BATCH_SIZE):
                rows = order[start : start + BATCH_SIZE]
                loss, gradients = loss_and_gradients(parameters, inputs[rows], labels[rows])
                step += 1
                adam(parameters, gradients, m, v, step)
                total += float(loss) * len(rows)
            losses.append(total / len(inputs))
        return losses

    def predict(images: np.ndarray) -> np.ndarray:
        return forward(parameters, scaled(images))[0].argmax(axis=1)

    return Peer(train, predict, sum(value.size for value in parameters.values()))


if __name__ == "__main__":
    main(prepare)
