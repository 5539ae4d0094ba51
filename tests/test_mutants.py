"""Tests of the test: backends with one small mistake each must be caught, at the right tier and place.

The mutants are plugins in `tests/mutants/backends`: NumPy with one thing changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from lockstep.conformance import bits, reference, step_zero, verify
from lockstep.conformance.certificate import Certificate

FOLDER = Path(__file__).parent / "mutants"


class Expected(NamedTuple):
    tier: str
    line: str
    """The quantity that must be out of step, in the certificate."""
    place: tuple[str, str] | None = None
    """Layer and quantity that must be named as the first one out of step."""
    cause: str | None = None
    """What the likeliest cause must say; None: it must say nothing, rather than what is wrong."""
    also: tuple[str, ...] = ()
    """Other tiers that it may fall at, where T2 is the one that is meant for it."""


FIRST_STEP = "travel, first step"
LOSS = "the loss", "gradient by the logits"
MUTANTS = {
    "eps_1e_8": Expected("T2", "travel", ("Adam", FIRST_STEP), "eps is 1e-08, the run says 1e-07"),
    "paper_form": Expected("T2", "travel", ("Adam", FIRST_STEP), "the paper form has it"),
    "bias_correction_in_float32": Expected(
        "T2", "travel", ("Adam", FIRST_STEP), "the bias correction is computed in float32"
    ),
    "betas_in_float32": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, first step"), "b1 and b2 are rounded to float32"
    ),
    "learning_rate_in_float32": Expected(
        "T2", "travel", ("Adam", FIRST_STEP), "learning rate is rounded to float32"
    ),
    "scale_ignored": Expected("T2", "travel", ("Adam", FIRST_STEP), "the second scale is taken for 1"),
    "constants_of_its_own": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, first step"), "0.9, 0.999 and 1e-07, whatever the run"
    ),
    "moments_in_float32": Expected(
        "T2", "Adam's moments", ("Adam", "moment v, first step"), "moment v is kept in float32"
    ),
    "stale_gradient": Expected(
        "T2",
        "Adam's moments",
        ("train_steps", "training loss, several steps"),
        "applies the gradient of the step before",
    ),
    "gradients_add_up": Expected(
        "T2", "Adam's moments", ("train_steps", "training loss, several steps"), "nothing sets them to zero"
    ),
    "amsgrad": Expected(
        "T2",
        "Adam's moments",
        ("train_steps", "training loss, several steps"),
        "the largest so far (AMS",
    ),
    "weight_decay": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, first step"), "0.01 times the weights is added"
    ),
    "decoupled_weight_decay": Expected(
        "T2", "travel", ("Adam", FIRST_STEP), "multiplies the weights by 0.99999"
    ),
    "scales_of_the_first_call": Expected(
        "T2", "travel", ("Adam", "travel, load without moments"), "the scales of an earlier call of its size"
    ),
    "small_gradients_flushed": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, first step"), "numbers of a gradient up to"
    ),
    "gradients_clipped_by_norm": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, first step"), "clipped to a norm of 5"
    ),
    "gradients_clipped_by_value": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, first step"), "clipped to between -1 and 1"
    ),
    "relu_half_at_zero": Expected(
        "T1", "weight gradients", ("activation1", "gradient by its input"), "derivative at 0 is 0.5"
    ),
    "leaky_relu_one_at_zero": Expected(
        "T1", "weight gradients", ("activation1", "gradient by its input"), "derivative at 0 is 1"
    ),
    "leaky_relu_other_slope": Expected("T1", "logits", ("activation1", "output"), "slope below 0 is 0.3"),
    "pool_shares_ties": Expected(
        "T1", "input gradient", ("max_pool1", "gradient by its input"), "shares the gradient equally"
    ),
    "corners_without_gradient": Expected(
        "T1", "input gradient", ("conv1", "gradient by its input"), "24 of 6,272 numbers are 0"
    ),
    "flatten_channels_first": Expected("T1", "logits", ("flatten1", "output"), "channels first (CHW)"),
    "large_images_are_bytes": Expected(
        "T1", "logits", ("conv1", "output"), "its input is multiplied by 0.003922"
    ),
    "masks_not_rescaled": Expected("T1", "logits", ("dropout1", "output"), "not rescaled"),
    "padding_on_the_other_side": Expected("T1", "logits", ("conv2", "output"), "must stand after"),
    "padding_all_after": Expected("T1", "logits", ("conv1", "output"), "half of them must stand before"),
    "masks_swapped": Expected("T1", "logits", ("dropout2", "output")),
    "dropout_left_on": Expected(
        "T1", "logits", ("the whole network", "logits of vjp without dropout"), "dropout must be off"
    ),
    "pullback_of_the_latest": Expected(
        "T1", "input gradient", ("the whole network", "input gradient"), "that of the latest vjp"
    ),
    "noise_of_every_weight": Expected("T1", "loss_and_gradients"),
    "loss_is_a_sum": Expected("T1", "loss", LOSS, "summed over the batch"),
    "loss_in_bits": Expected("T1", "loss", LOSS, "in bits, not in nats"),
    "loss_is_told_otherwise": Expected("T1", "loss", ("the loss", "value"), "its gradients are in step"),
    "softmax_over_the_batch": Expected("T1", "loss", LOSS, "over the images of a batch, not over"),
    "softmax_overflows": Expected("T1", "loss", LOSS, "must subtract the largest logit first"),
    "logits_clipped": Expected("T1", "loss", LOSS, "logits are clipped to between -20 and 20"),
    "probabilities_clipped": Expected("T1", "loss", LOSS, "clipped to between 1e-07 and 1 - 1e-07"),
    "log_of_p_plus_eps": Expected("T1", "loss", LOSS, "log(p + 1e-12)"),
    "targets_in_sixteen_bits": Expected("T1", "loss", LOSS, "targets are rounded to float16"),
    "targets_clipped": Expected("T1", "loss", LOSS, "targets are clipped to between 0 and 1"),
    "single_image_squeezed": Expected("T2", "Adam's moments", ("Adam", "moment m, one image")),
    "mean_over_padded_batch": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, three images"), "the mean is taken over the padding too"
    ),
    "filled_up_with_repeats": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, three images"), "filled up with repeats of its images"
    ),
    "stale_moments": Expected(
        "T2", "Adam's moments", ("train_steps", "training loss, load without moments"), "must become zero"
    ),
    "noise_is_kept": Expected(
        "T2", "travel", ("train_steps", "training loss, weight noise"), "applied to weights + noise"
    ),
    "dropout_after_training": Expected(
        "T2", "logits", ("logits", "logits, after first step"), "off, after training too"
    ),
    # A network is also loaded with other weights before it is trained, where problems share a spec.
    "weights_of_the_first_call": Expected(
        "T2", "logits", ("logits", "logits, after first step"), "there before training", also=("T1",)
    ),
    "many_images_in_chunks": Expected(
        "T2", "logits", ("logits", "logits of 500 images, 1, after one image"), "shown 500 images at a time"
    ),
    "asking_trains": Expected(
        "T2",
        "nothing changed by questions",
        ("loss_and_gradients", "weights and moments, after first step"),
        "must change neither weights nor moments",
    ),
    "networks_share_weights": Expected(
        "T2",
        "logits",
        ("logits", "logits, the first of two networks"),
        "do not have weights of their own",
    ),
    "logits_written_over": Expected(
        "T2",
        "training loss",
        ("train_steps", "training loss, load without moments"),
        "the next call writes over",
    ),
    "logits_after_the_update": Expected(
        "T2", "training loss", ("train_steps", "training loss, first step"), "the logits of after the update"
    ),
    "masks_of_the_first_call": Expected(
        "T2",
        "training loss",
        ("train_steps", "training loss, load without moments"),
        "the masks of an earlier call of its size",
    ),
    "weight_noise_of_the_first_call": Expected(
        "T2",
        "training loss",
        ("train_steps", "training loss, load with moments"),
        "the weight noise of an earlier call of its size",
    ),
    "one_image_loses_its_axis": Expected(
        "T2", "logits", ("logits", "logits of 1 image, 1, after one image"), "shown 1 image at a time"
    ),
    "masks_of_the_first_chunk": Expected(
        "T2",
        "logits",
        ("logits", "logits with dropout of 500 images, 1, after one image"),
        "shown 500 images at a time",
    ),
    "images_known_by_address": Expected(
        "T2", "logits", ("logits", "logits of 1 image, 2, after one image"), "in the same array before"
    ),
    "layers_in_alphabetical_order": Expected("T1", "logits", ("dense10", "output")),
    "layers_alike_are_one": Expected("T1", "load, then dump", ("dense2", "output")),
    "weights_as_they_lie_in_memory": Expected(
        "T2", "training loss", ("train_steps", "training loss, load without moments"), "as they lie in memory"
    ),
    "moments_of_the_caller": Expected("T2", "load"),
    "targets_changed": Expected("T2", "train_steps"),
    "noise_twice": Expected("T1", "loss", ("the loss", "value with weight noise"), "noise is added twice"),
    "reduced_precision": Expected("T3", "logits", ("conv1", "output"), "TF32"),
    "moments_in_sixteen_bits": Expected("T4", "loss, nats, 100 steps"),
    "no_fence": Expected("T0", "work left after synchronize"),
    "vjp_in_chunks": Expected(
        "T2", "input gradient", ("vjp", "input gradient of 100 images, 1, after one image"), "100 images"
    ),
    "never_the_same": Expected("T0", "two processes, 20 steps"),
}


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """Small specs alone have to catch each mutant: the classroom's network takes most of the time."""
    small = {name: spec for name, spec in reference.ALL.items() if name != "classroom"}
    for module in (step_zero, verify):
        monkeypatch.setattr(module, "ALL", small)


def late(certificate: Certificate) -> set[tuple[str, str]]:
    return {(check.tier, check.quantity) for check in certificate.checks if check.verdict == "out of step"}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name, certify):
    expected = MUTANTS[name]
    certificate = certify(FOLDER, name, *(("T1", "T2") if expected.tier == "T2" else (expected.tier,)))
    assert certificate.falls_short
    assert (expected.tier, expected.line) in late(certificate)
    if expected.tier == "T2":
        others = {tier for tier, _ in late(certificate)} - {"T2", *expected.also}
        assert not others, "step 0 is right in this mutant"
    found = certificate.diagnosis
    if expected.place is None:
        return
    assert found is not None
    assert (found.layer, found.quantity) == expected.place
    assert expected.cause in found.cause if expected.cause else not found.cause


def test_every_mutant_is_under_test():
    assert {path.name for path in (FOLDER / "backends").iterdir() if (path / "backend.py").exists()} == set(
        MUTANTS
    )


def test_only_the_input_gradient_sees_how_a_pool_breaks_ties(certify):
    """Weight gradients do not notice, so a suite without input gradients would let it pass."""
    lines = late(certify(FOLDER, "pool_shares_ties", "T1"))
    assert lines == {("T1", "input gradient")}


def test_a_training_run_names_the_smaller_batch_that_it_parts_after(certify, monkeypatch):
    monkeypatch.setattr(bits, "SMOOTH_STEPS", 60)
    check, asked = certify(FOLDER, "filled_up_with_repeats", "T4").checks
    assert (check.verdict, asked.verdict) == ("out of step", "in step")
    assert check.note.endswith("on, after a batch of 44 images")


def test_a_device_without_float64_is_asked_after_training_too(certify, monkeypatch):
    """It has no T2."""
    monkeypatch.setattr(bits, "SMOOTH_STEPS", 4)
    assert late(certify(FOLDER, "dropout_after_training", "T4")) == {("T4", "logits after training")}


def test_a_device_without_float64_is_asked_for_large_logits_too(certify):
    certificate = certify(FOLDER, "softmax_overflows", "T3")
    assert ("T3", "loss") in late(certificate)
    assert "must subtract the largest logit first" in certificate.diagnosis.cause


def test_nothing_is_left_out_of_an_input_gradient_in_float32(certify):
    assert late(certify(FOLDER, "corners_without_gradient", "T3")) == {("T3", "input gradient")}


def test_attacks_take_more_images_than_a_small_batch(certify):
    lines = late(certify(FOLDER, "vjp_in_chunks", "T1", "T3", "T7"))
    assert {tier for tier, _ in lines} == {"T7"}
