"""Tests of the test: backends with one small mistake each must be caught, at the right tier and place.

The mutants are plugins in `tests/mutants/backends`: NumPy with one thing changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from lockstep.conformance.certificate import Certificate

FOLDER = Path(__file__).parent / "mutants"


class Expected(NamedTuple):
    tier: str
    line: str
    """The quantity that must be out of step, in the certificate."""
    place: tuple[str, str] | None = None
    """Layer and quantity that must be named as the first one out of step."""
    cause: str = ""
    """What the likeliest cause must say."""


MUTANTS = {
    "eps_1e_8": Expected("T2", "travel", ("Adam", "travel, first step"), "eps is 1e-08"),
    "paper_form": Expected("T2", "travel", ("Adam", "travel, first step"), "paper form"),
    "bias_correction_in_float32": Expected(
        "T2", "travel", ("Adam", "travel, first step"), "bias correction is computed in float32"
    ),
    "betas_in_float32": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, first step"), "b1 is rounded to float32"
    ),
    "learning_rate_in_float32": Expected(
        "T2", "travel", ("Adam", "travel, first step"), "learning rate is rounded to float32"
    ),
    "relu_half_at_zero": Expected(
        "T1", "weight gradients", ("activation1", "gradient by its input"), "derivative at 0 is 0.5"
    ),
    "leaky_relu_one_at_zero": Expected(
        "T1", "weight gradients", ("activation1", "gradient by its input"), "derivative at 0 is 1"
    ),
    "leaky_relu_other_slope": Expected("T1", "logits", ("activation1", "output"), "slope below 0 is 0.3"),
    "pool_shares_ties": Expected(
        "T1", "input gradient", ("max_pool2", "gradient by its input"), "shares the gradient equally"
    ),
    "flatten_channels_first": Expected("T1", "logits", ("flatten1", "output"), "channels first (CHW)"),
    "masks_not_rescaled": Expected("T1", "logits", ("dropout1", "output"), "not rescaled"),
    "padding_on_the_other_side": Expected("T1", "logits", ("conv2", "output"), "must stand after"),
    "padding_all_after": Expected("T1", "logits", ("conv1", "output"), "half of them must stand before"),
    "scale_ignored": Expected("T2", "travel", ("Adam", "travel, first step")),
    "constants_of_its_own": Expected("T2", "Adam's moments", ("Adam", "moment m, first step")),
    "masks_swapped": Expected("T1", "logits", ("dropout2", "output")),
    "dropout_left_on": Expected(
        "T1", "logits", ("the whole network", "logits of vjp without dropout"), "dropout must be off"
    ),
    "single_image_squeezed": Expected("T2", "Adam's moments", ("Adam", "moment m, smaller batch")),
    "mean_over_padded_batch": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, smaller batch"), "may be padded"
    ),
    "stale_moments": Expected(
        "T2", "Adam's moments", ("Adam", "moment m, load without moments"), "must become zero"
    ),
    "noise_is_kept": Expected(
        "T2", "travel", ("train_steps", "loss, weight noise"), "update applied to the weights"
    ),
    "loss_is_a_sum": Expected("T1", "loss", ("dense2", "gradient of kernel"), "summed over the batch"),
    "reduced_precision": Expected("T3", "logits", ("conv1", "output"), "TF32"),
    "moments_in_sixteen_bits": Expected("T4", "loss, nats, 100 steps"),
    "no_fence": Expected("T0", "work left after synchronize"),
    "vjp_in_chunks": Expected("T7", "share of gradient signs that differ"),
    "never_the_same": Expected("T0", "two processes, 20 steps"),
}


def late(certificate: Certificate) -> set[tuple[str, str]]:
    return {(check.tier, check.quantity) for check in certificate.checks if check.verdict == "out of step"}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name, certify):
    expected = MUTANTS[name]
    certificate = certify(FOLDER, name, *(("T1", "T2") if expected.tier == "T2" else (expected.tier,)))
    assert certificate.falls_short
    assert (expected.tier, expected.line) in late(certificate)
    if expected.tier == "T2":
        assert not any(tier == "T1" for tier, _ in late(certificate)), "step 0 is right in this mutant"
    found = certificate.diagnosis
    if expected.place is None:
        return
    assert found is not None
    assert (found.layer, found.quantity) == expected.place
    assert expected.cause in found.cause


def test_every_mutant_is_under_test():
    assert {path.name for path in (FOLDER / "backends").iterdir() if (path / "backend.py").exists()} == set(
        MUTANTS
    )


def test_only_the_input_gradient_sees_how_a_pool_breaks_ties(certify):
    """Weight gradients do not notice, so a suite without input gradients would let it pass."""
    lines = late(certify(FOLDER, "pool_shares_ties", "T1"))
    assert lines == {("T1", "input gradient")}


def test_only_attacks_take_more_images_than_a_small_batch(certify):
    lines = late(certify(FOLDER, "vjp_in_chunks", "T1", "T3", "T7"))
    assert {tier for tier, _ in lines} == {"T7"}
