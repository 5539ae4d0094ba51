"""NumPy: the reference that the other backends are compared with.  CPU only."""

from __future__ import annotations

import platform
from functools import partial

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_info

from lockstep.backend import Backend
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool

from . import layers

api = 1
runs_on = ("cpu",)

ADAM_BLOCK = 2**14  # elements: Adam makes ten passes over each block, which then stays in the cache


class NumpyBackend(Backend):
    def __init__(self, spec, optimizer, *, device, dtype, threads, deterministic):
        ThreadpoolController().limit(limits=threads, user_api="blas")
        self.require(device)
        self.spec, self.optimizer, self.dtype = spec, optimizer, np.dtype(dtype)
        sizes = [int(np.prod(shape)) for shape in spec.weights.values()]
        # One flat vector each, so that Adam is one loop; the tensors are views into it.
        self._flat = {kind: np.zeros(sum(sizes), dtype) for kind in ("weights", "m", "v", "gradients")}
        self.weights, self.m, self.v, self.gradients = (self._views(flat) for flat in self._flat.values())

    def _views(self, flat):
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self.spec.weights.values()])
        parts = np.split(flat, ends[:-1]) if len(ends) else []
        return {
            name: part.reshape(shape)
            for part, (name, shape) in zip(parts, self.spec.weights.items(), strict=True)
        }

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
            for name, gradient in pullback(cotangent, False)[1].items():
                self.gradients[name][:] = gradient
            self._adam(*scales[k])
        return logits

    def logits(self, images, masks=None):
        return self._forward(images, masks, self.weights)[0]

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
        return ("cpu",)

    @classmethod
    def environment(cls):
        blas = [
            f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')} "
            f"on {pool['num_threads']} threads"
            for pool in threadpool_info()
        ]
        return {"numpy": np.__version__, "blas": ", ".join(blas), "machine": platform.machine()}

    def _noisy(self, noise):
        return {name: w + noise[name] if noise and name in noise else w for name, w in self.weights.items()}

    def _forward(self, x, masks, weights):
        """Output, and the pullback: (cotangent, wants input?) -> (that of x or None, {weight: gradient})."""
        trace = []
        for node in self.spec.nodes:
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
                    x, pullback = layers.dense(
                        x, weights[f"{node.name}/kernel"], weights[f"{node.name}/bias"]
                    )
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

    def _adam(self, s1, s2):
        b1, b2, eps = self.optimizer.b1, self.optimizer.b2, self.optimizer.eps
        flat = self._flat
        for start in range(0, len(flat["weights"]), ADAM_BLOCK):
            p, m, v, g = (
                flat[kind][start : start + ADAM_BLOCK] for kind in ("weights", "m", "v", "gradients")
            )
            m *= b1
            m += (1 - b1) * g
            v *= b2
            v += (1 - b2) * (g * g)
            p -= float(s1) * m / (np.sqrt(v) * float(s2) + eps)
