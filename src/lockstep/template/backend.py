"""A whole backend in plain NumPy, to be replaced piece by piece.  `lockstep verify` holds every step.

1. layers.py: one function at a time, in your library.
2. Here: `_tensor` and `_array`, where arrays enter and leave; then `_vjp`, if your library differentiates.
3. Here: threads, switches and devices in `__init__`, `devices` and `environment`.

docs/plugins.md walks through it.  Sizes: K optimiser steps a call, B images a batch, H x W x C an image.
"""

import numpy as np
from threadpoolctl import ThreadpoolController

from lockstep.backend import Backend

from .gradients import vjp
from .layers import forward

api = 1  # the version of the contract that this is written for
runs_on = ("cpu",)  # the devices that it is written for: ("cpu", "gpu") when it is; read without importing


class MyBackend(Backend):
    """One network on one device, in one dtype, in a process of its own."""

    def __init__(self, spec, optimizer, *, device, dtype, threads, deterministic):
        """Build the network of `spec`; weights come with `load`.

        spec.nodes: the layers in order, each with a name and shapes; spec.weights: {"conv1/kernel": shape};
        optimizer: Adam's b1, b2 and eps; device "cpu" or "gpu"; dtype "float32" or "float64"; threads of the
        CPU; deterministic: the same bits each time, at the price of speed (here they always are).
        """
        ThreadpoolController().limit(limits=threads, user_api="blas")  # such switches come first
        self.require(device)
        self.spec, self.optimizer, self.dtype = spec, optimizer, np.dtype(dtype)
        self.load({name: np.zeros(shape) for name, shape in spec.weights.items()})

    def load(self, state):
        """Take weights and Adam's moments: {"conv1/kernel": ..., "adam/m/conv1/kernel": ..., "adam/v/": ...}.

        Moments that are absent become zero.
        """
        self.weights, self.m, self.v = (
            {
                name: self._tensor(state.get(prefix + name, np.zeros(shape)))
                for name, shape in self.spec.weights.items()
            }
            for prefix in PREFIXES
        )

    def dump(self):
        """What `load` took, bit for bit: weights and moments by the same names, as NumPy arrays."""
        groups = zip(PREFIXES, (self.weights, self.m, self.v), strict=True)
        return {prefix + name: self._array(t) for prefix, group in groups for name, t in group.items()}

    def logits(self, images, masks=None):
        """[B, *spec.output_shape] for images [B, H, W, C].

        masks {"dropout1": uint8 [B, *its input shape]}, 1 keeps an element; None: dropout is off.
        """
        x = self._tensor(images)
        return self._array(forward(self.spec.nodes, self.weights, x, self._tensors(masks)))

    def loss_and_gradients(self, images, targets, masks=None, weight_noise=None):
        """Mean cross-entropy in nats, a float, and its gradients {"conv1/kernel": ...}; nothing is updated.

        images [B, H, W, C]; targets [B, classes], each row a distribution; masks as in `logits`;
        weight_noise {weight: its shape}, of some weights or all: the gradients are those at weights + noise.
        """
        _, loss, gradients = self._gradients(images, targets, masks, weight_noise)
        return float(loss), {name: self._array(gradient) for name, gradient in gradients.items()}

    def vjp(self, images, masks=None):
        """Logits, and the pullback: array like the logits -> the gradient of sum(logits * array) by images.

        The pullback may be called more than once.
        """
        logits, pullback = self._vjp(self.weights, self._tensor(images), self._tensors(masks))
        return self._array(logits), lambda cotangent: self._array(pullback(self._tensor(cotangent))[1])

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        """K steps of Adam; returns the logits of each, before its update: [K, B, classes].

        images [K, B, H, W, C]; targets [K, B, classes]; masks {"dropout1": uint8 [K, B, *its input shape]},
        {} for a spec without dropout; scales [K, 2]: Adam's (s1, s2); weight_noise {weight: [K, *its shape]}
        or None: gradients are taken at weights + noise, and the update is applied to the weights.
        """
        all_logits = []
        for k, (s1, s2) in enumerate(scales.tolist()):
            step_masks = {name: mask[k] for name, mask in masks.items()}
            noise = {name: draw[k] for name, draw in (weight_noise or {}).items()}
            logits, _, gradients = self._gradients(images[k], targets[k], step_masks, noise)
            all_logits.append(self._array(logits))
            self._adam(gradients, s1, s2)
        return np.stack(all_logits)

    def synchronize(self):
        """Return when all work is done.  A library that computes later must wait for it here."""

    @classmethod
    def devices(cls):
        """What can be used on this machine."""
        return ("cpu",)

    @classmethod
    def environment(cls):
        """Versions and switches that change bits or speed, as {name: text}; the report shows them."""
        return {"numpy": np.__version__}

    def _tensor(self, array):
        """Into your library: the run's dtype, on the device."""
        return np.array(array, self.dtype)

    def _tensors(self, arrays):
        return arrays and {name: self._tensor(array) for name, array in arrays.items()}

    def _array(self, tensor):
        """Out of your library: a NumPy array in the run's dtype, which later steps do not change."""
        return np.array(tensor)

    def _vjp(self, weights, x, masks):
        """The output, and: cotangent -> (gradients {weight: ...}, gradient by x).  Your library may do it:

        jax.vjp(lambda weights, x: forward(self.spec.nodes, weights, x, masks), weights, x)
        """
        return vjp(self.spec.nodes, weights, x, masks)

    def _gradients(self, images, targets, masks, weight_noise):
        """Logits, loss, and the loss's gradients by the weights."""
        noise, masks = self._tensors(weight_noise) or {}, self._tensors(masks)
        weights = {name: w + noise[name] if name in noise else w for name, w in self.weights.items()}
        logits, pullback = self._vjp(weights, self._tensor(images), masks)
        loss, by_logits = cross_entropy(logits, self._tensor(targets))
        return logits, loss, pullback(by_logits)[0]

    def _adam(self, gradients, s1, s2):
        """One step; s1 and s2 carry the learning rate and the bias correction."""
        b1, b2, eps = self.optimizer.b1, self.optimizer.b2, self.optimizer.eps
        for name, g in gradients.items():
            self.m[name] = b1 * self.m[name] + (1 - b1) * g
            self.v[name] = b2 * self.v[name] + (1 - b2) * g * g
            self.weights[name] = self.weights[name] - s1 * self.m[name] / (self.v[name] ** 0.5 * s2 + eps)


PREFIXES = ("", "adam/m/", "adam/v/")
"""How the names of weights and of Adam's moments start."""


def cross_entropy(logits, targets):
    """Mean over B images of -sum(targets * log softmax(logits)), and its gradient by the logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    loss = -(targets * (shifted - np.log(total))).sum(axis=1).mean()
    return loss, (exponentials / total - targets) / len(logits)
