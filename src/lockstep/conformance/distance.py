"""How far two results are apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FLOOR = 1e-3
"""Norms below this count as this: dead units have gradients of zero, which have no relative error."""
OF_TRAINING = ("training loss", "moment m", "moment v", "travel")
"""Kinds of quantities of a training call: "KIND: CALL"."""
COARSE_PIXELS = 0.005
"""Share of an input gradient that is left out where arithmetic is coarser than float32: it breaks near-ties
of a pool either way.  In float32 and float64 nothing is left out: no problem has a near-tie there, to which
`tests/test_conformance.py` holds them."""


def distance(measured: np.ndarray, reference: np.ndarray, exempt: float = 0.0, floor: float = FLOOR) -> float:
    """||measured - reference|| / max(||reference||, floor); inf where shapes differ or a value is NaN.

    exempt: the share of elements, those with the largest differences, that does not count.
    """
    if measured.shape != reference.shape or not np.isfinite(measured).all():
        return float("inf")
    difference = np.sort(np.abs(measured.astype(np.float64) - reference).ravel())
    counted = difference[: difference.size - int(exempt * difference.size)]
    return float(np.linalg.norm(counted) / max(float(np.linalg.norm(reference)), floor))


def distance_of(quantity: str, measured: np.ndarray, reference: np.ndarray, coarse: bool = False) -> float:
    """The distance as tiers count it, by what the quantity is called; coarse: of arithmetic below float32.

    Vectors of training (all weights or moments together) are never zero and need no floor; a change is a
    share itself.
    """
    exempt = COARSE_PIXELS if coarse and quantity.startswith("input gradient") else 0.0
    kind = quantity.split(": ")[0]
    floor = 1e-300 if kind in OF_TRAINING else 1.0 if kind.startswith("change by ") else FLOOR
    return distance(measured, reference, exempt, floor)


def what_is_wrong(measured: np.ndarray, reference: np.ndarray) -> str:
    """Why a distance is infinite."""
    if measured.shape != reference.shape:
        return f"shape {measured.shape}, expected {reference.shape}"
    return "NaN or infinite values" if not np.isfinite(measured).all() else ""


Weights = Mapping[str, np.ndarray]


def travel_error(a: Weights, b: Weights, start: Weights) -> float:
    """||a - b|| / ||b - start|| over all weights: how far two runs are apart, of how far they have come."""

    def norm(first: Weights, second: Weights) -> float:
        squares = [np.sum((first[name].astype(np.float64) - second[name]) ** 2) for name in start]
        return float(np.sqrt(sum(squares)))

    return norm(a, b) / norm(b, start)
