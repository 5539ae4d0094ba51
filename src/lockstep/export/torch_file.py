"""A `.pt2` file, which `torch.export.load` opens: a graph as JSON, and weights as raw bytes.

TorchScript and `torch.save` would put pickles into the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lockstep.export import Network
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool, Node

FUNCTIONS = {"relu": nn.ReLU, "swish": nn.SiLU, "tanh": nn.Tanh}
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0)}
"""Kernels: HWIO -> OIHW, (in, out) -> (out, in)."""


class Preprocessing(nn.Module):
    """Pixels in [0, 1], [n, H, W, C], to the first layer's input, [n, C, H, W]."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(shape))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels * self.scale + self.shift).movedim(-1, 1)


class HeightWidthChannel(nn.Module):
    """[n, C, H, W] to vectors in the order of the weights behind them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.movedim(1, -1).flatten(1)


def save(network: Network, path: Path) -> None:
    model = nn.Sequential()
    model.add_module("preprocessing", Preprocessing(network.spec.input_shape))
    for node in network.spec.nodes:
        for name, module in _modules(node):
            model.add_module(name, module)
    model.add_module("probabilities", nn.Softmax(-1))
    model.load_state_dict(
        {
            name.replace("kernel", "weight").replace("/", "."): _tensor(array)
            for name, array in network.arrays.items()
        }
    )
    # Two images: of one, tracing would take the batch's size for a constant.
    pixels = torch.zeros(2, *network.spec.input_shape)
    program = torch.export.export(model.eval(), (pixels,), dynamic_shapes=({0: torch.export.Dim("n")},))
    program.example_inputs = None  # the one thing that would be stored as a pickle
    torch.export.save(program, path)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array.transpose(TO_TORCH.get(array.ndim, range(array.ndim))))


def _modules(node: Node) -> Iterator[tuple[str, nn.Module]]:
    match layer := node.layer:
        case Conv2D():
            (top, bottom), (left, right) = node.pads
            if top or bottom or left or right:
                yield f"{node.name}_padding", nn.ZeroPad2d((left, right, top, bottom))
            yield node.name, nn.Conv2d(node.input_shape[-1], layer.filters, layer.kernel, layer.stride)
        case MaxPool():
            yield node.name, nn.MaxPool2d(layer.size)
        case AvgPool():
            yield node.name, nn.AvgPool2d(layer.size)
        case Flatten():
            yield node.name, HeightWidthChannel() if len(node.input_shape) == 3 else nn.Identity()
        case Dense():
            yield node.name, nn.Linear(node.input_shape[-1], layer.units)
        case Activation(slope=float(slope)):
            yield node.name, nn.LeakyReLU(slope)
        case Activation():
            yield node.name, FUNCTIONS[layer.function]()
        case Dropout():
            yield node.name, nn.Dropout(layer.rate)
