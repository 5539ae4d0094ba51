"""What goes on inside a network: dead units, sampled subnetworks, redundancy, and its functions.

The network is cut into parts, each a backend of its own, so that hidden layers can be read, and what
follows them can be run again on changed values, by the backend itself and at little cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from lockstep.backend import Backend
from lockstep.data.dataset import spread
from lockstep.data.draws import Stream, dropout_masks, generator
from lockstep.evaluation import Measurement, in_batches, probabilities, quality, row
from lockstep.spec import Activation, Dropout, Spec

SAMPLES = (1, 2, 5, 10, 20, 50)
"""Sampled subnetworks whose probabilities are averaged."""
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the hidden units that are knocked out; the mean of DRAWS draws of which."""
DRAWS = 5
GRID = np.linspace(-4, 4, 161)
"""Where activation functions are evaluated; 0 is one of the places."""

IMAGES = 1_000
"""Test images on which subnetworks and knocked-out units are measured, at most."""

Make = Callable[[Spec], Backend]
State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Activity:
    """One row of units.csv: what an activation layer does to validation images at the end of an epoch."""

    epoch: int
    """0 before training."""
    layer: str
    function: str
    units: int
    """Channels after a convolution, elements of a vector otherwise."""
    dead: float
    """Share of units whose output is 0 everywhere on every one of these images; others may wake them."""
    zeros: float
    """Share of all outputs that are 0."""


def looked_at(images: int) -> np.ndarray:
    """Positions of those that stand for so many test images."""
    return spread(images, IMAGES)


class Inside:
    """One network in parts; the weights come with each call."""

    def __init__(self, make: Make, spec: Spec) -> None:
        self.make, self.spec = make, spec
        self.hidden = [place for place, node in enumerate(spec.nodes) if isinstance(node.layer, Activation)]
        self.backends: dict[tuple[int, int | None], Backend] = {}

    def activity(self, epoch: int, state: State, images: np.ndarray) -> list[Activity]:
        """Of every activation layer on preprocessed images [n, H, W, C]; dropout is off."""
        rows, start = [], 0
        for place in self.hidden:
            images = self._run(start, place + 1, state, images)
            zero = images == 0
            dead = zero.reshape(-1, images.shape[-1]).all(axis=0)
            node = self.spec.nodes[place]
            assert isinstance(node.layer, Activation)
            shares = float(dead.mean()), float(zero.mean())
            rows.append(Activity(epoch, node.name, node.layer.label, len(dead), *shares))
            start = place + 1
        return rows

    def subnetworks(
        self, state: State, images: np.ndarray, labels: np.ndarray, seed: int
    ) -> list[Measurement]:
        """Averages of sampled subnetworks, beside the network with dropout off; nothing without dropout.

        `expectation_error` is the distance of the mean logits from those with dropout off, relative to
        their size: if dropout keeps expectations, it falls as 1 / sqrt(samples).
        """
        dropouts = [place for place, node in enumerate(self.spec.nodes) if isinstance(node.layer, Dropout)]
        if not dropouts:
            return []
        start = max((place + 1 for place in self.hidden if place < dropouts[0]), default=0)
        features = self._run(0, start, state, images)
        plain = self._run(start, None, state, features).astype(np.float64)
        total, shares, rows = np.zeros_like(plain), np.zeros_like(plain), []
        for sample in range(1, max(SAMPLES) + 1):
            logits = self._sample(start, state, features, seed, sample).astype(np.float64)
            total += logits
            shares += probabilities(logits)
            if sample in SAMPLES:
                condition = f"subnetworks={sample}"
                error = float(np.linalg.norm(total / sample - plain) / np.linalg.norm(plain))
                rows += quality(shares / sample, labels, condition)
                rows.append(row("test", "expectation_error", error, len(labels), condition))
        return rows

    def knockouts(self, state: State, images: np.ndarray, labels: np.ndarray, seed: int) -> list[Measurement]:
        """Quality with a share of the last hidden layer's units set to 0, and nothing in return."""
        if not self.hidden or self.hidden[-1] + 1 == len(self.spec.nodes):
            return []
        start = self.hidden[-1] + 1
        units, rows = self.spec.nodes[start].input_shape[-1], list[Measurement]()
        if units < len(SHARES) + 1:  # tenths of so few would not be tenths
            return rows
        features = self._run(0, start, state, images)
        orders = [generator(seed, Stream.KNOCKOUT, draw).permutation(units) for draw in range(DRAWS)]
        for share in SHARES:
            draws = []
            for order in orders:
                kept = np.ones(units, features.dtype)
                kept[order[: round(share * units)]] = 0
                logits = self._run(start, None, state, features * kept)
                draws.append(quality(probabilities(logits), labels, f"knocked_out={share}"))
            for same in zip(*draws, strict=True):
                mean = fmean(each["value"] for each in same)
                rows.append(row("test", same[0]["metric"], mean, len(labels), same[0]["condition"]))
        return rows

    def functions(self) -> dict[str, np.ndarray]:
        """{"z", "relu/value", "relu/derivative", ...} on GRID, as the backend computes them."""
        found = {"z": GRID}
        for layer in dict.fromkeys(self.spec.layers[place] for place in self.hidden):
            assert isinstance(layer, Activation)
            backend = self.make(Spec(input_shape=GRID.shape, layers=(layer,)))
            values, pullback = backend.vjp(GRID[np.newaxis])
            found[f"{layer.label}/value"] = values[0]
            found[f"{layer.label}/derivative"] = pullback(np.ones_like(values))[0]
        return found

    def _run(self, start: int, stop: int | None, state: State, values: np.ndarray) -> np.ndarray:
        """The output of layers `start` to `stop` - 1 for some inputs [n, ...], dropout off."""
        if start == stop:
            return values
        return in_batches(self._part(start, stop, state)[0].logits, values)

    def _sample(self, start: int, state: State, values: np.ndarray, seed: int, sample: int) -> np.ndarray:
        """The logits of one sampled subnetwork, another one for each image."""
        backend, spec = self._part(start, None, state)
        masks = dropout_masks(spec, seed, sample, len(values), Stream.SUBNETWORK)

        def logits(values: np.ndarray, *drawn: np.ndarray) -> np.ndarray:
            return backend.logits(values, dict(zip(masks, drawn, strict=True)))

        return in_batches(logits, values, *masks.values())

    def _part(self, start: int, stop: int | None, state: State) -> tuple[Backend, Spec]:
        spec, names = self.spec.part(start, stop)
        backend = self.backends.get((start, stop)) or self.make(spec)
        self.backends[start, stop] = backend
        backend.load({there: state[here] for there, here in names.items() if here in state})
        return backend, spec
