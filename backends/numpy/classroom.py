"""The layers of a convolutional network, written the way a textbook defines them.

Everything is a plain loop or one line of NumPy, and slow.  Inputs are arrays or nested lists of real
numbers; nothing is changed in place; a result has the dtype NumPy's promotion gives its inputs, so
float32 stays float32.  Whatever does not fit together raises ValueError.

1-D: x has n elements, w has m.  2-D: one channel, height x width.  Images: NHWC (image, height,
width, channel); kernels: HWIO (height, width, channels in, filters).

Source, unless a function names another: Goodfellow, Bengio and Courville, "Deep Learning" (2016),
chapters 6 (activations, softmax) and 9 (convolution, pooling).
"""

import numpy as np

VERTICAL_LINE = np.array([[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]])


def pad(x, before, after, axis=0):
    """x with zeros before and after it along one axis.

    >>> pad([1, 2, 3], 1, 2)
    array([0, 1, 2, 3, 0, 0])
    """
    x = np.asarray(x)
    amounts = [(0, 0)] * x.ndim
    amounts[axis] = (before, after)
    return np.pad(x, amounts)


def padding_amounts(m, padding):
    """Zeros (before, after) an axis for m kernel elements: NumPy's and SciPy's convention.

    Full: every position where x and w overlap.  Same: as many outputs as inputs at stride 1, the
    middle of full.  Valid: only where w lies wholly on x.  For an even m, same puts the odd zero
    before x; frameworks (XLA, TensorFlow) pad total // 2 before and the rest after, so their result
    differs by a shift: see `framework_padding`.

    >>> [padding_amounts(4, padding) for padding in ("full", "same", "valid")]
    [(3, 3), (2, 1), (0, 0)]
    """
    amounts = {"full": (m - 1, m - 1), "same": (m // 2, (m - 1) // 2), "valid": (0, 0)}
    if padding not in amounts:
        raise ValueError(f"padding is full, same or valid, not {padding!r}")
    return amounts[padding]


def framework_padding(n, k, padding, stride=1):
    """Zeros (before, after) an axis of n elements for a kernel of k: the rule of TensorFlow and XLA.

    Same: ceil(n / stride) outputs, so the zeros depend on the stride, and the odd one comes after.
    Full: k - 1 zeros on each side, then the stride.  Source: TensorFlow, tf.nn, "Notes on padding".

    >>> framework_padding(5, 4, "same"), framework_padding(8, 3, "same", 2), framework_padding(5, 4, "full")
    ((1, 2), (0, 1), (3, 3))
    """
    if padding != "same":
        return padding_amounts(k, padding)
    out = -(-n // stride)
    total = max((out - 1) * stride + k - n, 0)
    return total // 2, total - total // 2


def output_length(n, m, p, stride=1):
    """Outputs of a kernel of m on n inputs: floor((n + 2p - m) / stride) + 1.

    p: zeros on each side, or a pair (before, after).  ValueError if no window fits.  Source: Dumoulin and Visin, "A guide to
    convolution arithmetic for deep learning" (2016), relationship 6.

    >>> output_length(8, 4, 0, 2)
    3
    """
    before, after = (p, p) if np.ndim(p) == 0 else p
    if min(n, m, stride) < 1 or n + before + after < m:
        raise ValueError(f"a kernel of {m} at stride {stride} does not fit {n} inputs with {p} zeros")
    return (n + before + after - m) // stride + 1


def usage(n, m, padding, stride=1):
    """How many outputs use each of n inputs: int [n].

    Full padding treats all inputs alike; valid neglects the borders; same lies between.

    >>> for padding in ("full", "same", "valid"):
    ...     print(padding.ljust(5), usage(6, 3, padding))
    full  [3 3 3 3 3 3]
    same  [2 3 3 3 3 2]
    valid [1 2 3 3 2 1]
    """
    before, after = padding_amounts(m, padding)
    count = np.zeros(before + n + after, dtype=int)
    for i in range(output_length(n, m, (before, after), stride)):
        count[i * stride : i * stride + m] += 1
    return count[before : before + n]


def convolve(x, w, padding="full", stride=1):
    """Convolution by its definition: y[i] = sum over k of xp[i + m - 1 - k] w[k], xp being x padded.

    x [n], w [m] -> y [output_length]; stride s keeps every s-th output.  Even kernels with same
    padding follow `padding_amounts`, as numpy.convolve(mode="same") does, not the frameworks.

    >>> convolve([1, 2, 3], [10, 20, 30])
    array([ 10,  40, 100, 120,  90])
    >>> convolve([3, 2, 1, 7, 1, 2, 5, 4], [0.5, 0.75, 1, 0.25], "valid", stride=2)
    array([7., 9., 8.])
    """
    x, w, xp, (length,) = _frame(x, w, padding, stride, axes=1)
    m = len(w)
    y = np.zeros(length, np.result_type(x, w))
    for i in range(length):
        for k in range(m):
            y[i] += xp[i * stride + m - 1 - k] * w[k]
    return y


def cross_correlate(x, w, padding="full", stride=1):
    """Slide w along x without flipping it: y[i] = sum over k of xp[i + k] w[k].

    This is what deep-learning frameworks call convolution: a learned w needs no flip.

    >>> cross_correlate([1, 2, 3], [10, 20, 30])
    array([ 30,  80, 140,  80,  30])
    """
    x, w, xp, (length,) = _frame(x, w, padding, stride, axes=1)
    return np.array([xp[i * stride : i * stride + len(w)] @ w for i in range(length)])


def convolve_as_dot(x, w, padding="full", stride=1):
    """Convolution again: reverse w, then slide dot products.

    >>> x, w = [3, 1, 4, 1, 5, 9, 2], [2, 7, 1, 8]
    >>> all(np.array_equal(convolve_as_dot(x, w, padding, stride), convolve(x, w, padding, stride))
    ...     for padding in ("full", "same", "valid") for stride in (1, 2, 3))
    True
    """
    flipped = np.asarray(w)[::-1]
    return cross_correlate(x, flipped, padding, stride)


def three_term_table(x, w, i):
    """The three terms x[j] w[i - j] of element i (0 to 4) of a full convolution, as text to print.

    >>> print(three_term_table([1, 2, 3], [10, 20, 30], 2))
    j  x[j]  w[2-j]         term
    0  1     w[2] = 30      30
    1  2     w[1] = 20      40
    2  3     w[0] = 10      30
    y[2] = 100
    >>> print(three_term_table([1, 2, 3], [10, 20, 30], 0))
    j  x[j]  w[0-j]         term
    0  1     w[0] = 10      10
    1  2     w[-1] outside  0
    2  3     w[-2] outside  0
    y[0] = 10
    """
    if len(x) != 3 or len(w) != 3 or not 0 <= i <= 4:
        raise ValueError("x and w have three elements each, and i is 0 to 4")
    rows, total = [("j", "x[j]", f"w[{i}-j]", "term")], 0
    for j in range(3):
        inside = 0 <= i - j < 3  # Python would read w[-1] as the last element
        term = x[j] * w[i - j] if inside else 0
        rows.append((j, x[j], f"w[{i - j}] = {w[i - j]}" if inside else f"w[{i - j}] outside", term))
        total += term
    lines = [f"{j!s:<3}{xj!s:<6}{wij!s:<15}{term}" for j, xj, wij, term in rows]
    return "\n".join([*lines, f"y[{i}] = {total}"])


def _frame(x, w, padding, stride, axes):
    """x and w as arrays, x padded, and the shape of the output."""
    x, w = np.asarray(x), np.asarray(w)
    if x.ndim != axes or w.ndim != axes:
        raise ValueError(f"x and w have {axes} axes each, not {x.ndim} and {w.ndim}")
    xp, shape = x, []
    for axis, (n, m) in enumerate(zip(x.shape, w.shape, strict=True)):
        amounts = padding_amounts(m, padding)
        shape.append(output_length(n, m, amounts, stride))
        xp = pad(xp, *amounts, axis)
    return x, w, xp, tuple(shape)


def cross_correlate2d(x, w, padding="full", stride=1):
    """y[i, j] = sum over p, q of xp[i + p, j + q] w[p, q]; padding and stride hold for both axes.

    Same padding of an even kernel follows `padding_amounts`; scipy.signal.correlate2d pads after.
    VERTICAL_LINE answers to a vertical line, and not at all to a horizontal one:

    >>> line = np.zeros((5, 5), dtype=int)
    >>> line[:, 2] = 1
    >>> print(cross_correlate2d(line, VERTICAL_LINE, "valid"))
    [[-3  6 -3]
     [-3  6 -3]
     [-3  6 -3]]
    >>> bool(cross_correlate2d(line.T, VERTICAL_LINE, "valid").any())
    False
    """
    x, w, xp, shape = _frame(x, w, padding, stride, axes=2)
    y = np.zeros(shape, np.result_type(x, w))
    for i, j in np.ndindex(*shape):
        for p, q in np.ndindex(*w.shape):
            y[i, j] += xp[i * stride + p, j * stride + q] * w[p, q]
    return y


def convolve2d(x, w, padding="full", stride=1):
    """Cross-correlation with w flipped along both axes; an image of one pixel gives w unflipped.

    >>> print(convolve2d([[1]], [[1, 2], [3, 4]]), cross_correlate2d([[1]], [[1, 2], [3, 4]]))
    [[1 2]
     [3 4]] [[4 3]
     [2 1]]
    """
    return cross_correlate2d(x, np.flip(w), padding, stride)


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
