"""The gradients of the layers, by hand.

Does your library differentiate by itself?  Write `_vjp` in backend.py with it, and delete this file.
"""

import numpy as np

from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool

from .layers import apply, max_pool, patches, positions


def vjp(nodes, weights, x, masks):
    """The output of the network, and its pullback.

    The pullback takes the cotangent, an array like the output, and returns the gradients of
    sum(output * cotangent): ({"conv1/kernel": ...} by the weights, by x).
    """
    inputs = []
    for node in nodes:
        inputs.append(x)
        x = apply(node, weights, x, masks)

    def pullback(cotangent):
        gradients = {}
        for node, x in reversed(list(zip(nodes, inputs, strict=True))):
            cotangent, own = pull(node, weights, x, masks, cotangent)
            gradients |= {f"{node.name}/{part}": gradient for part, gradient in own.items()}
        return gradients, cotangent

    return x, pullback


def pull(node, weights, x, masks, cotangent):
    """One layer backward: gradients by its input x, and by its own weights {"kernel": ..., "bias": ...}."""
    layer = node.layer
    match layer:
        case Conv2D():
            return conv2d(x, weights[f"{node.name}/kernel"], node.pads, layer.stride, cotangent)
        case Dense():
            kernel = weights[f"{node.name}/kernel"]
            return cotangent @ kernel.T, {"kernel": x.T @ cotangent, "bias": cotangent.sum(axis=0)}
        case MaxPool():
            return max_pool_gradient(x, layer.size, cotangent), {}
        case AvgPool():
            return avg_pool_gradient(x, layer.size, cotangent), {}
        case Flatten():
            return cotangent.reshape(x.shape), {}
        case Activation():
            return cotangent * DERIVATIVES[layer.function](x, layer.slope), {}
        case Dropout():
            return cotangent if masks is None else cotangent * masks[node.name] / (1 - layer.rate), {}


def conv2d(x, kernel, pads, stride, cotangent):
    """Every product of a patch and the kernel sends its share back to both."""
    size, filters = len(kernel), kernel.shape[-1]
    rows = cotangent.reshape(-1, filters)  # one for each place of the kernel in each image
    by_kernel = patches(x, size, pads, stride).reshape(len(rows), -1).T @ rows
    by_patches = (cotangent @ kernel.reshape(-1, filters).T).reshape(*cotangent.shape[:3], size * size, -1)
    (top, bottom), (left, right) = pads
    height, width, channels = x.shape[1:]
    by_padded = np.zeros((len(x), top + height + bottom, left + width + right, channels), x.dtype)
    for place, by_place in enumerate(positions(by_padded, size, stride)):
        by_place += by_patches[:, :, :, place]  # a view: windows overlap, so shares add up
    by_x = by_padded[:, top : top + height, left : left + width]
    return by_x, {"kernel": by_kernel.reshape(kernel.shape), "bias": rows.sum(axis=0)}


def max_pool_gradient(x, size, cotangent):
    """The first maximum of a window takes all."""
    by_x, largest, taken = np.zeros_like(x), max_pool(x, size), False
    for part, by_part in zip(positions(x, size, size), positions(by_x, size, size), strict=True):
        first = (part == largest) & ~np.array(taken)
        by_part += first * cotangent
        taken |= first
    return by_x


def avg_pool_gradient(x, size, cotangent):
    """Equal shares for all elements of a window."""
    by_x = np.zeros_like(x)
    for by_part in positions(by_x, size, size):
        by_part += cotangent / size**2
    return by_x


def swish_derivative(x, _):
    sigmoid = 0.5 * np.tanh(0.5 * x) + 0.5
    return sigmoid + x * sigmoid * (1 - sigmoid)


DERIVATIVES = {
    "relu": lambda x, _: x > 0,
    "leaky_relu": lambda x, slope: np.where(x > 0, 1, x.dtype.type(slope)),
    "swish": swish_derivative,
    "tanh": lambda x, _: 1 - np.tanh(x) ** 2,
}
"""{function: (x, slope) -> its derivative}."""
