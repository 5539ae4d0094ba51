"""The classroom functions against NumPy, SciPy, brute force and finite differences."""

import doctest
import importlib
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep import discovery

ROOT = Path(__file__).resolve().parents[1]
PADDINGS = ("full", "same", "valid")


discovery.load(discovery.find("numpy"))  # the plugin's folder becomes a package
PARTS = [
    importlib.import_module(f"lockstep_backend_numpy.classroom.{part}") for part in ("convolution", "layers")
]
classroom = SimpleNamespace(**vars(PARTS[0]) | vars(PARTS[1]))

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
values = st.integers(-9, 9)
strides = st.integers(1, 4)


@st.composite
def signals(draw):
    """(x, w) with len(w) <= len(x), where NumPy and SciPy do not swap them."""
    m = draw(st.integers(1, 6))
    n = draw(st.integers(m, 12))
    return tuple(np.array(draw(st.lists(values, min_size=k, max_size=k))) for k in (n, m))


@st.composite
def planes(draw):
    """(x, w), both 2-D, w no larger than x."""
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    shape = height + draw(st.integers(0, 4)), width + draw(st.integers(0, 4))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return rng.integers(-9, 10, shape), rng.integers(-9, 10, (height, width))


def numeric_gradient(f, x, step=1e-5):
    """Central differences of a scalar function, in float64."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (f(up) - f(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize("part", PARTS)
def test_doctests(part):
    result = doctest.testmod(part)
    assert result.failed == 0
    assert result.attempted > 0


# One dimension


@quick
@given(signals(), st.sampled_from(PADDINGS), strides)
def test_convolve_is_numpys_and_scipys(pair, padding, stride):
    x, w = pair
    ours = classroom.convolve(x, w, padding, stride)
    np.testing.assert_array_equal(ours, np.convolve(x, w, padding)[::stride])
    np.testing.assert_array_equal(ours, scipy.signal.convolve(x, w, padding, method="direct")[::stride])


@quick
@given(signals(), strides)
def test_a_kernel_longer_than_the_signal(pair, stride):
    w, x = pair
    for padding in ("full", "same"):  # SciPy's same has the length of its first argument
        expected = scipy.signal.convolve(x, w, padding, method="direct")[::stride]
        np.testing.assert_array_equal(classroom.convolve(x, w, padding, stride), expected)


@quick
@given(signals(), st.sampled_from(PADDINGS), strides)
def test_definition_equals_flipped_dot_products(pair, padding, stride):
    x, w = pair
    np.testing.assert_array_equal(
        classroom.convolve_as_dot(x, w, padding, stride), classroom.convolve(x, w, padding, stride)
    )


@quick
@given(signals(), st.sampled_from(PADDINGS), strides)
def test_cross_correlate_is_numpys(pair, padding, stride):
    x, w = pair
    np.testing.assert_array_equal(
        classroom.cross_correlate(x, w, padding, stride), np.correlate(x, w, padding)[::stride]
    )


@quick
@given(st.lists(values, min_size=3, max_size=3), st.lists(values, min_size=3, max_size=3))
def test_three_term_tables_sum_to_the_convolution(x, w):
    sums = [int(classroom.three_term_table(x, w, i).rsplit("=", 1)[1]) for i in range(5)]
    assert sums == np.convolve(x, w).tolist()
    dropped = [classroom.three_term_table(x, w, i).count("outside") for i in range(5)]
    assert dropped == [2, 1, 0, 1, 2]


@quick
@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 3), st.integers(0, 3), strides)
def test_output_length_counts_the_positions(n, m, before, after, stride):
    starts = [i for i in range(0, before + n + after, stride) if i + m <= before + n + after]
    if starts:
        assert classroom.output_length(n, m, (before, after), stride) == len(starts)
    else:
        with pytest.raises(ValueError, match="does not fit"):
            classroom.output_length(n, m, (before, after), stride)


@quick
@given(st.integers(1, 12), st.integers(1, 7), strides)
def test_framework_same_gives_ceil_n_over_stride(n, k, stride):
    before, after = classroom.framework_padding(n, k, "same", stride)
    assert after - before in (0, 1)
    out = (n + stride - 1) // stride
    assert classroom.output_length(n, k, (before, after), stride) == out
    if before + after:  # one zero fewer would lose the last output
        assert before + n + after == (out - 1) * stride + k


def test_even_same_kernels_differ_from_the_frameworks_by_a_shift():
    x, w = np.arange(1, 7), np.array([1, 10, 100, 1000])
    framework = classroom.cross_correlate(
        classroom.pad(x, *classroom.framework_padding(6, 4, "same")), w, "valid"
    )
    ours = classroom.cross_correlate(x, w, "same")
    np.testing.assert_array_equal(framework[:-1], ours[1:])
    assert not np.array_equal(framework, ours)


@quick
@given(st.integers(1, 12), st.integers(1, 6), st.sampled_from(PADDINGS), strides)
def test_usage_is_what_a_brute_force_count_finds(n, m, padding, stride):
    if padding == "valid" and m > n:
        return
    # With weights of one, the response to a single 1 sums to the number of outputs that use it.
    counts = [
        classroom.convolve(unit, np.ones(m, int), padding, stride).sum() for unit in np.eye(n, dtype=int)
    ]
    np.testing.assert_array_equal(classroom.usage(n, m, padding, stride), counts)


def test_usage_at_the_borders():
    assert classroom.usage(6, 3, "full").tolist() == [3, 3, 3, 3, 3, 3]
    assert classroom.usage(6, 3, "same").tolist() == [2, 3, 3, 3, 3, 2]
    assert classroom.usage(6, 3, "valid").tolist() == [1, 2, 3, 3, 2, 1]


@quick
@given(signals(), st.integers(-3, 3))
def test_convolution_is_shift_equivariant_away_from_the_borders(pair, shift):
    x, w = pair
    x = classroom.pad(x, 3, 3)  # room, so that nothing leaves at the ends
    shift_then_convolve = classroom.convolve(np.roll(x, shift), w, "full")
    convolve_then_shift = np.roll(classroom.convolve(x, w, "full"), shift)
    np.testing.assert_array_equal(shift_then_convolve, convolve_then_shift)
    border = len(w) + abs(shift)
    filled = x + 1  # now the ends are not zero: equivariance holds inside only
    interior = slice(border, len(x) - border)
    np.testing.assert_array_equal(
        classroom.convolve(np.roll(filled, shift), w, "same")[interior],
        np.roll(classroom.convolve(filled, w, "same"), shift)[interior],
    )


# Two dimensions


@quick
@given(planes(), st.sampled_from(PADDINGS), strides)
def test_convolve2d_is_scipys(pair, padding, stride):
    x, w = pair
    expected = scipy.signal.convolve2d(x, w, padding)[::stride, ::stride]
    np.testing.assert_array_equal(classroom.convolve2d(x, w, padding, stride), expected)


@quick
@given(planes(), st.sampled_from(PADDINGS), strides)
def test_cross_correlate2d_is_scipys(pair, padding, stride):
    x, w = pair
    if padding == "same":  # SciPy's correlate2d has another convention for even kernels
        pads = [classroom.padding_amounts(m, "same") for m in w.shape]
        expected = scipy.signal.correlate2d(np.pad(x, pads), w, "valid")
        if w.shape[0] % 2 and w.shape[1] % 2:
            np.testing.assert_array_equal(expected, scipy.signal.correlate2d(x, w, "same"))
    else:
        expected = scipy.signal.correlate2d(x, w, padding)
    np.testing.assert_array_equal(
        classroom.cross_correlate2d(x, w, padding, stride), expected[::stride, ::stride]
    )


@quick
@given(
    pair=planes(),
    pads=st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2),
    stride=strides,
    channels=st.integers(1, 3),
    filters=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_conv2d_is_scipys_summed_over_channels(pair, pads, stride, channels, filters, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(-9, 10, (2, *pair[0].shape, channels))
    kernel = rng.integers(-9, 10, (*pair[1].shape, channels, filters))
    bias = rng.integers(-9, 10, filters)
    ours = classroom.conv2d(images, kernel, bias, pads, stride)
    for image, o in itertools.product(range(2), range(filters)):
        expected = bias[o] + sum(
            scipy.signal.correlate2d(np.pad(images[image, :, :, c], pads), kernel[:, :, c, o], "valid")
            for c in range(channels)
        )
        np.testing.assert_array_equal(ours[image, :, :, o], expected[::stride, ::stride])


CASES = [
    (((0, 0), (0, 0)), 1),
    (((1, 0), (2, 1)), 1),
    (((1, 1), (0, 1)), 2),
    (((2, 2), (2, 2)), 3),
    (((0, 0), (0, 0)), 3),  # the last row of the images is not used
]


@pytest.mark.parametrize(("pads", "stride"), CASES)
def test_conv2d_gradients(pads, stride):
    rng = np.random.default_rng(1)
    images, kernel, bias = rng.normal(size=(2, 5, 4, 2)), rng.normal(size=(3, 2, 2, 3)), rng.normal(size=3)
    cotangent = rng.normal(size=classroom.conv2d(images, kernel, bias, pads, stride).shape)

    def loss(images=images, kernel=kernel, bias=bias):
        return (cotangent * classroom.conv2d(images, kernel, bias, pads, stride)).sum()

    by_images, by_kernel, by_bias = classroom.conv2d_gradients(images, kernel, cotangent, pads, stride)
    close = {"rtol": 1e-6, "atol": 1e-8}
    np.testing.assert_allclose(by_images, numeric_gradient(lambda v: loss(images=v), images), **close)
    np.testing.assert_allclose(by_kernel, numeric_gradient(lambda v: loss(kernel=v), kernel), **close)
    np.testing.assert_allclose(by_bias, numeric_gradient(lambda v: loss(bias=v), bias), **close)


# Pooling


@quick
@given(st.integers(1, 3), st.integers(0, 8), st.integers(0, 8), st.integers(0, 99))
def test_pools_look_at_each_window(size, more_rows, more_columns, seed):
    images = np.random.default_rng(seed).integers(-9, 10, (2, size + more_rows, size + more_columns, 2))
    largest, mean = classroom.max_pool(images, size), classroom.avg_pool(images, size)
    assert largest.shape == mean.shape == (2, images.shape[1] // size, images.shape[2] // size, 2)
    for n, i, j, c in np.ndindex(*largest.shape):
        window = images[n, i * size : (i + 1) * size, j * size : (j + 1) * size, c]
        assert largest[n, i, j, c] == window.max()
        assert mean[n, i, j, c] == pytest.approx(window.mean())


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pool_gradients(kind, size):
    pool = getattr(classroom, f"{kind}_pool")
    rng = np.random.default_rng(2)
    # Distinct elements far apart: a finite difference across a tie would mean nothing.
    images = rng.permutation(2 * 5 * 7 * 2).reshape(2, 5, 7, 2) / 10
    cotangent = rng.normal(size=pool(images, size).shape)
    gradient = getattr(classroom, f"{kind}_pool_gradient")(images, size, cotangent)
    expected = numeric_gradient(lambda v: (cotangent * pool(v, size)).sum(), images)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@quick
@given(st.lists(st.integers(0, 1), min_size=9, max_size=9))
def test_the_first_maximum_takes_the_gradient(window):
    images = np.array(window, float).reshape(1, 3, 3, 1)
    gradient = classroom.max_pool_gradient(images, 3, np.full((1, 1, 1, 1), 7.0))
    expected = np.zeros(9)
    expected[window.index(max(window))] = 7
    np.testing.assert_array_equal(gradient.ravel(), expected)


def test_max_pooling_is_equivariant_for_multiples_of_its_size_only():
    image = np.random.default_rng(3).permutation(144).reshape(1, 12, 12, 1)
    holds = []
    for shift in range(7):
        shift_then_pool = classroom.max_pool(np.roll(image, shift, axis=2), 3)
        pool_then_shift = np.roll(classroom.max_pool(image, 3), shift // 3, axis=2)
        holds.append(np.array_equal(shift_then_pool, pool_then_shift))
    assert holds == [True, False, False, True, False, False, True]


# Activations, softmax, loss, dropout


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "swish", "tanh"])
def test_activation_derivatives(name):
    f, derivative = getattr(classroom, name), getattr(classroom, f"{name}_derivative")
    x = np.array([-30.0, -3.0, -1.0, -0.1, 0.1, 1.0, 3.0, 30.0])
    step = 1e-6
    expected = (f(x + step) - f(x - step)) / (2 * step)
    np.testing.assert_allclose(derivative(x), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_at_zero_and_far_out(dtype):
    x = np.array([-1e4, 0, 1e4], dtype)
    expected = {
        "relu": ([0, 0, 1e4], [0, 0, 1]),
        "leaky_relu": ([-100, 0, 1e4], [0.01, 0.01, 1]),
        "swish": ([0, 0, 1e4], [0, 0.5, 1]),
        "tanh": ([-1, 0, 1], [0, 1, 0]),
    }
    for name, (value, slope) in expected.items():
        for function, result in ((name, value), (f"{name}_derivative", slope)):
            with np.errstate(over="raise", invalid="raise"):
                ours = getattr(classroom, function)(x)
            assert ours.dtype == dtype, function
            np.testing.assert_allclose(ours, result, rtol=1e-6, err_msg=function)
    assert classroom.leaky_relu_derivative(x, 0.25)[1] == 0.25


def test_softmax_numbers():
    rounded = classroom.softmax([[-5, 0, 5, 6], [10, 0, 5, 6]]).round(2)
    np.testing.assert_array_equal(rounded, [[0, 0, 0.27, 0.73], [0.98, 0, 0.01, 0.02]])


@quick
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=6))
def test_softmax_is_a_stable_distribution(z):
    p = classroom.softmax(z)
    assert p.sum() == pytest.approx(1)
    np.testing.assert_allclose(p, scipy.special.softmax(z), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(classroom.log_softmax(z), scipy.special.log_softmax(z), rtol=1e-9, atol=1e-12)


def test_cross_entropy_of_hard_and_soft_targets():
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    assert classroom.cross_entropy(logits, np.eye(3)[[0, 2]]) == pytest.approx(-np.log([0.5, 0.8]).mean())
    soft = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    assert classroom.cross_entropy(logits, soft) == pytest.approx(-(soft * logits).sum() / 2)
    assert classroom.cross_entropy([[1e4, 0.0]], [[0, 1]]) == pytest.approx(1e4)


def test_cross_entropy_gradient():
    rng = np.random.default_rng(4)
    logits, targets = rng.normal(size=(4, 5)), rng.dirichlet(np.ones(5), 4)
    expected = numeric_gradient(lambda z: classroom.cross_entropy(z, targets), logits)
    gradient = classroom.cross_entropy_gradient(logits, targets)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 0.9])
def test_dropout_keeps_the_expectation(rate):
    x = np.array([3.0, -1.0, 0.5, 8.0])
    expectation = np.zeros(4)
    for mask in itertools.product((0, 1), repeat=4):  # all masks, each with its probability
        probability = (1 - rate) ** sum(mask) * rate ** (4 - sum(mask))
        expectation += probability * classroom.dropout(x, mask, rate)
    np.testing.assert_allclose(expectation, x)


# What does not fit


def test_float32_stays_float32():
    rng = np.random.default_rng(5)
    images, kernel, bias, cotangent = (
        rng.normal(size=shape).astype("float32") for shape in [(1, 4, 4, 2), (3, 3, 2, 2), (2,), (1, 2, 2, 2)]
    )
    logits, targets = images[0, 0], np.full((4, 2), 0.5, "float32")
    results = [
        classroom.convolve(bias, bias),
        classroom.cross_correlate2d(logits, logits),
        classroom.conv2d(images, kernel, bias),
        *classroom.conv2d_gradients(images, kernel, cotangent),
        classroom.max_pool(images, 2),
        classroom.avg_pool(images, 2),
        classroom.max_pool_gradient(images, 2, cotangent),
        classroom.avg_pool_gradient(images, 2, cotangent),
        classroom.softmax(logits),
        classroom.cross_entropy_gradient(logits, targets),
        classroom.dropout(bias, np.array([0, 1], "uint8"), 0.5),
    ]
    assert {result.dtype.name for result in results} == {"float32"}


MISFITS = {
    "padding": lambda: classroom.convolve([1, 2], [1], "half"),
    "kernel longer than a valid input": lambda: classroom.convolve([1], [1, 2], "valid"),
    "empty kernel": lambda: classroom.convolve([1], []),
    "stride": lambda: classroom.convolve([1, 2], [1], "full", 0),
    "axes": lambda: classroom.convolve([[1, 2]], [[1]]),
    "axes of a plane": lambda: classroom.convolve2d([[1, 2]], [1]),
    "table": lambda: classroom.three_term_table([1, 2, 3], [1, 2, 3], 5),
    "channels": lambda: classroom.conv2d(np.ones((1, 3, 3, 2)), np.ones((2, 2, 3, 1)), [0]),
    "bias": lambda: classroom.conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 3)), [0]),
    "cotangent": lambda: classroom.conv2d_gradients(
        np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), np.ones((1, 1, 1, 1))
    ),
    "max-pool cotangent": lambda: classroom.max_pool_gradient(
        np.ones((1, 4, 4, 1)), 2, np.ones((1, 1, 1, 1))
    ),
    "avg-pool cotangent": lambda: classroom.avg_pool_gradient(
        np.ones((1, 4, 4, 1)), 2, np.ones((1, 1, 1, 1))
    ),
    "window": lambda: classroom.max_pool(np.ones((1, 2, 3, 1)), 3),
    "class ids": lambda: classroom.cross_entropy(np.ones((2, 2)), [0, 1]),
    "targets": lambda: classroom.cross_entropy_gradient(np.ones((1, 2)), [[1, 1]]),
    "rate": lambda: classroom.dropout([1.0], [1], 1.0),
    "mask": lambda: classroom.dropout([1.0, 2.0], [1], 0.5),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_raises(name):
    with pytest.raises(ValueError):  # noqa: PT011  each misfit has its own message
        MISFITS[name]()


# docs/products.md


def _rows(columns):
    """The cells of every table row with this many columns, headings and rulers left out."""
    lines = (ROOT / "docs" / "products.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in rows if len(row) == columns and row[1].startswith("`")]


INPUTS = {name.strip("`"): value.strip("`") for name, value in _rows(2)}
CALLS = [(call.strip("`"), printed) for _, call, printed in _rows(3)]


def _evaluate(expression, **names):
    return eval(expression, {"__builtins__": {}, "np": np, "scipy": scipy, **names})


def test_the_page_has_every_product():
    assert sorted(INPUTS) == ["A", "B", "w", "x"]
    calls = " ".join(call for call, _ in CALLS)
    for name in ("dot(", "@", "*", "outer(", "kron(", "khatri_rao(", "convolve(", "correlate(", "toeplitz("):
        assert name in calls


@pytest.mark.parametrize(("call", "printed"), CALLS)
def test_the_page_shows_what_the_calls_print(call, printed):
    inputs = {name: _evaluate(value) for name, value in INPUTS.items()}
    lines = str(_evaluate(call, **inputs)).splitlines()
    assert printed == "<br>".join(f"`{line}`" for line in lines)
