"""Activation functions as the backends compute them, beside their formulas: the table `functions`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from lockstep.report.runs import Results, Run, Side
from lockstep.results import read_npz
from lockstep.spec import Activation, Spec

COLUMNS: list[str] = [
    "function", "backend", "device", "z", "value", "derivative", "formula_value", "formula_derivative"
]  # fmt: skip


def formula(label: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and derivative in float64 of "relu" or "leaky_relu 0.01"; NaN for one that is not known here."""
    name, *slope = label.split()
    match name:
        case "relu":
            return np.maximum(z, 0), np.where(z > 0, 1.0, 0.0)
        case "leaky_relu":
            return np.where(z > 0, z, float(slope[0]) * z), np.where(z > 0, 1.0, float(slope[0]))
        case "swish":
            share = 1 / (1 + np.exp(-z))
            return z * share, share + z * share * (1 - share)
        case "tanh":
            return np.tanh(z), 1 - np.tanh(z) ** 2
    return np.full_like(z, np.nan), np.full_like(z, np.nan)


@cache
def labels(spec: Spec) -> tuple[str, ...]:
    """The distinct activation functions of a network."""
    return tuple(dict.fromkeys(layer.label for layer in spec.layers if isinstance(layer, Activation)))


def functions(results: Results) -> Iterable[dict[str, Any]]:
    """Every function on every backend that completed a run with it; equal runs compute equal functions."""
    first: dict[tuple[str, Side], Run] = {}
    for run in results.runs:
        if run.usable:
            for label in labels(run.cell.experiment.spec):
                first.setdefault((label, run.side), run)
    for (label, side), run in first.items():
        arrays = read_npz(run.folder / "functions.npz")
        if f"{label}/value" not in arrays:
            continue
        exact = formula(label, arrays["z"])
        measured = (arrays[f"{label}/value"], arrays[f"{label}/derivative"])
        for row in zip(arrays["z"], *measured, *exact, strict=True):
            yield dict(zip(COLUMNS, (label, *side, *map(float, row)), strict=True))


def deviation(rows: pd.DataFrame) -> float:
    """The largest |measured − formula| of values and derivatives; NaN without a formula."""
    far = [abs(rows[name] - rows[f"formula_{name}"]).max() for name in ("value", "derivative")]
    return float(np.max(far))
