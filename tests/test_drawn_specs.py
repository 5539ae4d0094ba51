"""The specs under test are drawn, not only chosen: small networks that nobody picked are held to tier T1.

LOCKSTEP_EXAMPLES=200 makes so many draws for each backend instead of a few, and other ones every time.
"""

from __future__ import annotations

import importlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lockstep import discovery
from lockstep.conformance import problem as problems
from lockstep.conformance.distance import distance_of
from lockstep.conformance.observe import observe
from lockstep.conformance.problem import Problem, Tensors
from lockstep.conformance.step_zero import LIMITS, MISSING
from lockstep.conformance.worker import Here, Worker
from lockstep.discovery import REFERENCE
from lockstep.errors import LockstepError
from lockstep.spec import (
    KINDS,
    RANK,
    Activation,
    AvgPool,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Function,
    MaxPool,
    Padding,
    Spec,
)

EXAMPLES = int(os.environ.get("LOCKSTEP_EXAMPLES", "0"))
few_or_many = settings(
    max_examples=EXAMPLES or 12,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),  # explaining a failure would compile many more specs
)

CONVOLUTIONS = st.builds(
    Conv2D,
    filters=st.integers(1, 4),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.sampled_from(get_args(Padding)),
)
DENSE = st.builds(Dense, units=st.integers(1, 12))
# Float32 holds none of these slopes and rates: a float64 run shows it where a backend keeps one there.
# A rate of 0.9 would make inputs ten times as large: tanh saturates, and 1 - tanh² has few true digits left.
BETWEEN = st.lists(
    st.one_of(
        st.builds(Activation, function=st.sampled_from(["relu", "swish", "tanh"])),
        st.builds(Activation, function=st.just("leaky_relu"), slope=st.sampled_from([0.1, 0.01, 1.3, -0.2])),
        st.builds(Dropout, rate=st.sampled_from([0.1, 0.3, 0.6])),
        st.builds(MaxPool, size=st.integers(2, 3)),
        st.builds(AvgPool, size=st.integers(2, 3)),
    ),
    max_size=3,
)
IMAGES = st.builds(
    lambda sides, channels: (*sides[:2], channels), st.permutations(range(5, 15)), st.integers(1, 3)
)
VECTORS = st.tuples(st.integers(1, 14))


@st.composite
def specs(draw) -> Spec:
    """One in six starts from a vector, and one in four ends early: at any layer, as a spec may."""

    def blocks(heads) -> list:
        return [
            layer
            for _ in range(draw(st.sampled_from([0, 1, 2, 2])))
            for layer in (draw(heads), *draw(BETWEEN))
        ]

    shape = draw(VECTORS if draw(st.integers(0, 5)) == 5 else IMAGES)
    classes = Dense(units=draw(st.integers(2, 11)))
    layers: tuple = ()
    for layer in [*draw(BETWEEN), *blocks(CONVOLUTIONS), Flatten(), *blocks(DENSE), classes]:
        with suppress(LockstepError):  # a layer that does not fit is left out, so no draw is thrown away
            _ = Spec(input_shape=shape, layers=(*layers, layer)).nodes
            layers = *layers, layer
    ends_early = draw(st.integers(0, 3)) == 3
    end = draw(st.integers(1, len(layers))) if ends_early else len(layers)
    return Spec(input_shape=shape, layers=layers[:end])


# A list, because from its tenth example on hypothesis prefers variations of what it has drawn before.
@few_or_many
@given(st.lists(st.tuples(specs(), st.integers(0, 999)), min_size=1, max_size=4))
def test_in_step_on_drawn_specs(backend, worker, drawn):
    for spec, seed in drawn:
        wrong = out_of_step(worker(backend, "float64"), spec, seed)
        assert not wrong, "\n".join([f"{backend}, {spec!r}, seed {seed}:", *wrong])


@cache  # hypothesis repeats itself
def out_of_step(process: Worker, spec: Spec, seed: int) -> list[str]:
    """Why the backend stopped, or the quantities that are too far away, each on one line."""
    problem = problems.draw(spec, seed)
    found = process.call(observe, process.backend, spec, problem, training=False)
    if found.stop:
        return [str(found.stop)]
    wrong = []
    for quantity, right in expected(process.backend, spec, problem).items():
        far = distance_of(quantity, found.tensors.get(quantity, MISSING), right)
        if not far <= (0 if quantity.startswith("dump ") else LIMITS["T1"]):
            wrong.append(f"{quantity}: {far:.1e}")
    return wrong


def expected(backend: str, spec: Spec, problem: Problem) -> Tensors:
    """What NumPy computes; for NumPy itself, what it would with the classroom's definitions as its layers."""
    with pytest.MonkeyPatch.context() as patch:
        if backend == REFERENCE:
            patch.setattr(plugin, "layers", DEFINITIONS)
        found = Here(REFERENCE, "float64").call(observe, REFERENCE, spec, problem, training=False)
    assert found.stop is None, found.stop
    return found.tensors


discovery.load(discovery.find(REFERENCE))  # its folder becomes a package
plugin, layers, classroom = (
    importlib.import_module(f"lockstep_backend_numpy{part}") for part in ("", ".layers", ".classroom.layers")
)


def with_pullback(forward: Callable, backward: Callable) -> Callable:
    """A layer as the NumPy backend calls it."""
    return lambda *inputs: (forward(*inputs), lambda cotangent: backward(cotangent, *inputs))


def conv2d(x, kernel, bias, pads, stride):
    def pullback(cotangent, wants_input):
        by_x, by_kernel, by_bias = classroom.conv2d_gradients(x, kernel, cotangent, pads, stride)
        return by_x, {"kernel": by_kernel, "bias": by_bias}

    return classroom.conv2d(x, kernel, bias, pads, stride), pullback


def pool(name: str) -> Callable:
    gradient = getattr(classroom, f"{name}_gradient")
    return with_pullback(getattr(classroom, name), lambda c, x, size: gradient(x, size, c))


def activation(name: str) -> Callable:
    derivative = getattr(classroom, f"{name}_derivative")
    return with_pullback(getattr(classroom, name), lambda c, *inputs: c * derivative(*inputs))


DEFINITIONS = SimpleNamespace(
    conv2d=conv2d,
    dense=layers.dense,  # is its own definition
    dropout=with_pullback(classroom.dropout, lambda c, x, mask, rate: classroom.dropout(c, mask, rate)),
    cross_entropy=lambda *inputs: (
        classroom.cross_entropy(*inputs),
        classroom.cross_entropy_gradient(*inputs),
    ),
    **{name: pool(name) for name in ("max_pool", "avg_pool")},
    **{name: activation(name) for name in get_args(Function)},
)


def traits(spec: Spec) -> Iterator[str]:
    if len(spec.input_shape) == 1:
        yield "starts from a vector"
    if len(spec.output_shape) == 3:
        yield "ends with an image"
    for node in spec.nodes:
        shape = node.input_shape
        yield f"{node.layer.kind} of {'a vector' if len(shape) == 1 else 'an image'}"
        match node.layer:
            case Conv2D(kernel=kernel, stride=stride, padding=padding):
                yield f"{padding} padding with stride {stride}"
                yield f"{padding} padding with kernel {kernel}"
                yield f"convolution of {shape[-1]} channels"
                if kernel > min(shape[:2]):
                    yield "kernel wider than its input"
            case MaxPool(size=size) | AvgPool(size=size) if any(side % size for side in shape[:2]):
                yield f"{node.layer.kind} that leaves rows over"
            case Activation(function=function, slope=slope):
                yield function
                if slope is not None and float(np.float32(slope)) != slope:
                    yield "slope that float32 rounds"
            case Dropout(rate=rate) if float(np.float32(rate)) != rate:
                yield "rate that float32 rounds"


TRAITS = {
    *("starts from a vector", "ends with an image", "kernel wider than its input"),
    *("slope that float32 rounds", "rate that float32 rounds", *get_args(Function)),
    *(f"{kind} of an image" for kind in KINDS if kind != "dense"),
    *(f"{kind} of a vector" for kind in KINDS if kind not in RANK or kind == "dense"),
    *(f"{padding} padding with stride {n}" for padding in get_args(Padding) for n in (1, 2, 3)),
    *(f"{padding} padding with kernel {n}" for padding in get_args(Padding) for n in (1, 2, 3, 4, 5)),
    *(f"convolution of {n} channels" for n in (1, 2, 3)),
    *(f"{pool} that leaves rows over" for pool in ("max_pool", "avg_pool")),
}


def test_nothing_that_a_spec_can_have_is_rarely_drawn():
    seen: Counter[str] = Counter()

    @settings(max_examples=400, derandomize=True, deadline=None, database=None)
    @given(st.lists(specs(), min_size=1, max_size=4))
    def count(drawn):
        for spec in drawn:
            seen.update(set(traits(spec)))

    count()
    rare = {trait: seen[trait] for trait in TRAITS if seen[trait] < 4}
    assert not rare, rare
