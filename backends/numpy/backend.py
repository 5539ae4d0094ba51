"""NumPy: the reference that the other backends are compared with; on a GPU, CuPy (`standard.py`).

Threads of a CPU share blocks whose size does not depend on how many threads there are: images up to the
first dense layer, columns of matrix products after it, weights in Adam.  So one thread and several give the
same bits.
"""

from __future__ import annotations

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_info

from lockstep.backend import Backend
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool, relu_after_pool

from . import layers
from .standard import Network

api = 1
runs_on = ("cpu", "gpu")

IMAGES = 16  # at a time: their patches stay in the cache, and Python's share of the time is small
COLUMNS = 512  # of a matrix product,
SMALL = 2**22  # unless it has fewer multiplications, which are done before another thread has woken up
ADAM = 2**17  # weights: Adam makes a dozen passes over a block, which then stays in the cache


class NumpyBackend(Backend):
    def __init__(self, spec, optimizer, *, device, dtype, threads, deterministic):
        ThreadpoolController().limit(limits=1, user_api="blas")
        if device == "gpu":
            self._use_gpu(spec, optimizer, dtype)
            return
        quiet = partial(np.seterr, over="ignore", invalid="ignore")  # of a thread; see train_steps
        self.helpers = threads - 1
        self.pool = ThreadPoolExecutor(self.helpers, initializer=quiet) if self.helpers else None
        self.spec, self.optimizer, self.dtype = spec, optimizer, np.dtype(dtype)
        self.nodes = relu_after_pool(spec.nodes)
        self.weights, self.m, self.v = (
            {name: np.zeros(shape, dtype) for name, shape in spec.weights.items()} for _ in range(3)
        )
        self.blocks = [
            (name, slice(start, start + ADAM))
            for name, weight in self.weights.items()
            for start in range(0, weight.size, ADAM)
        ]

    def _use_gpu(self, spec, optimizer, dtype):
        """The contract's methods are those of another network, of CuPy's arrays."""
        os.environ["CUPY_TF32"] = "0"  # read when CuPy is imported
        self.require("gpu")
        import cupy

        network = Network(cupy, spec, optimizer, dtype)
        for name in ("load", "dump", "train_steps", "logits", "vjp", "loss_and_gradients"):
            setattr(self, name, getattr(network, name))
        self.synchronize = cupy.cuda.get_current_stream().synchronize
        self.peak_memory = cupy.get_default_memory_pool().total_bytes  # what it took it keeps

    def load(self, state):
        for name, weight in self.weights.items():
            weight[:] = state[name]
            self.m[name][:] = state.get(f"adam/m/{name}", 0)
            self.v[name][:] = state.get(f"adam/v/{name}", 0)

    def dump(self):
        state = {name: weight.copy() for name, weight in self.weights.items()}
        for moment, tensors in (("m", self.m), ("v", self.v)):
            state |= {f"adam/{moment}/{name}": tensor.copy() for name, tensor in tensors.items()}
        return state

    @np.errstate(over="ignore", invalid="ignore")  # the harness sees a diverged run in its logits
    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        logits = np.empty((*targets.shape[:2], *self.spec.output_shape), self.dtype)
        for k in range(len(images)):
            noise = {name: draw[k] for name, draw in weight_noise.items()} if weight_noise else {}
            step_masks = {name: mask[k] for name, mask in masks.items()}
            logits[k], pullback = self._forward(images[k], step_masks, self._noisy(noise))
            _, cotangent = layers.cross_entropy(logits[k], targets[k])
            self._adam(pullback(cotangent, False)[1], *scales[k])
        return logits

    def logits(self, images, masks=None):
        return self._forward(images, masks, self.weights, keep=False)[0]

    def vjp(self, images, masks=None):
        logits, pullback = self._forward(images, masks, self.weights)
        return logits, lambda cotangent: pullback(cotangent, True)[0]

    def loss_and_gradients(self, images, targets, masks=None, weight_noise=None):
        logits, pullback = self._forward(images, masks, self._noisy(weight_noise))
        loss, cotangent = layers.cross_entropy(logits, targets)
        return loss, pullback(cotangent, False)[1]

    def synchronize(self):
        pass  # NumPy returns when its work is done

    @classmethod
    def devices(cls):
        try:
            import cupy
        except ImportError:  # not installed, or not for the CUDA that is here
            return ("cpu",)
        return ("cpu", "gpu") if cupy.cuda.is_available() else ("cpu",)

    @classmethod
    def environment(cls):
        blas = [
            f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')} "
            f"on {pool['num_threads']} threads"
            for pool in threadpool_info()
        ]
        found = {"numpy": np.__version__, "blas": ", ".join(blas), "machine": platform.machine()}
        cupy = sys.modules.get("cupy")
        return found | (_gpu_environment(cupy) if cupy and cupy.cuda.is_available() else {})

    def _noisy(self, noise):
        return {name: w + noise[name] if noise and name in noise else w for name, w in self.weights.items()}

    def _forward(self, x, masks, weights, keep=True):
        """Output, and the pullback: (cotangent, wants input?) -> (that of x or None, {weight: gradient}).

        keep: what the pullback needs; of many images that is much.
        """
        nodes = self.nodes
        first = next((i for i, node in enumerate(nodes) if isinstance(node.layer, Dense)), len(nodes))
        blocks = [slice(start, start + IMAGES) for start in range(0, len(x), IMAGES)]

        def through(block):
            mine = masks and {name: mask[block] for name, mask in masks.items()}
            y, pullback = self._layers(nodes[:first], x[block], mine, weights)
            return y, pullback if keep else None

        outputs, pullbacks = zip(*self._share(through, blocks), strict=True)
        y, pull_rest = self._layers(nodes[first:], np.concatenate(outputs), masks, weights)
        below = any(node.weights for node in nodes[:first])

        def pull(cotangent, wants_input):
            cotangent, gradients = pull_rest(cotangent, wants_input or below)
            if not (wants_input or below):
                return None, gradients

            def back(part):
                pullback, block = part
                return pullback(cotangent[block], wants_input)

            parts = zip(pullbacks, blocks, strict=True)
            by_images, by_weights = zip(*self._share(back, parts), strict=True)
            gradients |= {name: sum(part[name] for part in by_weights) for name in by_weights[0]}
            return np.concatenate(by_images) if wants_input else None, gradients

        return y, pull

    def _layers(self, nodes, x, masks, weights):
        """The same of some layers."""
        trace = []
        for node in nodes:
            layer = node.layer
            match layer:
                case Conv2D():
                    x, pullback = layers.conv2d(
                        x,
                        weights[f"{node.name}/kernel"],
                        weights[f"{node.name}/bias"],
                        node.pads,
                        layer.stride,
                    )
                case Dense():
                    kernel, bias = weights[f"{node.name}/kernel"], weights[f"{node.name}/bias"]
                    x, pullback = layers.dense(x, kernel, bias, self._product)
                case MaxPool():
                    x, pullback = layers.max_pool(x, layer.size)
                case AvgPool():
                    x, pullback = layers.avg_pool(x, layer.size)
                case Flatten():
                    pullback = partial(np.reshape, shape=x.shape)
                    x = x.reshape(len(x), -1)
                case Activation(function="leaky_relu"):
                    x, pullback = layers.leaky_relu(x, layer.slope)
                case Activation():
                    x, pullback = getattr(layers, layer.function)(x)
                case Dropout() if masks is not None:
                    x, pullback = layers.dropout(x, masks[node.name], layer.rate)
                case Dropout():
                    continue
            trace.append((node, pullback))

        def pull(cotangent, wants_input):
            gradients = {}
            # Nothing below the first weights is needed unless the caller wants the input's gradient.
            first = 0 if wants_input else next((i for i, (node, _) in enumerate(trace) if node.weights), 0)
            for i in reversed(range(first, len(trace))):
                node, pullback = trace[i]
                if node.weights:
                    cotangent, by_weights = pullback(cotangent, wants_input or i > first)
                    gradients |= {f"{node.name}/{part}": gradient for part, gradient in by_weights.items()}
                else:
                    cotangent = pullback(cotangent)
            return cotangent, gradients

        return x, pull

    def _share(self, work, items):
        """[work(item) for item in items]; a thread that is done with one takes the next."""
        items = list(items)
        results, waiting = [None] * len(items), enumerate(items)

        def take():
            for place, item in waiting:
                results[place] = work(item)

        helpers = [self.pool.submit(take) for _ in range(min(self.helpers, len(items) - 1))]
        take()
        for helper in helpers:
            helper.result()
        return results

    def _product(self, a, b):
        if a.size * b.shape[1] < SMALL:
            return a @ b
        y = np.empty((len(a), b.shape[1]), self.dtype)

        def some(start):
            columns = slice(start, start + COLUMNS)
            np.matmul(a, b[:, columns], out=y[:, columns])

        self._share(some, range(0, b.shape[1], COLUMNS))
        return y

    def _adam(self, gradients, s1, s2):
        b1, b2, eps = self.optimizer.b1, self.optimizer.b2, self.optimizer.eps
        s1, s2 = float(s1), float(s2)
        flat = [
            {name: part[name].reshape(-1) for name in part}
            for part in (self.weights, self.m, self.v, gradients)
        ]

        def some(block):
            name, elements = block
            p, m, v, g = (part[name][elements] for part in flat)
            m *= b1
            m += (1 - b1) * g
            v *= b2
            g *= g
            g *= 1 - b2
            v += g
            np.sqrt(v, out=g)
            g *= s2
            g += eps
            np.divide(m, g, out=g)
            g *= s1
            p -= g

        self._share(some, self.blocks)


def _gpu_environment(cupy):
    return {
        "cupy": cupy.__version__,
        "cuda": str(cupy.cuda.runtime.runtimeGetVersion()),
        "gpu": cupy.cuda.runtime.getDeviceProperties(0)["name"].decode(),
        "CUPY_TF32": os.environ.get("CUPY_TF32", ""),
        "CUPY_ACCELERATORS": os.environ.get("CUPY_ACCELERATORS", ""),
    }
