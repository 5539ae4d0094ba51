"""Shapes, parameters, FLOPs and receptive fields, against numbers worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.conformance.specs import SPECS
from lockstep.errors import LockstepError
from lockstep.layer_table import rows, totals
from lockstep.spec import Activation, Conv2D, Dense, Dropout, Flatten, MaxPool, Spec

CLASSROOM = SPECS["classroom"]


def test_the_classroom_network_by_hand():
    by_name = {node.name: node for node in CLASSROOM.nodes}
    assert {name: node.parameters for name, node in by_name.items() if node.parameters} == {
        "conv1": 832,
        "conv2": 51_264,
        "dense1": 1_049_600,
        "dense2": 10_250,
    }
    assert CLASSROOM.parameters == 1_111_946
    assert by_name["conv2"].formula == "5*5*32*64 + 64"
    assert by_name["max_pool2"].output_shape == (4, 4, 64)
    # Two operations per multiply-add: kernel elements x output pixels.
    assert CLASSROOM.flops == 2 * (25 * 32 * 24**2 + 25 * 32 * 64 * 8**2 + 1024 * 1024 + 1024 * 10)
    assert (by_name["max_pool1"].stride, by_name["max_pool1"].receptive_field) == (2, 6)
    assert (by_name["conv2"].stride, by_name["conv2"].receptive_field) == (2, 14)
    assert (by_name["max_pool2"].stride, by_name["max_pool2"].receptive_field) == (4, 16)
    assert by_name["dense1"].receptive_field is None


def test_the_layer_table_shows_them():
    text = "\n".join(" ".join(row) for row in rows(CLASSROOM))
    assert "5*5*32*64 + 64 = 51,264" in text
    assert "1,111,946 trainable parameters, 4.24 MB in float32; 9.59 MFLOP" in totals(CLASSROOM)


def test_inserting_a_dropout_renames_nothing():
    plain = Spec(input_shape=(4,), layers=(Dense(units=3), Dense(units=2)))
    dropped = Spec(input_shape=(4,), layers=(Dense(units=3), Dropout(rate=0.5), Dense(units=2)))
    assert plain.weights == dropped.weights


@given(size=st.integers(1, 40), kernel=st.integers(1, 9), stride=st.integers(1, 4))
def test_padding_follows_its_definition(size, kernel, stride):
    same = Conv2D(filters=1, kernel=kernel, stride=stride, padding="same")
    assert same.output_shape((size, size, 1))[0] == -(-size // stride)
    before, after = same.pads(size)
    assert 0 <= after - before <= 1
    full = Conv2D(filters=1, kernel=kernel, stride=stride, padding="full")
    assert full.output_shape((size, size, 1))[0] == -(-(size + kernel - 1) // stride)
    valid = Conv2D(filters=1, kernel=kernel, stride=stride)
    if kernel <= size:
        assert valid.output_shape((size, size, 1))[0] == len(range(0, size - kernel + 1, stride))
    else:
        with pytest.raises(LockstepError, match="larger than its input"):
            valid.output_shape((size, size, 1))


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((4, 4, 1), (Conv2D(filters=1, kernel=5),), "conv1: a 5x5 kernel is larger"),
        ((4, 4, 1), (MaxPool(size=5),), "max_pool1: a 5x5 window is larger"),
        ((4, 4, 1), (Dense(units=2),), "dense1: its input has the shape 4x4x1; .*put a flatten before"),
        ((16,), (Conv2D(filters=1, kernel=1),), "conv1: .*cannot follow flatten"),
    ],
)
def test_layers_that_do_not_fit_say_which_and_why(shape, layers, message):
    with pytest.raises(LockstepError, match=message):
        _ = Spec(input_shape=shape, layers=layers).nodes


def test_a_slope_belongs_to_leaky_relu():
    with pytest.raises(ValueError, match="slope"):
        Activation(function="relu", slope=0.1)
    with pytest.raises(ValueError, match="slope"):
        Activation(function="leaky_relu")


def test_until_ends_at_a_layer():
    tap = CLASSROOM.until("conv1")
    assert tap.output_shape == (24, 24, 32)
    with pytest.raises(LockstepError, match=r"no layer 'conv9'.*conv1"):
        CLASSROOM.until("conv9")
    assert Spec(input_shape=(2, 3, 4), layers=(Flatten(),)).output_shape == (24,)
