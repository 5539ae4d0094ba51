"""The kernels in 8 bits, as the page's viewer reads them (viewer.js)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup

from lockstep.report.model.walk import size
from lockstep.spec import Dense, Flatten, Node, Shape, Spec

MOST = 1_250_000
"""Weights in a page: it stays below 2.5 MB.  The smallest kernels come first."""
STEPS = 127
"""A kernel's largest weight in 8 bits; all are multiples of its scale, which is the largest / 127."""


def embedded(spec: Spec, weights: Mapping[str, np.ndarray]) -> tuple[Markup, list[str]]:
    """JSON for a script element, empty without a kernel, and the names of the layers whose kernels are too
    large for the page."""
    maps, layers, shapes = None, {}, {}
    for node in spec.nodes:
        if isinstance(node.layer, Flatten) and len(node.input_shape) == 3:
            maps = node.input_shape
        if node.weights:
            shapes[node.name] = _four(node, maps)
            layers[node.name] = node
            maps = None
    kept, left = set(), MOST
    for name in sorted(shapes, key=lambda name: math.prod(shapes[name])):
        left -= math.prod(shapes[name])
        if left >= 0:
            kept.add(name)
    content = {
        "palette": _base64(255 * matplotlib.colormaps["PuOr_r"](np.linspace(0, 1, 2 * STEPS + 1))[:, :3]),
        "layers": [
            {
                "name": name,
                "dense": isinstance(node.layer, Dense),
                "shape": shapes[name],
                "size": size(node.weights["kernel"]),
                "bias": [float(f"{bias:.4g}") for bias in weights[f"{name}/bias"]],
                **quantised(weights[f"{name}/kernel"]),
            }
            for name, node in layers.items()
            if name in kept
        ],
    }
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c") if kept else ""
    return Markup(text), [name for name in shapes if name not in kept]


def quantised(kernel: np.ndarray) -> dict[str, Any]:
    """{"scale": s, "values": base64 of int8 in C order}: each weight is s times its integer, to s / 2."""
    scale = float(np.abs(kernel).max()) / STEPS or 1.0
    return {"scale": scale, "values": _base64(np.rint(kernel.astype(np.float64) / scale).astype(np.int8))}


def _four(node: Node, maps: Shape | None) -> Shape:
    """A kernel's shape as (height, width, channels, filters): a dense one has a place, and channels, where
    its input is `maps` written in one line, and is of 1x1 pixels elsewhere."""
    kernel = node.weights["kernel"]
    if len(kernel) == 4:
        return kernel
    return (*maps, kernel[1]) if maps else (1, 1, *kernel)


def _base64(array: np.ndarray) -> str:
    whole = array if array.dtype == np.int8 else np.rint(array).astype(np.uint8)
    return base64.b64encode(whole.tobytes()).decode()
