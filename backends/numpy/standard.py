"""The network in the array API standard (data-apis.org): the same code for any library that keeps to it.

On a GPU the library is CuPy; the tests run it on array-api-strict, which has the standard and nothing else.
Each layer returns its output and its pullback, as in `layers.py`, which is the fast path of a CPU: the
standard has no strides, and writes no result where the caller wants it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool, relu_after_pool

ALL = slice(None)


class Network:
    """What the contract asks for, on arrays of `xp`; boundary arrays are NumPy's in `dtype`."""

    def __init__(self, xp, spec, optimizer, dtype):
        self.xp, self.spec, self.optimizer, self.dtype = xp, spec, optimizer, np.dtype(dtype)
        self.nodes = relu_after_pool(spec.nodes)
        self.load({name: np.zeros(shape) for name, shape in spec.weights.items()})

    def load(self, state):
        def tensors(prefix):
            shapes = self.spec.weights.items()
            return {name: self._there(state.get(prefix + name, np.zeros(shape))) for name, shape in shapes}

        self.weights, self.m, self.v = tensors(""), tensors("adam/m/"), tensors("adam/v/")

    def dump(self):
        groups = {"": self.weights, "adam/m/": self.m, "adam/v/": self.v}
        return {
            prefix + name: back(tensor)
            for prefix, tensors in groups.items()
            for name, tensor in tensors.items()
        }

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        images, targets = self._there(images), self._there(targets)
        masks, noise = self._masks(masks), self._all_there(weight_noise)
        logits = []
        for k, (s1, s2) in enumerate(scales.tolist()):
            weights = self._noisy({name: draw[k, ...] for name, draw in noise.items()})
            step_masks = {name: mask[k, ...] for name, mask in masks.items()}
            y, pullback = self._forward(images[k, ...], step_masks, weights)
            _, cotangent = self._cross_entropy(y, targets[k, ...])
            self._adam(pullback(cotangent)[1], s1, s2)
            logits.append(y)
        return Later(logits)

    def logits(self, images, masks=None):
        return back(self._forward(self._there(images), self._masks(masks), self.weights)[0])

    def vjp(self, images, masks=None):
        y, pullback = self._forward(self._there(images), self._masks(masks), self.weights)
        return back(y), lambda cotangent: back(pullback(self._there(cotangent))[0])

    def loss_and_gradients(self, images, targets, masks=None, weight_noise=None):
        weights = self._noisy(self._all_there(weight_noise))
        y, pullback = self._forward(self._there(images), self._masks(masks), weights)
        loss, cotangent = self._cross_entropy(y, self._there(targets))
        gradients = pullback(cotangent)[1]
        return float(loss), {name: back(gradient) for name, gradient in gradients.items()}

    def _there(self, array):
        return self.xp.asarray(np.array(array, self.dtype, order="C"))

    def _all_there(self, arrays):
        return {name: self._there(array) for name, array in (arrays or {}).items()}

    def _masks(self, masks):
        """As bytes, a quarter of what floats would take on their way."""
        return masks if masks is None else {name: self.xp.asarray(mask) for name, mask in masks.items()}

    def _noisy(self, noise):
        return {name: w + noise[name] if name in noise else w for name, w in self.weights.items()}

    def _forward(self, x, masks, weights):
        """Output, and the pullback: cotangent -> (that of x, {weight: gradient})."""
        trace = []
        for node in self.nodes:
            layer = node.layer
            kernel, bias = weights.get(f"{node.name}/kernel"), weights.get(f"{node.name}/bias")
            match layer:
                case Conv2D():
                    x, pullback = self._conv2d(x, kernel, bias, node.pads, layer.stride)
                case Dense():
                    x, pullback = self._dense(x, kernel, bias)
                case MaxPool():
                    x, pullback = self._max_pool(x, layer.size)
                case AvgPool():
                    x, pullback = self._avg_pool(x, layer.size)
                case Flatten():
                    pullback = partial(self._reshaped, x.shape)
                    x = self._reshaped((x.shape[0], -1), x)
                case Activation(function="leaky_relu"):
                    x, pullback = self._leaky_relu(x, layer.slope)
                case Activation():
                    x, pullback = getattr(self, f"_{layer.function}")(x)
                case Dropout() if masks is not None:
                    x, pullback = self._dropout(x, masks[node.name], layer.rate)
                case Dropout():
                    continue
            trace.append((node, pullback))

        def pull(cotangent):
            gradients = {}
            for node, pullback in reversed(trace):
                if node.weights:
                    cotangent, *by_weights = pullback(cotangent)
                    gradients |= dict(
                        zip((f"{node.name}/kernel", f"{node.name}/bias"), by_weights, strict=True)
                    )
                else:
                    cotangent = pullback(cotangent)
            return cotangent, gradients

        return x, pull

    def _reshaped(self, shape, x):
        return self.xp.reshape(x, shape)

    def _conv2d(self, x, kernel, bias, pads, stride):
        """A product of patches; the pullback gives the gradients of x, kernel and bias."""
        xp, (size, _, channels, filters) = self.xp, kernel.shape
        batch, height, width, _ = x.shape
        (top, bottom), (left, right) = pads
        inside = (ALL, slice(top, top + height), slice(left, left + width), ALL)
        padded = xp.zeros((batch, top + height + bottom, left + width + right, channels), dtype=x.dtype)
        padded[inside] = x
        rows, columns = (padded.shape[1] - size) // stride + 1, (padded.shape[2] - size) // stride + 1

        def seen(i, j):
            """What a kernel's element (i, j) meets."""
            across = slice(j, j + (columns - 1) * stride + 1, stride)
            return ALL, slice(i, i + (rows - 1) * stride + 1, stride), across, ALL

        taps = [(i, j) for i in range(size) for j in range(size)]
        patches = xp.zeros((batch, rows, columns, size, size, channels), dtype=x.dtype)
        for i, j in taps:
            patches[:, :, :, i, j, :] = padded[seen(i, j)]
        patches = xp.reshape(patches, (-1, size * size * channels))
        flat = xp.reshape(kernel, (-1, filters))
        y = xp.reshape(xp.matmul(patches, flat), (batch, rows, columns, filters)) + bias

        def pullback(cotangent):
            part = xp.reshape(cotangent, (-1, filters))
            spread = xp.reshape(xp.matmul(part, flat.T), (batch, rows, columns, size, size, channels))
            by_padded = xp.zeros_like(padded)
            for i, j in taps:
                by_padded[seen(i, j)] += spread[:, :, :, i, j, :]
            by_kernel = xp.reshape(xp.matmul(patches.T, part), kernel.shape)
            return by_padded[inside], by_kernel, xp.sum(part, axis=0)

        return y, pullback

    def _dense(self, x, kernel, bias):
        def pullback(cotangent):
            matmul = self.xp.matmul
            return matmul(cotangent, kernel.T), matmul(x.T, cotangent), self.xp.sum(cotangent, axis=0)

        return self.xp.matmul(x, kernel) + bias, pullback

    def _max_pool(self, x, size):
        """The cotangent goes to the first maximum of each window in row-major order."""
        xp, places = self.xp, positions(x, size)
        best = [x[places[0]]]
        for place in places[1:]:
            best.append(xp.maximum(best[-1], x[place]))

        def pullback(cotangent):
            by_x = xp.zeros_like(x)
            for k in reversed(range(1, len(places))):
                won = best[k - 1] < x[places[k]]
                by_x[places[k]] = xp.where(won, cotangent, xp.zeros_like(cotangent))
                cotangent = xp.where(won, xp.zeros_like(cotangent), cotangent)
            by_x[places[0]] = cotangent
            return by_x

        return best[-1], pullback

    def _avg_pool(self, x, size):
        places = positions(x, size)

        def pullback(cotangent):
            by_x = self.xp.zeros_like(x)
            for place in places:
                by_x[place] = cotangent / size**2
            return by_x

        return sum((x[place] for place in places[1:]), start=x[places[0]]) / size**2, pullback

    def _relu(self, x):
        zero = self.xp.zeros_like(x)
        return self.xp.maximum(x, zero), lambda cotangent: self.xp.where(x > 0, cotangent, zero)

    def _leaky_relu(self, x, slope):
        where = self.xp.where
        return where(x > 0, x, slope * x), lambda cotangent: where(x > 0, cotangent, slope * cotangent)

    def _swish(self, x):
        sigmoid = 0.5 * self.xp.tanh(0.5 * x) + 0.5
        y = x * sigmoid
        return y, lambda cotangent: cotangent * (sigmoid + y * (1 - sigmoid))

    def _tanh(self, x):
        y = self.xp.tanh(x)
        return y, lambda cotangent: cotangent * (1 - y * y)

    def _dropout(self, x, mask, rate):
        def thinned(x):
            return self.xp.where(mask != 0, x * (1 / (1 - rate)), self.xp.zeros_like(x))

        return thinned(x), thinned

    def _cross_entropy(self, logits, targets):
        """Mean over the batch, in nats, and its gradient by the logits."""
        xp = self.xp
        shifted = logits - xp.max(logits, axis=1, keepdims=True)
        exponentials = xp.exp(shifted)
        total = xp.sum(exponentials, axis=1, keepdims=True)
        loss = xp.sum((xp.log(total) - shifted) * targets) / logits.shape[0]
        return loss, (exponentials / total - targets) / logits.shape[0]

    def _adam(self, gradients, s1, s2):
        b1, b2, eps = self.optimizer.b1, self.optimizer.b2, self.optimizer.eps
        for name, g in gradients.items():
            m = self.m[name] = b1 * self.m[name] + (1 - b1) * g
            v = self.v[name] = b2 * self.v[name] + (1 - b2) * (g * g)
            self.weights[name] = self.weights[name] - s1 * m / (self.xp.sqrt(v) * s2 + eps)


class Later:
    """Arrays that are copied to the host when they are read, so that a GPU can work on meanwhile."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __array__(self, dtype=None, copy=None):
        return np.stack([back(array) for array in self.arrays])


def back(array):
    """An array of any library as NumPy's own."""
    return array.get() if hasattr(array, "get") else np.array(array)


def positions(x, size):
    """For each place in a window, row by row: the elements that stand there."""
    rows, columns = x.shape[1] // size * size, x.shape[2] // size * size
    return [
        (ALL, slice(i, rows, size), slice(j, columns, size), ALL) for i in range(size) for j in range(size)
    ]
