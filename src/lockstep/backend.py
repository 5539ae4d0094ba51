"""The whole interface between the harness and a backend.

A backend turns a spec into a network of one framework.  It never touches files, seeds, clocks,
metrics or the config: the harness owns those.  Every array that crosses this boundary is a NumPy
array in the run's dtype, images NHWC, weights in the canonical layout of `lockstep.spec`.

Sizes: K optimiser steps a call, B images a batch, H x W x C an image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lockstep.errors import LockstepError
from lockstep.optimizer import Adam
from lockstep.spec import Spec

API = 1
"""Version of this contract; a plugin says which one it was written for: `api = 1`."""

ROUNDOFF = {"float32": 2**-24, "tf32": 2**-11, "bf16": 2**-8}
"""{precision of the arithmetic in float32 runs: half the distance from 1 to the next number}."""

State = Mapping[str, np.ndarray]
Masks = Mapping[str, np.ndarray]


class Backend(ABC):
    """One network on one device, in one dtype, in a process of its own."""

    @abstractmethod
    def __init__(
        self,
        spec: Spec,
        optimizer: Adam,
        *,
        device: str,
        dtype: str,
        threads: int,
        deterministic: bool,
    ) -> None:
        """Build the network; weights come with `load`.

        device: one of `devices()`; dtype: "float32" or "float64"; threads: CPU threads to use;
        deterministic: give the same bits for the same input, at the price of speed where needed.
        A plugin that declares options (`lockstep.plugin`) takes their values as further keyword arguments.

        Threads and switches hold for the process and come first; then `require(device)` raises
        LockstepError where the device is not there.
        """

    def require(self, device: str) -> None:
        """Raise LockstepError unless `device` can be used here."""
        if device not in self.devices():
            usable = ", ".join(self.devices()) or "nothing"
            raise LockstepError(f"no device {device!r} for this backend here; it can use: {usable}")

    @abstractmethod
    def load(self, state: State) -> None:
        """Take the weights, and Adam's moments where given; moments that are absent become zero.

        state: "conv1/kernel", "conv1/bias", ..., "adam/m/conv1/kernel", "adam/v/conv1/kernel", ...
        """

    @abstractmethod
    def dump(self) -> dict[str, np.ndarray]:
        """The weights and Adam's moments: what `load` takes, bit for bit."""

    @abstractmethod
    def train_steps(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        masks: Masks,
        scales: np.ndarray,
        weight_noise: State | None = None,
    ) -> Any:
        """K steps of Adam on the mean cross-entropy of a batch (softmax of the logits, in nats).

        images [K, B, H, W, C]; targets [K, B, classes], whose rows sum to 1: distributions, but for TRADES,
        which asks for numbers below 0 and above 1 too (`lockstep.adversarial`);
        masks {dropout layer: uint8 [K, B, *its input shape]}, 1 keeps the element;
        scales float64 [K, 2]: `Adam.scales`, to be cast to the run's dtype once;
        weight_noise {weight: [K, *its shape]}: gradients are taken at weights + noise, and the
        update is applied to the weights.

        Returns each step's logits [K, B, classes], computed before its update with dropout on.  They
        may be any lazy array that `np.asarray` converts: the harness converts them later.
        """

    @abstractmethod
    def logits(self, images: np.ndarray, masks: Masks | None = None) -> np.ndarray:
        """[B, *spec.output_shape] for images [B, H, W, C].

        masks {dropout layer: uint8 [B, *its input shape]} sample a subnetwork; None: dropout is off.
        """

    @abstractmethod
    def vjp(
        self, images: np.ndarray, masks: Masks | None = None
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Logits, and the pullback: cotangent [B, *spec.output_shape] -> d<logits, cotangent>/d images.

        The pullback may be called more than once, and may repeat the forward pass; it is valid until the
        next `load` or `train_steps`.
        """

    @abstractmethod
    def loss_and_gradients(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        masks: Masks | None = None,
        weight_noise: State | None = None,
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Mean cross-entropy of one batch and its gradient by every weight; nothing is updated.

        images [B, H, W, C], targets [B, classes], masks as in `logits`, weight_noise {weight: its shape}.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Return only when the device has finished all work given to it."""

    def peak_memory(self) -> int | None:
        """Most bytes that the device has held for this process; None where the framework does not tell."""
        return None

    @classmethod
    @abstractmethod
    def devices(cls) -> Sequence[str]:
        """What can be used here: "cpu", "gpu"; empty if nothing can.  Asking may start the framework."""

    @classmethod
    def dtypes(cls, device: str) -> Sequence[str]:
        """What a device can compute in; some accelerators have no float64, and no proof in it."""
        return ("float32", "float64")

    @classmethod
    @abstractmethod
    def environment(cls) -> Mapping[str, str]:
        """Versions and switches that change bits or speed."""
