"""MLX, Apple's array library, on a CPU: `pip install "mlx[cpu]"`.

An array of MLX is a recipe until something evaluates it.  `train_steps` evaluates each step, so that the
recipe of the weights does not grow.

`threads` and `deterministic` change nothing: an operation runs on one thread, always in the same order.
`mx.compile` is left out: it calls the machine's C++ compiler, and the time goes into matrix products.
"""

from __future__ import annotations

import math
import platform
from functools import reduce

import mlx.core as mx
import numpy as np

from lockstep.backend import Backend
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool

api = 1
runs_on = ("cpu",)


class MLXBackend(Backend):
    def __init__(self, spec, optimizer, *, device, dtype, threads, deterministic):
        self.require(device)
        mx.set_default_device(mx.cpu)
        self.spec, self.optimizer = spec, optimizer
        self.dtype = getattr(mx, dtype)
        self.weights, self.m, self.v = {}, {}, {}  # where a network has none, nobody calls `load`

    def load(self, state):
        def moments(prefix):
            shapes = self.spec.weights.items()
            return {name: self._array(state.get(prefix + name, np.zeros(shape))) for name, shape in shapes}

        self.weights = {name: self._array(state[name]) for name in self.spec.weights}
        self.m, self.v = moments("adam/m/"), moments("adam/v/")

    def dump(self):
        parts = {"": self.weights, "adam/m/": self.m, "adam/v/": self.v}
        return {prefix + name: np.array(t) for prefix, part in parts.items() for name, t in part.items()}

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        images, targets, scales = map(self._array, (images, targets, scales))
        masks, noise = self._arrays(masks), self._arrays(weight_noise)
        logits = []
        for k in range(len(images)):
            step_masks = {name: mask[k] for name, mask in masks.items()}
            step_noise = {name: draw[k] for name, draw in noise.items()}
            (_, out), gradients = self._gradients(images[k], targets[k], step_masks, step_noise)
            self._adam(gradients, *scales[k])
            mx.eval(out, self.weights, self.m, self.v)
            logits.append(out)
        return mx.stack(logits)

    def logits(self, images, masks=None):
        return np.array(self._forward(self.weights, self._array(images), self._arrays(masks)))

    def vjp(self, images, masks=None):
        images, masks = self._array(images), self._arrays(masks)

        def forward(x):
            return self._forward(self.weights, x, masks)

        def pullback(cotangent):
            return np.array(mx.vjp(forward, [images], [self._array(cotangent)])[1][0])

        return np.array(forward(images)), pullback

    def loss_and_gradients(self, images, targets, masks=None, weight_noise=None):
        (loss, _), gradients = self._gradients(
            self._array(images), self._array(targets), self._arrays(masks), self._arrays(weight_noise)
        )
        return loss.item(), {name: np.array(gradient) for name, gradient in gradients.items()}

    def synchronize(self):
        mx.synchronize()

    @classmethod
    def devices(cls):
        return ("cpu",)

    @classmethod
    def environment(cls):
        return {"mlx": mx.__version__, "machine": platform.machine()}

    def _array(self, array):
        return mx.array(array, dtype=self.dtype)  # without a dtype, MLX makes float32 of float64

    def _arrays(self, arrays):
        return {name: self._array(array) for name, array in (arrays or {}).items()}

    def _gradients(self, images, targets, masks, noise):
        """((loss, logits), {weight: gradient}), at weights + noise."""

        def loss(weights):
            logits = self._forward(weights, images, masks)
            return cross_entropy(logits, targets), logits

        return mx.value_and_grad(loss)({name: w + noise.get(name, 0) for name, w in self.weights.items()})

    def _adam(self, gradients, s1, s2):
        b1, b2, eps = self.optimizer.b1, self.optimizer.b2, self.optimizer.eps
        for name, g in gradients.items():
            m = self.m[name] = b1 * self.m[name] + (1 - b1) * g
            v = self.v[name] = b2 * self.v[name] + (1 - b2) * g * g
            self.weights[name] = self.weights[name] - s1 * m / (mx.sqrt(v) * s2 + eps)

    def _forward(self, weights, x, masks):
        for node in self.spec.nodes:
            match node.layer:
                case Conv2D(stride=stride):
                    kernel, bias = weights[f"{node.name}/kernel"], weights[f"{node.name}/bias"]
                    x = conv2d(x, kernel, node.pads, stride) + bias
                case Dense():
                    x = x @ weights[f"{node.name}/kernel"] + weights[f"{node.name}/bias"]
                case MaxPool(size=size):
                    # Of equals, `maximum` gives the gradient to its second argument: the first of the window.
                    x = reduce(mx.maximum, reversed(windows(x, size)))
                case AvgPool(size=size):
                    x = sum(windows(x, size)) / size**2
                case Flatten():
                    x = x.reshape(len(x), -1)
                case Activation(function=function, slope=slope):
                    x = ACTIVATIONS[function](x, slope)
                case Dropout(rate=rate) if node.name in masks:
                    x = x * masks[node.name] / (1 - rate)
        return x


def conv2d(x, kernel, pads, stride):
    """Patches times kernel: faster on a CPU than mx.conv2d, whose gradients are slow."""
    size, _, channels, filters = kernel.shape
    x = mx.pad(x, [(0, 0), *pads, (0, 0)])
    batch, height, width = len(x), *((n - size) // stride + 1 for n in x.shape[1:3])
    patches = [
        x[:, i : i + height * stride : stride, j : j + width * stride : stride]
        for i in range(size)
        for j in range(size)
    ]
    columns = mx.concatenate(patches, axis=-1).reshape(-1, size * size * channels)
    return (columns @ kernel.reshape(-1, filters)).reshape(batch, height, width, filters)


def windows(x, size):
    """The elements of each pooling window in row-major order: size * size arrays [B, H/size, W/size, C]."""
    height, width = (n // size * size for n in x.shape[1:3])
    return [x[:, i:height:size, j:width:size] for i in range(size) for j in range(size)]


def exp(x):
    """mx.exp computes float64 with float32's precision (github.com/ml-explore/mlx/issues/3047)."""
    return mx.power(math.e, x)


def cross_entropy(logits, targets):
    shifted = logits - mx.stop_gradient(logits.max(axis=-1, keepdims=True))
    log_sum = mx.log(exp(shifted).sum(axis=-1, keepdims=True))
    return -(targets * (shifted - log_sum)).sum(axis=-1).mean()


ACTIVATIONS = {
    "relu": lambda x, _: mx.maximum(x, 0),
    "leaky_relu": lambda x, slope: mx.where(x > 0, x, slope * x),
    "swish": lambda x, _: x * (1 + mx.tanh(x / 2)) / 2,  # mx.sigmoid is as imprecise as mx.exp
    "tanh": lambda x, _: mx.tanh(x),
}
