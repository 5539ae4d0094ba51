"""What is trained: a sequence of layers as pure data, with shapes, parameters and FLOPs.

A spec says nothing about a framework.  Images are NHWC; a convolution kernel has the shape
(height, width, channels in, filters) and a dense kernel (units in, units out).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from lockstep.errors import LockstepError
from lockstep.settings import Count, Settings

Padding = Literal["valid", "same", "full"]
Function = Literal["relu", "leaky_relu", "swish", "tanh"]
Shape = tuple[int, ...]
Pads = tuple[int, int]


class _Layer(Settings):
    @property
    def window(self) -> tuple[int, int]:
        """(size, stride) along one axis of what one output element sees of the layer's input."""
        return 1, 1


class Conv2D(_Layer):
    """Cross-correlation with a square kernel, one bias per filter."""

    kind: Literal["conv2d"] = "conv2d"
    filters: Count
    kernel: Count
    stride: Count = 1
    padding: Padding = "valid"

    @property
    def window(self) -> tuple[int, int]:
        return self.kernel, self.stride

    def pads(self, size: int) -> Pads:
        """Zeros (before, after) an axis of `size` elements; see `docs/contract.md`, "Conventions"."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "full":
            return self.kernel - 1, self.kernel - 1
        total = max((math.ceil(size / self.stride) - 1) * self.stride + self.kernel - size, 0)
        return total // 2, total - total // 2

    def output_shape(self, shape: Shape) -> Shape:
        height, width, _ = shape
        return self._length(height), self._length(width), self.filters

    def _length(self, size: int) -> int:
        padded = size + sum(self.pads(size))
        if padded < self.kernel:
            raise LockstepError(
                f"a {self.kernel}x{self.kernel} kernel is larger than its input of {size} pixels "
                f"({self.padding} padding); use a smaller kernel or same padding"
            )
        return (padded - self.kernel) // self.stride + 1


class _Pool(_Layer):
    """Windows of `size` x `size` that do not overlap; rows and columns left over are dropped."""

    size: Count = 2

    @property
    def window(self) -> tuple[int, int]:
        return self.size, self.size

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = shape
        if min(height, width) < self.size:
            raise LockstepError(
                f"a {self.size}x{self.size} window is larger than its {height}x{width} input; "
                "use a smaller window or fewer pools"
            )
        return height // self.size, width // self.size, channels


class MaxPool(_Pool):
    """The largest element of each window; the gradient goes to the first one in row-major order."""

    kind: Literal["max_pool"] = "max_pool"


class AvgPool(_Pool):
    """The mean of each window."""

    kind: Literal["avg_pool"] = "avg_pool"


class Flatten(_Layer):
    """One vector per image, in the order height, width, channel."""

    kind: Literal["flatten"] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


class Dense(_Layer):
    """x @ kernel + bias."""

    kind: Literal["dense"] = "dense"
    units: Count

    def output_shape(self, shape: Shape) -> Shape:
        return (self.units,)


class Activation(_Layer):
    """An elementwise function; relu'(0) = 0 and leaky_relu'(0) = slope on every backend."""

    kind: Literal["activation"] = "activation"
    function: Function
    slope: float | None = Field(default=None, description="leaky_relu only: f(z) = slope z, z <= 0")

    @model_validator(mode="after")
    def _slope_belongs_to_leaky_relu(self) -> Activation:
        if (self.slope is not None) != (self.function == "leaky_relu"):
            raise ValueError("slope is given for leaky_relu, and for leaky_relu only")
        return self

    @property
    def label(self) -> str:
        """ "relu", "leaky_relu 0.01" """
        return self.function if self.slope is None else f"{self.function} {self.slope}"

    def output_shape(self, shape: Shape) -> Shape:
        return shape


class Dropout(_Layer):
    """Inverted dropout: kept elements are divided by 1 - rate while training."""

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(gt=0, lt=1)

    def output_shape(self, shape: Shape) -> Shape:
        return shape


Layer = Annotated[
    Conv2D | MaxPool | AvgPool | Flatten | Dense | Activation | Dropout,
    Field(discriminator="kind"),
]
KINDS = tuple(cls.model_fields["kind"].default for cls in get_args(get_args(Layer)[0]))
RANK = {"conv2d": 3, "max_pool": 3, "avg_pool": 3, "dense": 1}  # axes of the input, without batch


@dataclass(frozen=True)
class Node:
    """A layer in its place: `name` is unique in the spec, shapes are without the batch axis."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    stride: int | None
    """Input pixels between neighbouring outputs; None once the layer sees the whole image."""
    receptive_field: int | None
    """Input pixels along one axis that an output depends on; None for the whole image."""

    @property
    def weights(self) -> dict[str, Shape]:
        """{"kernel": shape, "bias": shape}, empty for a layer without parameters."""
        channels = self.input_shape[-1]
        match self.layer:
            case Conv2D(kernel=k, filters=filters):
                return {"kernel": (k, k, channels, filters), "bias": (filters,)}
            case Dense(units=units):
                return {"kernel": (channels, units), "bias": (units,)}
        return {}

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.weights.values())

    @property
    def formula(self) -> str:
        """How the parameters are counted: "5*5*32*64 + 64"."""
        return " + ".join("*".join(map(str, shape)) for shape in self.weights.values())

    @property
    def flops(self) -> int:
        """Floating-point operations of one image's forward pass: two per multiply-add of a kernel."""
        if not self.weights:
            return 0
        return 2 * math.prod(self.weights["kernel"]) * math.prod(self.output_shape[:-1])

    @property
    def pads(self) -> tuple[Pads, Pads]:
        """((top, bottom), (left, right)) zeros around the input of a convolution."""
        assert isinstance(self.layer, Conv2D)
        height, width, _ = self.input_shape
        return self.layer.pads(height), self.layer.pads(width)


class Spec(Settings):
    """A sequential network from `input_shape` (without the batch axis) to its last layer's output.

    The last layer's output is called logits, whatever the layer is: a spec that ends early taps
    that layer.  `nodes`, and all that follows from it, raise LockstepError where shapes do not fit.
    """

    input_shape: tuple[Count, ...]
    layers: tuple[Layer, ...] = Field(min_length=1)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        shape, stride, field = tuple(self.input_shape), 1, 1
        seen: Counter[str] = Counter()
        nodes = []
        for layer in self.layers:
            seen[layer.kind] += 1
            name = f"{layer.kind.removesuffix('2d')}{seen[layer.kind]}"
            if len(shape) != RANK.get(layer.kind, len(shape)):
                raise LockstepError(f"{name}: its input has the shape {_text(shape)}; {_HINT[layer.kind]}")
            try:
                output = layer.output_shape(shape)
            except LockstepError as error:
                raise LockstepError(f"{name}: {error}") from None
            size, step = layer.window
            field += (size - 1) * stride
            stride *= step
            whole = len(output) == 1
            nodes.append(
                Node(name, layer, shape, output, None if whole else stride, None if whole else field)
            )
            shape = output
        return tuple(nodes)

    @property
    def output_shape(self) -> Shape:
        return self.nodes[-1].output_shape

    @property
    def weights(self) -> dict[str, Shape]:
        """{"conv1/kernel": shape, "conv1/bias": shape, ...} in the order of the layers."""
        return {f"{node.name}/{part}": shape for node in self.nodes for part, shape in node.weights.items()}

    @property
    def dropouts(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes if isinstance(node.layer, Dropout)}

    @property
    def parameters(self) -> int:
        return sum(node.parameters for node in self.nodes)

    @property
    def flops(self) -> int:
        """Forward pass of one image; a training step takes about three times as many."""
        return sum(node.flops for node in self.nodes)

    def until(self, name: str) -> Spec:
        """The same network ending with layer `name`: its outputs become the logits."""
        names = [node.name for node in self.nodes]
        if name not in names:
            raise LockstepError(f"no layer {name!r} in this spec; it has: {', '.join(names)}")
        return Spec(input_shape=self.input_shape, layers=self.layers[: names.index(name) + 1])

    def part(self, start: int, stop: int | None = None) -> tuple[Spec, dict[str, str]]:
        """Layers `start` to `stop` - 1 as a network, and {layer or weight there: its name here}.

        Layers are numbered per kind, so those of a network that starts later have other numbers.
        """
        nodes = self.nodes[start:stop]
        part = Spec(input_shape=nodes[0].input_shape, layers=self.layers[start:stop])
        names = {}
        for here, there in zip(nodes, part.nodes, strict=True):
            names[there.name] = here.name
            names |= {f"{there.name}/{weight}": f"{here.name}/{weight}" for weight in here.weights}
        return part, names


_HINT = dict.fromkeys(RANK, "it needs height x width x channels, so it cannot follow flatten")
_HINT["dense"] = "it needs a vector, so put a flatten before it"


def relu_after_pool(nodes: Sequence[Node]) -> list[Node]:
    """For backends: the layers with each relu that stands before a max pooling behind it.

    A relu keeps the order of what is above 0, so function and gradients are the same, of fewer elements.
    Their nodes keep the shapes that they had.
    """
    nodes = list(nodes)
    for i in range(len(nodes) - 1):
        first, second = nodes[i].layer, nodes[i + 1].layer
        if isinstance(first, Activation) and first.function == "relu" and isinstance(second, MaxPool):
            nodes[i], nodes[i + 1] = nodes[i + 1], nodes[i]
    return nodes


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
