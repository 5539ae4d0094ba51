"""What is measured inside a network, worked out again by hand with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from lockstep.backend import Backend
from lockstep.data.draws import Stream, dropout_masks, generator, initial_weights
from lockstep.discovery import find, load
from lockstep.evaluation import probabilities
from lockstep.inside import DRAWS, GRID, SAMPLES, SHARES, Inside
from lockstep.optimizer import Adam
from lockstep.spec import Layer, Spec

LAYER = TypeAdapter(Layer)
RATE = 0.3
LAYERS = [
    {"kind": "conv2d", "filters": 3, "kernel": 3},
    {"kind": "activation", "function": "relu"},
    {"kind": "flatten"},
    {"kind": "dense", "units": 40},
    {"kind": "activation", "function": "leaky_relu", "slope": 0.1},
    {"kind": "dropout", "rate": RATE},
    {"kind": "dense", "units": 4},
]


def make(spec: Spec) -> Backend:
    numpy = load(find("numpy"))
    return numpy(spec, Adam(), device="cpu", dtype="float64", threads=1, deterministic=True)


def network(layers: list[dict]) -> tuple[Spec, dict[str, np.ndarray]]:
    spec = Spec(input_shape=(6, 6, 1), layers=tuple(LAYER.validate_python(layer) for layer in layers))
    return spec, initial_weights(spec, 0, "float64")


def problem(count: int = 70) -> tuple[np.ndarray, np.ndarray]:
    draw = generator(0, Stream.PROBLEM)
    return draw.normal(size=(count, 6, 6, 1)), draw.integers(0, 4, count)


def value(rows: list, metric: str, condition: str) -> float:
    (found,) = (row for row in rows if (row["metric"], row["condition"]) == (metric, condition))
    return found["value"]


def features(spec: Spec, weights: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """The 40 hidden values that enter dropout."""
    hidden = make(spec.until("activation2"))
    hidden.load(weights)
    return hidden.logits(images)


def head(weights: dict[str, np.ndarray], hidden: np.ndarray) -> np.ndarray:
    return hidden @ weights["dense2/kernel"] + weights["dense2/bias"]


def test_a_unit_is_dead_when_it_is_zero_on_every_image():
    spec, weights = network(LAYERS)
    images, _ = problem()
    weights["conv1/bias"][:] = [-100, 0, 100]
    weights["dense1/bias"][:] = -100
    first, second = Inside(make, spec).activity(3, weights, images)
    assert (first.epoch, first.layer, first.function, first.units) == (3, "activation1", "relu", 3)
    assert first.dead == pytest.approx(1 / 3)
    assert 1 / 3 < first.zeros < 2 / 3  # the second channel is 0 here and there, the third nowhere
    assert (second.layer, second.function, second.units) == ("activation2", "leaky_relu 0.1", 40)
    assert (second.dead, second.zeros) == (0, 0)  # negative everywhere, and yet none is 0


def test_activity_is_that_of_the_weights_of_the_day():
    spec, weights = network(LAYERS)
    images, _ = problem()
    inside = Inside(make, spec)
    before = inside.activity(1, weights, images)[0].dead
    weights["conv1/bias"][:] = -100
    assert (before, inside.activity(2, weights, images)[0].dead) == (0, 1)


def test_sampled_subnetworks_are_averaged():
    spec, weights = network(LAYERS)
    images, labels = problem()
    rows = Inside(make, spec).subnetworks(weights, images, labels, seed=5)
    assert {row["n"] for row in rows} == {70}
    hidden, part = features(spec, weights, images), spec.part(5)[0]
    shares, logits = [], []
    for sample in range(1, max(SAMPLES) + 1):
        mask = dropout_masks(part, 5, sample, 70, Stream.SUBNETWORK)["dropout1"]
        logits.append(head(weights, hidden * mask / (1 - RATE)))
        shares.append(probabilities(logits[-1]))
    plain = head(weights, hidden)
    for count in SAMPLES:
        mean = np.mean(shares[:count], axis=0)
        error = np.linalg.norm(np.mean(logits[:count], axis=0) - plain) / np.linalg.norm(plain)
        assert value(rows, "accuracy", f"subnetworks={count}") == np.mean(mean.argmax(axis=1) == labels)
        expected = -np.log(mean[np.arange(70), labels]).mean()
        assert value(rows, "cross_entropy", f"subnetworks={count}") == pytest.approx(expected)
        assert value(rows, "expectation_error", f"subnetworks={count}") == pytest.approx(error)


def test_dropout_keeps_expectations():
    spec, weights = network(LAYERS)
    rows = Inside(make, spec).subnetworks(weights, *problem(), seed=0)
    one, fifty = (value(rows, "expectation_error", f"subnetworks={n}") for n in (1, 50))
    assert fifty == pytest.approx(one / np.sqrt(50), rel=0.2)


def test_expectations_are_lost_where_a_kink_follows_dropout():
    """The mean of relu is not relu of the mean: no number of samples comes near dropout off."""
    relu = {"kind": "activation", "function": "relu"}
    late = [*LAYERS[:3], LAYERS[5], LAYERS[3], relu, LAYERS[6]]
    spec, weights = network(late)
    rows = Inside(make, spec).subnetworks(weights, *problem(), seed=0)
    one, fifty = (value(rows, "expectation_error", f"subnetworks={n}") for n in (1, 50))
    assert fifty > 2 * one / np.sqrt(50)


def test_dropout_before_any_hidden_layer_samples_the_whole_network():
    early = [LAYERS[5], *LAYERS[:5], LAYERS[6]]
    spec, weights = network(early)
    images, labels = problem(20)
    rows = Inside(make, spec).subnetworks(weights, images, labels, seed=0)
    whole = make(spec)
    whole.load(weights)
    logits = whole.logits(images, dropout_masks(spec, 0, 1, 20, Stream.SUBNETWORK))
    assert value(rows, "accuracy", "subnetworks=1") == np.mean(logits.argmax(axis=1) == labels)


def test_knocked_out_units_are_zero_and_the_others_are_not_scaled():
    spec, weights = network(LAYERS)
    images, labels = problem()
    rows = Inside(make, spec).knockouts(weights, images, labels, seed=2)
    hidden = features(spec, weights, images)
    for share in SHARES:
        found = []
        for draw in range(DRAWS):
            gone = generator(2, Stream.KNOCKOUT, draw).permutation(40)[: round(40 * share)]
            kept = hidden.copy()
            kept[:, gone] = 0
            shares = probabilities(head(weights, kept))
            found.append(-np.log(shares[np.arange(70), labels]).mean())
        assert value(rows, "cross_entropy", f"knocked_out={share}") == pytest.approx(np.mean(found))


def test_few_units_are_not_knocked_out_in_tenths():
    few = [*LAYERS[:3], {"kind": "dense", "units": 9}, LAYERS[4], LAYERS[6]]
    spec, weights = network(few)
    assert Inside(make, spec).knockouts(weights, *problem(), seed=0) == []


def test_what_a_network_does_not_have_is_not_measured():
    spec, weights = network([{"kind": "flatten"}, {"kind": "dense", "units": 4}])
    images, labels = problem()
    inside = Inside(make, spec)
    assert inside.activity(1, weights, images) == []
    assert inside.subnetworks(weights, images, labels, 0) == []
    assert inside.knockouts(weights, images, labels, 0) == []
    assert list(inside.functions()) == ["z"]


def test_functions_are_the_backends_own():
    spec, _ = network(LAYERS)
    found = Inside(make, spec).functions()
    assert np.array_equal(found["z"], GRID)
    assert np.array_equal(found["relu/value"], np.maximum(GRID, 0))
    assert np.array_equal(found["relu/derivative"], GRID > 0)
    assert found["leaky_relu 0.1/value"] == pytest.approx(np.where(GRID > 0, GRID, 0.1 * GRID))
    assert found["leaky_relu 0.1/derivative"][GRID == 0] == pytest.approx(0.1)
