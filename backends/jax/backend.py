"""JAX: one jitted step, which XLA compiles once per batch size."""

from __future__ import annotations

import os
from functools import reduce
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lockstep.backend import Backend
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool

api = 1
runs_on = ("cpu", "gpu")

DETERMINISTIC = "--xla_gpu_exclude_nondeterministic_ops=true --xla_gpu_autotune_level=0"
"""Nothing that adds in an order of its own, and no kernel chosen by how fast it happened to run."""
PINNED = {
    "jax_default_matmul_precision": "highest",  # no TF32, in convolutions neither
    "jax_numpy_rank_promotion": "allow",
    "jax_numpy_dtype_promotion": "standard",
    "jax_disable_jit": False,
    "jax_debug_nans": False,  # a diverged run is a result
    "jax_debug_infs": False,
    "jax_disable_most_optimizations": False,
}
"""What a notebook may have set otherwise, before this backend came."""
FUNCTIONS = {"relu": jax.nn.relu, "swish": jax.nn.silu, "tanh": jnp.tanh}


class JaxBackend(Backend):
    def __init__(self, spec, optimizer, *, device, dtype, threads, deterministic):
        os.environ["NPROC"] = str(threads)  # sizes XLA's CPU pool, read when a device is first asked for
        flags = os.environ.get("XLA_FLAGS", "")
        if device == "gpu" and deterministic and DETERMINISTIC not in flags:
            os.environ["XLA_FLAGS"] = f"{flags} {DETERMINISTIC}".strip()
        for name, value in {**PINNED, "jax_enable_x64": dtype == "float64"}.items():
            jax.config.update(name, value)
        self.require(device)
        self.spec, self.optimizer, self.dtype = spec, optimizer, np.dtype(dtype)
        self.device = jax.devices(device)[0]
        # A scan over steps is the fast road on accelerators and many times slower on a CPU.
        self._steps = jax.jit(self._scan, donate_argnums=0) if device == "gpu" else self._loop
        self._conv2d = _convolution if device == "gpu" else _product_of_patches
        self._step = jax.jit(self._one_step, donate_argnums=0)
        self._logits = jax.jit(self._forward)
        self._vjp = jax.jit(lambda weights, x, masks: jax.vjp(lambda x: self._forward(weights, x, masks), x))
        self._pull = jax.jit(lambda pullback, cotangent: pullback(cotangent)[0])
        self._gradients = jax.jit(jax.value_and_grad(self._loss, has_aux=True))
        self.latest = None  # logits of the last training steps, which may not be there yet
        self.load({name: np.zeros(shape) for name, shape in spec.weights.items()})

    def load(self, state):
        def tensors(prefix):
            shapes = self.spec.weights.items()
            chosen = {name: state.get(prefix + name, np.zeros(shape)) for name, shape in shapes}
            return jax.device_put(self._cast(chosen), self.device)

        self.state = tensors(""), tensors("adam/m/"), tensors("adam/v/")

    def dump(self):
        return {
            prefix + name: np.array(value)
            for prefix, group in zip(("", "adam/m/", "adam/v/"), self.state, strict=True)
            for name, value in group.items()
        }

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        batches = *self._cast((images, targets)), dict(masks), *self._cast((scales, dict(weight_noise or {})))
        self.state, self.latest = self._steps(self.state, batches)
        return self.latest

    def logits(self, images, masks=None):
        return np.asarray(self._logits(self.state[0], self._cast(images), masks))

    def vjp(self, images, masks=None):
        logits, pullback = self._vjp(self.state[0], self._cast(images), masks)
        return np.asarray(logits), lambda cotangent: np.asarray(self._pull(pullback, self._cast(cotangent)))

    def loss_and_gradients(self, images, targets, masks=None, weight_noise=None):
        images, targets, noise = self._cast((images, targets, dict(weight_noise or {})))
        (loss, _), gradients = self._gradients(self.state[0], images, targets, masks, noise)
        return float(loss), {name: np.asarray(gradient) for name, gradient in gradients.items()}

    def synchronize(self):
        jax.block_until_ready((self.state, self.latest))

    def peak_memory(self):
        return (self.device.memory_stats() or {}).get("peak_bytes_in_use")  # a CPU has none

    @classmethod
    def devices(cls):
        return ("cpu", "gpu") if jax.default_backend() == "gpu" else ("cpu",)

    @classmethod
    def environment(cls):
        return {
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "x64": str(jax.config.jax_enable_x64),
            "NPROC": os.environ.get("NPROC", ""),
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
            "matmul_precision": str(jax.config.jax_default_matmul_precision),
        }

    def _cast(self, tree):
        return jax.tree.map(lambda array: np.asarray(array, self.dtype), tree)

    def _loop(self, state, batches):
        logits = []
        for k in range(len(batches[0])):
            state, output = self._step(state, jax.tree.map(itemgetter(k), batches))
            logits.append(output)
        return state, jnp.stack(logits)

    def _scan(self, state, batches):
        return lax.scan(self._one_step, state, batches)

    def _one_step(self, state, batch):
        images, targets, masks, (s1, s2), noise = batch
        weights, m, v = state
        b1, b2, eps = self.optimizer.b1, self.optimizer.b2, self.optimizer.eps
        gradients, logits = jax.grad(self._loss, has_aux=True)(weights, images, targets, masks, noise)
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, gradients)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * (g * g), v, gradients)
        weights = jax.tree.map(lambda p, m, v: p - s1 * m / (jnp.sqrt(v) * s2 + eps), weights, m, v)
        return (weights, m, v), logits

    def _loss(self, weights, images, targets, masks, noise):
        noisy = {name: weight + noise[name] if name in noise else weight for name, weight in weights.items()}
        logits = self._forward(noisy, images, masks)
        return -(targets * jax.nn.log_softmax(logits)).sum(axis=-1).mean(), logits

    def _forward(self, weights, x, masks):
        for node in self.spec.nodes:
            layer = node.layer
            match layer:
                case Conv2D():
                    kernel, bias = weights[f"{node.name}/kernel"], weights[f"{node.name}/bias"]
                    x = self._conv2d(x, kernel, node) + bias
                case Dense():
                    x = x @ weights[f"{node.name}/kernel"] + weights[f"{node.name}/bias"]
                case MaxPool():
                    # On a tie `a` wins and takes the whole gradient: the first in row-major order.  Its
                    # gradient is also far faster than that of `lax.reduce_window`.
                    x = reduce(lambda a, b: jnp.where(a >= b, a, b), _positions(x, layer.size))
                case AvgPool():
                    x = sum(_positions(x, layer.size)) / layer.size**2
                case Flatten():
                    x = x.reshape(len(x), -1)
                case Activation(function="leaky_relu"):
                    x = jnp.where(x > 0, x, layer.slope * x)
                case Activation():
                    x = FUNCTIONS[layer.function](x)
                case Dropout() if masks is not None:
                    x = x * (masks[node.name] * x.dtype.type(1 / (1 - layer.rate)))
        return x


def _product_of_patches(x, kernel, node):
    """Shifted copies side by side, first along columns, then rows: with both, XLA has all cores at work,
    while of its convolutions on a CPU only one gradient uses more than one."""
    size, stride = node.layer.kernel, node.layer.stride
    x = jnp.pad(x, ((0, 0), *node.pads, (0, 0)))
    for axis in (2, 1):
        last = (x.shape[axis] - size) // stride * stride
        shifted = [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]
        x = jnp.concatenate(shifted, axis=3)
    return x @ kernel.reshape(-1, kernel.shape[-1])


def _convolution(x, kernel, node):
    stride = (node.layer.stride, node.layer.stride)
    return lax.conv_general_dilated(x, kernel, stride, node.pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _positions(x, size):
    """For each place in a window, row by row: the elements that stand there."""
    rows, columns = x.shape[1] // size * size, x.shape[2] // size * size
    return [x[:, i:rows:size, j:columns:size] for i in range(size) for j in range(size)]
