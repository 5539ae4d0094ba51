"""Convolution and cross-correlation, in one and two dimensions, as they are defined.

Everything is a plain loop or one line of NumPy, and slow.  Inputs are arrays or nested lists of real
numbers; nothing is changed in place; a result has the dtype NumPy's promotion gives its inputs, so
float32 stays float32.  Whatever does not fit together raises ValueError.

1-D: x has n elements, w has m.  2-D: one channel, height x width.

Source, unless a function names another: Goodfellow, Bengio and Courville, "Deep Learning" (2016),
chapter 9.
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

    p: zeros on each side, or a pair (before, after).  ValueError if no window fits.
    Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016),
    relationship 6.

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
