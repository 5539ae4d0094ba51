"""The layers: one small function each, from an input and weights to an output.  Put your library here.

Replace one function at a time, and run `lockstep verify` after each.  All of them return new arrays and
change none, and `where` decides at every kink: a library that differentiates by itself gets from them the
gradients that the contract asks for.  B images of height H, width W and C channels are [B, H, W, C].
"""

from functools import reduce

import numpy as np

from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool


def forward(nodes, weights, x, masks):
    """The network: x [B, *first input shape] -> [B, *last output shape]."""
    for node in nodes:
        x = apply(node, weights, x, masks)
    return x


def apply(node, weights, x, masks):
    """One layer: x [B, *node.input_shape] -> [B, *node.output_shape].

    weights {"conv1/kernel": ...} of the whole network; masks {"dropout1": like x}, or None: dropout is off.
    """
    layer = node.layer
    match layer:
        case Conv2D():
            kernel, bias = weights[f"{node.name}/kernel"], weights[f"{node.name}/bias"]
            return conv2d(x, kernel, bias, node.pads, layer.stride)
        case Dense():
            return dense(x, weights[f"{node.name}/kernel"], weights[f"{node.name}/bias"])
        case MaxPool():
            return max_pool(x, layer.size)
        case AvgPool():
            return avg_pool(x, layer.size)
        case Flatten():
            return flatten(x)
        case Activation(function="leaky_relu"):
            return leaky_relu(x, layer.slope)
        case Activation():
            return FUNCTIONS[layer.function](x)
        case Dropout():
            return x if masks is None else dropout(x, masks[node.name], layer.rate)


def conv2d(x, kernel, bias, pads, stride):
    """Cross-correlation: x [B, H, W, C], kernel [k, k, C, F], bias [F] -> [B, rows, columns, F].

    pads: zeros around the images, ((top, bottom), (left, right)).
    """
    return patches(x, len(kernel), pads, stride) @ kernel.reshape(-1, kernel.shape[-1]) + bias


def dense(x, kernel, bias):
    """x [B, units in], kernel [units in, units], bias [units] -> [B, units]."""
    return x @ kernel + bias


def max_pool(x, size):
    """The largest element of each window; of equal ones the first, row by row, takes the gradient."""
    return reduce(lambda a, b: np.where(a >= b, a, b), positions(x, size, size))


def avg_pool(x, size):
    """The mean of each window; rows and columns left over are dropped."""
    return sum(positions(x, size, size)) / size**2


def flatten(x):
    """[B, H, W, C] -> [B, H * W * C], in this order."""
    return x.reshape(len(x), -1)


def relu(x):
    """Its derivative at 0 is 0."""
    return np.where(x > 0, x, 0)


def leaky_relu(x, slope):
    """Its derivative at 0 is the slope."""
    return np.where(x > 0, x, slope * x)


def swish(x):
    """x sigmoid(x), with the sigmoid from tanh, which does not overflow."""
    return x * (0.5 * np.tanh(0.5 * x) + 0.5)


FUNCTIONS = {"relu": relu, "swish": swish, "tanh": np.tanh}


def dropout(x, mask, rate):
    """mask: like x, 1 keeps an element and 0 drops it; what is kept is divided by 1 - rate."""
    return x * mask / (1 - rate)


def patches(x, size, pads, stride):
    """What the kernel sees at each of its places: [B, rows, columns, size * size * C]."""
    return np.concatenate(positions(np.pad(x, ((0, 0), *pads, (0, 0))), size, stride), axis=3)


def positions(x, size, stride):
    """For each element of a window, row by row: what it meets at all places, [B, rows, columns, C]."""
    rows, columns = (x.shape[1] - size) // stride + 1, (x.shape[2] - size) // stride + 1
    return [
        x[:, i : i + rows * stride : stride, j : j + columns * stride : stride]
        for i in range(size)
        for j in range(size)
    ]
