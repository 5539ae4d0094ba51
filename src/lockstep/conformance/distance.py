"""How far two results are apart, and how far they may be."""

from __future__ import annotations

import numpy as np

LIMITS = {"T1": 1e-12, "T2": 1e-12, "T3": 1e-5}
"""T1: float64, step 0; T2: float64, after some steps; T3: float32, step 0.  See `docs/contract.md`."""
FLOOR = 1e-3
"""Norms below this count as this: dead units have gradients of zero, which have no relative error."""
EXEMPT_PIXELS = 0.005
"""Share of an input gradient that is left out: near-ties of a pool, which rounding breaks either way."""


def distance(measured: np.ndarray, reference: np.ndarray, exempt: float = 0.0) -> float:
    """||measured - reference|| / max(||reference||, FLOOR); inf where shapes differ or a value is NaN.

    exempt: the share of elements, those with the largest differences, that does not count.
    """
    if measured.shape != reference.shape or not np.isfinite(measured).all():
        return float("inf")
    difference = np.sort(np.abs(measured.astype(np.float64) - reference).ravel())
    counted = difference[: difference.size - int(exempt * difference.size)]
    return float(np.linalg.norm(counted) / max(float(np.linalg.norm(reference)), FLOOR))


def distances(measured: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, float]:
    """The distance of every quantity of `reference`; a quantity that is missing is infinitely far."""
    missing = np.array(np.nan)
    return {
        name: distance(
            measured.get(name, missing), value, EXEMPT_PIXELS if name.startswith("input gradient") else 0.0
        )
        for name, value in reference.items()
    }
