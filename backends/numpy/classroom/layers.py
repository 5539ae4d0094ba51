"""The layers of a network and their gradients, written the way a textbook defines them.

The oracle of the fast path in `../layers.py`.  Images are NHWC (image, height, width, channel), kernels
HWIO (height, width, channels in, filters).  Whatever does not fit together raises ValueError.

Source, unless a function names another: Goodfellow, Bengio and Courville, "Deep Learning" (2016),
chapters 6 (activations, softmax) and 9 (convolution, pooling).
"""

import numpy as np

from .convolution import output_length, pad


def _window_elements(images, size, shape, stride):
    """Yield, in row-major order, (r, c) and a view: view[:, i, j] is element (r, c) of window (i, j)."""
    height, width = shape
    for r, c in np.ndindex(*size):
        rows = slice(r, r + (height - 1) * stride + 1, stride)
        columns = slice(c, c + (width - 1) * stride + 1, stride)
        yield (r, c), images[:, rows, columns]


def _conv2d_frame(images, kernel, pads, stride):
    """The images padded, and the output's height and width."""
    shape = [output_length(images.shape[1 + a], kernel.shape[a], pads[a], stride) for a in (0, 1)]
    return pad(pad(images, *pads[0], axis=1), *pads[1], axis=2), shape


def _check_cotangent(cotangent, shape):
    if cotangent.shape != tuple(shape):  # broadcasting would hide the mistake
        raise ValueError(f"the cotangent has the shape {cotangent.shape}, the output {tuple(shape)}")


def conv2d(images, kernel, bias, pads=((0, 0), (0, 0)), stride=1):
    """The convolution layer of every framework: cross-correlation over all channels, plus a bias.

    images [N, H, W, I], kernel [height, width, I, O], bias [O], pads ((top, bottom), (left, right))
    -> [N, out height, out width, O].

    >>> image = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> conv2d(image, np.ones((2, 2, 1, 1)), np.array([100.0]))[0, :, :, 0]
    array([[108., 112.],
           [120., 124.]])
    """
    images, kernel, bias = np.asarray(images), np.asarray(kernel), np.asarray(bias)
    if bias.shape != kernel.shape[3:]:
        raise ValueError(f"a kernel {kernel.shape} needs one bias per filter, not the shape {bias.shape}")
    padded, shape = _conv2d_frame(images, kernel, pads, stride)
    y = np.zeros((len(images), *shape, kernel.shape[3]), np.result_type(images, kernel, bias))
    for position, view in _window_elements(padded, kernel.shape[:2], shape, stride):
        y += view @ kernel[position]
    return y + bias


def conv2d_gradients(images, kernel, cotangent, pads=((0, 0), (0, 0)), stride=1):
    """Gradients of sum(cotangent * conv2d(...)) by images, kernel and bias, each in its shape.

    Every product view @ kernel[position] of the forward pass sends its share back to both factors.

    >>> image, kernel = np.arange(9.0).reshape(1, 3, 3, 1), np.ones((2, 2, 1, 1))
    >>> by_image, by_kernel, by_bias = conv2d_gradients(image, kernel, np.ones((1, 2, 2, 1)))
    >>> print(by_image[0, :, :, 0], by_kernel[:, :, 0, 0], by_bias)
    [[1. 2. 1.]
     [2. 4. 2.]
     [1. 2. 1.]] [[ 8. 12.]
     [20. 24.]] [4.]
    """
    images, kernel, cotangent = np.asarray(images), np.asarray(kernel), np.asarray(cotangent)
    padded, shape = _conv2d_frame(images, kernel, pads, stride)
    _check_cotangent(cotangent, (len(images), *shape, kernel.shape[3]))
    dtype = np.result_type(images, kernel, cotangent)
    by_padded, by_kernel = np.zeros(padded.shape, dtype), np.zeros(kernel.shape, dtype)
    forward = _window_elements(padded, kernel.shape[:2], shape, stride)
    backward = _window_elements(by_padded, kernel.shape[:2], shape, stride)
    for (position, view), (_, by_view) in zip(forward, backward, strict=True):
        by_kernel[position] = np.einsum("nhwi,nhwo->io", view, cotangent)
        by_view += cotangent @ kernel[position].T  # windows overlap, so shares add up
    (top, _), (left, _) = pads
    by_images = by_padded[:, top : top + images.shape[1], left : left + images.shape[2]]
    return by_images, by_kernel, cotangent.sum(axis=(0, 1, 2))


def _pool_views(images, size):
    """A view for each element of a window, in row-major order: [N, H // size, W // size, C]."""
    shape = [output_length(n, size, 0, size) for n in images.shape[1:3]]
    return [view for _, view in _window_elements(images, (size, size), shape, size)]


def max_pool(images, size):
    """The largest element of each size x size window: [N, H, W, C] -> [N, H // size, W // size, C].

    The stride is the size, nothing is padded, rows and columns left over are dropped.

    >>> max_pool(np.arange(20).reshape(1, 4, 5, 1), 2)[0, :, :, 0]
    array([[ 6,  8],
           [16, 18]])
    """
    return np.max(_pool_views(np.asarray(images), size), axis=0)


def avg_pool(images, size):
    """The mean of each window, otherwise like `max_pool`.

    >>> avg_pool(np.arange(20).reshape(1, 4, 5, 1), 2)[0, :, :, 0]
    array([[ 3.,  5.],
           [13., 15.]])
    """
    return np.mean(_pool_views(np.asarray(images), size), axis=0)


def max_pool_gradient(images, size, cotangent):
    """Gradient of sum(cotangent * max_pool(images, size)) by images; the FIRST maximum takes it all.

    >>> max_pool_gradient(np.ones((1, 2, 2, 1)), 2, np.array([[[[5.0]]]]))[0, :, :, 0]
    array([[5., 0.],
           [0., 0.]])
    """
    images, cotangent = np.asarray(images), np.asarray(cotangent)
    first = np.argmax(_pool_views(images, size), axis=0)  # of equal elements, argmax takes the first
    _check_cotangent(cotangent, first.shape)
    gradient = np.zeros(images.shape, cotangent.dtype)
    for element, view in enumerate(_pool_views(gradient, size)):
        view[...] = np.where(first == element, cotangent, 0)
    return gradient


def avg_pool_gradient(images, size, cotangent):
    """Gradient of sum(cotangent * avg_pool(images, size)) by images: equal shares for a window.

    >>> avg_pool_gradient(np.zeros((1, 2, 3, 1)), 2, np.array([[[[8.0]]]]))[0, :, :, 0]
    array([[2., 2., 0.],
           [2., 2., 0.]])
    """
    share = np.asarray(cotangent) / size**2
    gradient = np.zeros(np.shape(images), share.dtype)
    for view in _pool_views(gradient, size):
        _check_cotangent(share, view.shape)
        view[...] = share
    return gradient


def relu(x):
    """max(x, 0)."""
    return np.maximum(x, 0)


def relu_derivative(x):
    """1 where x > 0, else 0: there is no derivative at 0, and frameworks choose 0."""
    return np.heaviside(x, 0)


def leaky_relu(x, slope=0.01):
    """x where x > 0, else slope x.  Source: Maas, Hannun and Ng (2013)."""
    x = np.asarray(x)
    return np.where(x > 0, x, slope * x)


def leaky_relu_derivative(x, slope=0.01):
    """1 where x > 0, else slope.

    >>> relu_derivative([-2.0, 0.0, 3.0]), leaky_relu_derivative([-2.0, 0.0, 3.0], 0.1)
    (array([0., 0., 1.]), array([0.1, 0.1, 1. ]))
    """
    one = relu_derivative(x)
    return np.where(one, one, slope)


def swish(x):
    """x sigmoid(x).  Source: Ramachandran, Zoph and Le, "Searching for activation functions" (2017).

    >>> swish(np.array([-1000.0, 0.0, 1000.0])) + 0.0
    array([   0.,    0., 1000.])
    """
    return x * _sigmoid(x)


def swish_derivative(x):
    """s + x s (1 - s) with s = sigmoid(x): the product rule."""
    s = _sigmoid(x)
    return s + x * s * (1 - s)


def _sigmoid(x):
    return np.exp(-np.logaddexp(0, -np.asarray(x)))  # 1 / (1 + exp(-x)) would overflow


def tanh(x):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return np.tanh(x)


def tanh_derivative(x):
    """1 - tanh(x)^2."""
    return 1 - np.tanh(x) ** 2


def log_softmax(z):
    """z - log(sum(exp(z))) along the last axis; shifting by max(z) first leaves it unchanged, but finite."""
    z = np.asarray(z)
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def softmax(z):
    """exp(z) / sum(exp(z)) along the last axis, without overflow.

    >>> softmax([[-5, 0, 5, 6], [10, 0, 5, 6]]).round(2)
    array([[0.  , 0.  , 0.27, 0.73],
           [0.98, 0.  , 0.01, 0.02]])
    >>> softmax([1000.0, 1000.0, -1000.0])
    array([0.5, 0.5, 0. ])
    """
    return np.exp(log_softmax(z))


def cross_entropy(logits, targets):
    """Mean over images of -sum(targets * log softmax(logits)), in nats, as a float.

    logits [N, classes]; targets [N, classes], each row a distribution: one-hot, or soft.

    >>> round(cross_entropy([[0.0, 0.0], [1000.0, 0.0]], [[1, 0], [0.5, 0.5]]), 4)  # (log 2 + 500) / 2
    250.3466
    """
    logits, targets = _checked(logits, targets)
    return float(-(targets * log_softmax(logits)).sum(axis=-1).mean())


def cross_entropy_gradient(logits, targets):
    """Gradient of `cross_entropy` by the logits: (softmax(logits) - targets) / N.

    >>> cross_entropy_gradient([[0.0, 0.0], [0.0, 0.0]], [[1, 0], [0.5, 0.5]])
    array([[-0.25,  0.25],
           [ 0.  ,  0.  ]])
    """
    logits, targets = _checked(logits, targets)
    return (softmax(logits) - targets) / len(logits)


def _checked(logits, targets):
    logits, targets = np.asarray(logits), np.asarray(targets)
    if logits.shape != targets.shape or logits.ndim != 2:
        raise ValueError(f"logits {logits.shape} and targets {targets.shape} are both [N, classes]")
    if not np.allclose(targets.sum(axis=1), 1, atol=1e-3):  # the gradient's short form relies on it
        raise ValueError("each row of targets sums to 1")
    return logits, targets


def dropout(x, mask, rate):
    """Inverted dropout: x * mask / (1 - rate), so the mean over masks is x and testing needs no change.

    mask: the shape of x, 1 keeps an element; each is kept with probability 1 - rate, 0 <= rate < 1.
    Source: Srivastava et al., "Dropout" (2014), section 10.

    >>> x = np.array([3.0, 6.0, 9.0, 12.0])
    >>> masks = 1 - np.eye(4)  # each element is dropped in one of four
    >>> dropout(x, masks[0], 0.25), np.mean([dropout(x, mask, 0.25) for mask in masks], axis=0)
    (array([ 0.,  8., 12., 16.]), array([ 3.,  6.,  9., 12.]))
    """
    x, mask = np.asarray(x), np.asarray(mask)
    if x.shape != mask.shape or not 0 <= rate < 1:
        raise ValueError(f"x {x.shape} and mask {mask.shape} have one shape, and 0 <= rate < 1, not {rate}")
    return x * mask / (1 - rate)
