"""Every discovered backend is in step with NumPy in float64, repeats itself, and waits at the fence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lockstep.attacks.gradient import FGSM
from lockstep.conformance import attacks, bits, reference
from lockstep.conformance import digits as runs
from lockstep.conformance.bits import LEFT
from lockstep.conformance.certificate import QUICK, Pair, read, write
from lockstep.conformance.distance import distance, distance_of, travel_error
from lockstep.conformance.observe import observe
from lockstep.conformance.problem import BATCH, CALLS, RAGGED, STEPS, draw
from lockstep.conformance.reference import ALL, NUMPY
from lockstep.conformance.seeds import _check
from lockstep.conformance.specs import SMOOTH, SPECS
from lockstep.conformance.subject import Subject
from lockstep.conformance.travel import Band, _in_band, load, load_band, save, save_band
from lockstep.conformance.verify import Request, devices, verify
from lockstep.conformance.worker import THREADS, Here
from lockstep.optimizer import Adam
from lockstep.spec import KINDS

quick_and_attacks = pytest.mark.parametrize("tiers", [QUICK, ("T7",)], ids=["quick", "attacks"])


def out_of_step(backend: str, device: str, tiers: tuple[str, ...], digits) -> list[str]:
    certificate = verify(Request(backend, device, tiers), digits, None, lambda what: None)
    assert {check.tier for check in certificate.checks} == set(tiers)
    assert certificate.environment
    late = [
        f"{check.tier} {check.quantity}: {check.measured} > {check.limit} ({check.note})"
        for check in certificate.checks
        if check.verdict not in ("in step", "reported")
    ]
    return [*late, str(certificate.diagnosis)] if late else []


@quick_and_attacks
def test_in_step_with_the_reference(backend, tiers, digits):
    late = out_of_step(backend, "cpu", tiers, digits)
    assert not late, "\n".join(late)


@quick_and_attacks
def test_in_step_with_the_reference_on_a_gpu(backend, tiers, digits, worker):
    if "gpu" not in worker(backend, "float32").call(devices, backend):
        pytest.skip(f"{backend} has no GPU here")
    late = out_of_step(backend, "gpu", tiers, digits)
    assert not late, "\n".join(late)


def test_the_fence_waits_and_a_clock_without_it_would_lie(backend, digits, worker):
    """JAX returns before it has computed, on a CPU too: stopped then, a clock would miss nearly all."""
    found = worker(backend, "float32").call(runs.waiting, digits, runs.experiment("real", "float32"))
    assert found.after_synchronize <= LEFT
    if backend == "jax":
        assert found.after_call > found.after_synchronize


def test_a_run_in_pieces_ends_in_the_bits_of_a_whole_one(backend, digits, worker):
    """Pieces cut epochs and calls elsewhere; states go through dump and load."""
    run = runs.experiment("real", "float32")
    process, start = worker(backend, "float32"), runs.start(run)
    whole = process.call(runs.segment, digits, run, 1, 60, start)
    first = process.call(runs.segment, digits, run, 1, 25, start)
    second = process.call(runs.segment, digits, run, 26, 60, first.state)
    assert len(whole.losses) == 60
    np.testing.assert_array_equal(np.concatenate([first.losses, second.losses]), whole.losses)
    for name, value in whole.state.items():
        np.testing.assert_array_equal(second.state[name], value, err_msg=name)


def test_a_nudge_moves_one_weight_by_one_unit_in_the_last_place():
    run = runs.experiment("real", "float32")
    plain, nudged = runs.start(run), runs.start(run, nudge=0)
    moved = {name: np.flatnonzero(plain[name] != nudged[name]) for name in plain}
    ((name, places),) = ((name, places) for name, places in moved.items() if len(places))
    assert len(places) == 1
    before, after = plain[name].ravel()[places[0]], nudged[name].ravel()[places[0]]
    assert after == np.nextafter(before, np.float32(np.inf))
    other = runs.start(run, nudge=1)
    assert any((other[name] != nudged[name]).any() for name in plain), "each nudge moves another weight"


def test_distance_counts_what_it_should():
    reference = np.full(1000, 2.0)
    assert distance(reference, reference) == 0
    assert distance(reference * (1 + 1e-6), reference) == pytest.approx(1e-6)
    assert distance(reference[:10], reference) == np.inf
    assert distance(np.where(np.arange(1000) == 3, np.nan, reference), reference) == np.inf
    assert distance(np.full(4, 1e-9), np.zeros(4)) == pytest.approx(2e-9 / 1e-3)  # the floor of dead units
    few = np.where(np.arange(1000) < 5, 0, reference)
    assert distance(few, reference, exempt=0.005) == 0
    assert distance(few, reference, exempt=0.004) > 0.03


def test_a_quantity_of_coarse_arithmetic_alone_may_leave_pixels_out():
    reference = np.full(1000, 2.0)
    few = np.where(np.arange(1000) < 5, 0, reference)
    assert distance_of("input gradient", few, reference) > 0.03
    assert distance_of("input gradient", few, reference, coarse=True) == 0
    assert distance_of("logits", few, reference, coarse=True) > 0.03


@pytest.mark.parametrize(
    ("late", "images", "said"),
    [
        ([], [64, 64], ""),
        ([0, 1], [64, 64], "; from step 1 on"),
        ([2], [64, 64, 64], "; from step 3 on"),
        ([3], [64, 64, 32, 64], "; from step 4 on, after a batch of 32 images"),
    ],
)
def test_a_smooth_run_says_from_which_step_it_is_out_of_step(late, images, said):
    places = np.isin(np.arange(len(images)), late)
    assert bits.begins(places, np.array(images)) == said


def test_travel_error_by_hand():
    start, a, b = ({"w": np.array(w), "b": np.array([0.0])} for w in ([0.0, 0.0], [3.0, 4.5], [3.0, 4.0]))
    assert travel_error(a, b, start) == pytest.approx(0.5 / 5)


def test_every_kind_of_layer_is_under_test():
    used = {layer.kind for spec in SPECS.values() for layer in spec.layers}
    assert used == set(KINDS)


def test_the_smooth_network_has_no_kinks_and_the_same_weights():
    assert SMOOTH.weights == SPECS["classroom"].weights
    assert "max_pool" not in {layer.kind for layer in SMOOTH.layers}
    assert {layer.function for layer in SMOOTH.layers if layer.kind == "activation"} == {"swish"}


@pytest.mark.parametrize("name", ALL)
def test_problems_are_exact_in_float32_and_meet_the_kinks(name):
    problem = reference.problem(name)
    single = problem.astype("float32").astype("float64")
    for tensors in (problem.weights, problem.weight_noise):
        for key, value in tensors.items():
            assert value.any(), key
    for field in ("images", "targets", "cotangent"):
        np.testing.assert_array_equal(getattr(single, field), getattr(problem, field))
    for name, value in problem.weights.items():
        np.testing.assert_array_equal(single.weights[name], value)
    np.testing.assert_array_equal(problem.targets.sum(axis=-1), 1)
    assert (problem.images[:, ::2] == 0).any(), "an empty background puts activations at their kink"
    coarse = np.float16(problem.targets)
    assert (coarse != problem.targets).any(), "targets need more digits than float16 has"


@pytest.mark.parametrize("name", ALL)
def test_no_problem_has_a_tie_that_rounding_in_float32_decides(name):
    """So that nothing needs to be left out of an input gradient.

    Weights and pixels are moved by a few units in float32's last place, which is what its rounding does to
    sums of products.  Where two elements of a window nearly tie, or an activation is nearly at its kink,
    the gradient then jumps; elsewhere it changes by about as little.  Zeros stay zeros, so that ties of an
    empty background are exact before and after, and have a winner by the contract.
    """
    problem, before = reference.problem(name), reference.observation(name)
    gradients = [key for key in before if key.startswith("input gradient") and ": " not in key]
    for seed in range(5):
        rng = np.random.default_rng(seed)

        def move(value, rng=rng):
            return value * (1 + rng.uniform(-(2**-21), 2**-21, value.shape))

        weights = {key: move(value) for key, value in problem.weights.items()}
        moved = replace(problem, weights=weights, images=move(problem.images))
        after = NUMPY.call(observe, "numpy", ALL[name], moved, training=False).tensors
        for key in gradients:
            jump = np.abs(after[key] - before[key]).max() / np.abs(before[key]).max()
            assert jump < 1e-3, f"{key} jumps by {jump:.1e}: draw other weights"


def test_problems_of_large_numbers_are_as_large_as_they_say():
    spreads = {name: reference.observation(name)["logits"] for name in ("large logits", "huge logits")}
    assert 30 < np.abs(spreads["large logits"]).max() < 80, "far from 0, and float32 holds their exponentials"
    assert np.abs(spreads["huge logits"]).max() > 710, "no dtype holds their exponentials"
    norm, ordinary = (
        np.linalg.norm(reference.observation(name)["gradient dense1/kernel"])
        for name in ("large gradients", "no convolution")
    )
    assert norm == pytest.approx(128 * ordinary)
    images = reference.problem("images of 0 to 255").images
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_array_equal(images, np.rint(images))


def test_the_calls_of_a_problem_cover_its_steps_once():
    problem = draw(SPECS["no convolution"], 7)
    calls = dict(problem.calls(Adam()))
    assert {name: len(call[0]) for name, call in calls.items()} == CALLS
    scales = np.concatenate([call[3] for call in calls.values()])
    np.testing.assert_array_equal(scales, Adam().scales(1, STEPS))
    assert {name: call[0].shape[1] for name, call in calls.items() if name in RAGGED} == RAGGED
    assert all(BATCH % images for images in RAGGED.values() if images > 1), "repeats would keep the mean"
    assert [name for name, call in calls.items() if call[4]] == ["weight noise"]


def test_the_references_runs_survive_their_file():
    run = {3: {"dense1/kernel": np.ones((2, 2))}, 10: {"dense1/kernel": np.zeros((2, 2))}}
    assert load(save(run)).keys() == run.keys()
    again = load_band(save_band(Band(run, run, [{3: 0.5, 10: 0.25}])))
    assert again.lines == [{3: 0.5, 10: 0.25}]
    assert again.real.keys() == run.keys()
    np.testing.assert_array_equal(again.smooth[3]["dense1/kernel"], 1)


def test_long_runs_are_asked_in_float64_by_t5_and_in_float32_by_t8(digits):
    """A few steps of them: T5 has one run and no band, and NumPy is its own reference."""

    def found(backend: str, *tiers: str) -> tuple[dict[str, str], list[str]]:
        made = verify(Request(backend, tiers=tiers, steps=3), digits, None, lambda what: None)
        verdicts = {check.quantity: check.verdict for check in made.checks}
        return verdicts, [curve.label for curve in made.curves]

    assert found("torch", "T5") == ({"travel in float64, 3 steps": "in step"}, ["float64"])
    assert found("numpy", "T5") == ({"the reference itself": "reported"}, [])
    verdicts, curves = found("numpy", "T8")
    assert verdicts["travel in float32, 3 steps"] == "cannot tell", "the band needs 500 steps"
    assert "float64" not in curves
    assert "one ulp, 3" in curves


def test_a_run_beyond_the_band_is_out_of_step_and_a_short_one_cannot_tell():
    inside, beyond = _in_band(0.29, 0.1, 500), _in_band(0.31, 0.1, 500)
    assert (inside.verdict, beyond.verdict) == ("in step", "out of step")
    assert _in_band(0.31, 0.1, 499).verdict == "cannot tell"
    assert _in_band(float("nan"), 0.1, 10).verdict == "out of step", "a run that diverged is none to wait for"


def pairs(differences: list[float]) -> list[Pair]:
    return [
        Pair(seed=seed, accuracy=(0.9, 0.9 + d), cross_entropy=(0.3, 0.3 + d), churn=0.0)
        for seed, d in enumerate(differences)
    ]


@pytest.mark.parametrize(
    ("differences", "verdict", "note"),
    [
        ([0.001, -0.001] * 4, "in step", "needed: 8 pairs"),
        ([0.011, 0.009] * 4, "out of step", "8 pairs, 90 % interval"),
        ([0.001, -0.001] * 3, "cannot tell", "needed: 8 pairs"),
        ([0.01, -0.01] * 4, "cannot tell", "needed: 312 pairs"),
        ([0.0] * 8, "cannot tell", "no spread"),
    ],
)
def test_accuracies_are_equal_different_or_nobody_can_tell(differences, verdict, note):
    check = _check("accuracy", pairs(differences))
    assert check.verdict == verdict
    assert note in check.note
    assert check.limit == pytest.approx(0.2)


@pytest.fixture
def weak(monkeypatch) -> None:
    """T7 in a moment, with an attack that does nothing."""
    monkeypatch.setattr(attacks, "STEPS", 2)
    monkeypatch.setattr(attacks, "ATTACKS", {"FGSM": FGSM(0)})


def test_an_attack_that_does_nothing_shows_nothing(weak, digits):
    """Images that nobody changed are the same everywhere; others are out of step all the same."""
    here = {("float32", THREADS): Here("numpy", "float32")}
    subject = Subject("numpy", "cpu", digits, lambda what: None, here)
    reference = attacks.made(digits, lambda what: None)
    checks = attacks.measure(subject, reference)
    assert {(check.verdict, check.measured) for check in checks} == {("cannot tell", 0)}
    assert "the attack turned 0 of 100 digits" in checks[0].note
    moved = reference | {"FGSM": reference["FGSM"] + np.float32(0.01)}
    verdicts = {check.quantity: check.verdict for check in attacks.measure(subject, moved)}
    assert verdicts["share of FGSM images that differ"] == "out of step"


def test_what_the_reference_crafted_is_read_from_its_file(weak, digits, tmp_path, monkeypatch):
    def certificate():
        monkeypatch.setattr("lockstep.conformance.verify._made", {})  # as in another process
        return verify(Request("numpy", tiers=("T7",)), digits, tmp_path, lambda what: None)

    first = certificate()
    monkeypatch.delattr(attacks, "made")
    assert certificate().checks == first.checks
    write(tmp_path / "attacks.json", [first])
    assert read(tmp_path / "attacks.json") == [first]
