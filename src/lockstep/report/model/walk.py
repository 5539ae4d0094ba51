"""The network layer by layer, in words and numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

from lockstep.report import text
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool, Node, Spec


class Step(NamedTuple):
    """A layer; shapes are of one image."""

    name: str
    does: str
    takes: str
    gives: str
    sees: str
    formula: str
    parameters: int
    operations: str
    mflop: str


def steps(spec: Spec) -> list[Step]:
    return [
        Step(
            node.name,
            _does(node, node is spec.nodes[-1]),
            size(node.input_shape),
            size(node.output_shape),
            f"{node.receptive_field}×{node.receptive_field}" if node.receptive_field else "all",
            node.formula.replace("*", "×"),
            node.parameters,
            _operations(node),
            f"{node.flops / 1e6:.2f}" if node.flops else "",
        )
        for node in spec.nodes
    ]


def _operations(node: Node) -> str:
    """ "2×800×576": two for each weight of a kernel at each place of the output"""
    if not node.flops:
        return ""
    places = math.prod(node.output_shape[:-1])
    return f"2×{math.prod(node.weights['kernel'])}" + (f"×{places}" if places > 1 else "")


def size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def total(spec: Spec) -> str:
    """ "832 + 51,264 = 52,096" """
    parts = " + ".join(f"{node.parameters:,}" for node in spec.nodes if node.parameters)
    return f"{parts} = {spec.parameters:,}"


def shares(spec: Spec) -> str:
    """Which layer has most of the parameters and which does most of the arithmetic; empty without weights."""
    if not spec.parameters:
        return ""
    large = max(spec.nodes, key=lambda node: node.parameters)
    busy = max(spec.nodes, key=lambda node: node.flops)
    holds = f"{large.name} holds {100 * large.parameters / spec.parameters:.0f} % of the parameters"
    works = f"{100 * busy.flops / spec.flops:.0f} % of the arithmetic"
    if large == busy:
        return f"{holds} and does {works}."
    reused = ""
    if isinstance(busy.layer, Conv2D):
        height, width, _ = busy.output_shape
        reused = (
            f" A convolution uses each weight again at every place of its output ({height}×{width} = "
            f"{height * width} times in {busy.name}); a dense layer uses each weight once."
        )
    return f"{holds}, but {busy.name} does {works}.{reused}"


def _does(node: Node, last: bool) -> str:
    match node.layer:
        case Conv2D():
            return _convolution(node, node.layer)
        case MaxPool(size=k):
            return f"Keeps the largest of each {k}×{k} numbers, in every map by itself."
        case AvgPool(size=k):
            return f"Keeps the mean of each {k}×{k} numbers, in every map by itself."
        case Flatten():
            return "Writes all numbers in one line: row by row, and at each place channel by channel."
        case Dense():
            ends = " One unit per class: their outputs are the logits." if last else ""
            inputs = node.input_shape[-1]
            return (
                f"Every unit multiplies all {inputs:,} inputs with weights of its own and adds a bias.{ends}"
            )
        case Activation():
            return _FUNCTIONS[node.layer.function].format(slope=node.layer.slope)
        case Dropout(rate=rate):
            return (
                f"While training, sets each number to 0 with probability {rate:g} and divides the others by "
                f"{1 - rate:g}. Afterwards it does nothing."
            )


_FUNCTIONS = {
    "relu": "ReLU: negative numbers become 0, the others stay.",
    "leaky_relu": "Leaky ReLU: negative numbers are multiplied by {slope}, the others stay.",
    "swish": "Swish: each number z becomes z · sigmoid(z), a smooth relative of ReLU.",
    "tanh": "Tanh: each number is squeezed between −1 and 1.",
}


def _convolution(node: Node, layer: Conv2D) -> str:
    k, channels = layer.kernel, node.input_shape[-1]
    steps = "one place" if layer.stride == 1 else f"{layer.stride} places"
    shrinks = "keep the size" if layer.stride == 1 else f"leave a size divided by {layer.stride}"
    edges = {
        "valid": "It stays inside its input, so the output is smaller",
        "same": f"Zeros around the edges {shrinks}",
        "full": "Zeros around the edges let every number meet every weight",
    }[layer.padding]
    return (
        f"{text.count(layer.filters, 'filter')} of {k}×{k}×{channels} weights, each moved {steps} at a time: "
        f"at every place it adds {k * k * channels:,} products and a bias, and makes one map. {edges} "
        f"({layer.padding} padding)."
    )
