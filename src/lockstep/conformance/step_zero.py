"""T1, T2 and T3: every quantity of a backend on small problems, against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isinf

import numpy as np

from lockstep.conformance import mistakes, reference
from lockstep.conformance.certificate import Check, Diagnosis
from lockstep.conformance.distance import distance_of, what_is_wrong
from lockstep.conformance.localise import localise
from lockstep.conformance.observe import ADAM, Observation, observe
from lockstep.conformance.problem import Tensors
from lockstep.conformance.reference import ALL, NUMPY
from lockstep.conformance.specs import TRAINED
from lockstep.conformance.subject import Subject
from lockstep.conformance.worker import Make, Stop, Stopped
from lockstep.spec import Spec

LIMITS = {"T1": 1e-12, "T2": 1e-12, "T3": 1e-5}
WIDEST = 0.2
"""Of any limit: a wrong layer shall not pass as rounding, however coarse."""
MISSING = np.array(np.nan)

LINES = {
    "dump ": "load, then dump",
    "logits": "logits",
    "loss: ": "training loss",
    "loss": "loss",
    "gradient": "weight gradients",
    "input gradient": "input gradient",
    "moment ": "Adam's moments",
    "travel: ": "travel",
}
"""{how the name of a quantity starts: the line of the certificate that it counts for}."""


@dataclass
class Found:
    """What one dtype's problems gave."""

    checks: list[Check]
    diagnosis: Diagnosis | None = None
    stopped: bool = False


def compare(subject: Subject, dtype: str, tiers: Sequence[str]) -> Found:
    """The specs from easy to hard, until the backend does not answer; T2 is part of float64."""
    if not tiers:
        return Found([])
    lines: dict[tuple[str, str], Check] = {}
    diagnosis = None
    for name in ALL:
        subject.advance(f"{dtype}: {name}")
        training = "T2" in tiers and dtype == "float64" and name in TRAINED
        try:
            found = _observe(subject, dtype, name, training)
        except Stopped as error:
            found = Observation({}, error.stop)
        right = reference.observation(name)
        late = []
        wide, ended = subject.allowance, found.stop is not None
        for check, quantity in _checks(name, found.tensors, right, dtype, training, ended, wide):
            if check.tier not in tiers:
                continue
            if check.verdict == "out of step":
                late.append(quantity)
            line = check.tier, check.quantity
            if line not in lines or _worse(check, lines[line]):
                lines[line] = check
        if late and diagnosis is None:
            with suppress(Stopped):  # a backend that cannot be asked for parts of a spec keeps its lines
                diagnosis = _diagnose(subject, dtype, name, late[0], found.tensors, right)
        if found.stop:
            end = stopped(found.stop, tiers[0], f" [spec {name!r}, {dtype}]")
            return Found([*lines.values(), end], diagnosis, stopped=True)
    return Found(list(lines.values()), diagnosis)


def _observe(subject: Subject, dtype: str, name: str, training: bool) -> Observation:
    problem, adam = reference.problem(name).astype(dtype), TRAINED.get(name, ADAM)
    worker = subject.worker(dtype)
    return worker.call(observe, subject.backend, ALL[name], problem, training, adam)


def _checks(
    spec: str,
    measured: Tensors,
    right: Tensors,
    dtype: str,
    training: bool,
    stopped: bool,
    allowance: float = 1.0,
) -> Iterator[tuple[Check, str]]:
    for quantity, expected in right.items():
        trained = is_training(quantity)
        if (trained and not training) or (stopped and quantity not in measured):
            continue
        tier = "T3" if dtype == "float32" else "T2" if trained else "T1"
        line = next(text for start, text in LINES.items() if quantity.startswith(start))
        limit = 0.0 if line == LINES["dump "] else min(LIMITS[tier] * allowance, WIDEST)
        value = measured.get(quantity, MISSING)
        far = distance_of(quantity, value, expected)
        problem = f": {what_is_wrong(value, expected)}" if quantity in measured else ": missing"
        yield (
            Check(
                tier=tier,
                quantity=line,
                measured=None if isinf(far) else far,
                limit=limit,
                verdict="in step" if far <= limit else "out of step",
                note=f"worst: {quantity}, spec {spec!r}" + (problem if isinf(far) else ""),
            ),
            quantity,
        )


def is_training(quantity: str) -> bool:
    return ": " in quantity


def _worse(check: Check, other: Check) -> bool:
    def size(check: Check) -> float:
        return np.inf if check.measured is None else check.measured

    return size(check) > size(other)


def stopped(stop: Stop, tier: str, where: str = "") -> Check:
    """The line for a backend that did not answer."""
    return Check(
        tier=tier,
        quantity=stop.call,
        measured=None,
        verdict="not yet" if stop.unwritten else "out of step",
        note=stop.reason + where,
    )


def _diagnose(
    subject: Subject, dtype: str, name: str, quantity: str, measured: Tensors, right: Tensors
) -> Diagnosis:
    """`quantity` is the first one out of step, in the order in which they depend on each other."""
    if is_training(quantity):
        kind, stage = quantity.split(": ")
        found, expected = ({k: t.get(f"{k}: {stage}", MISSING) for k in KINDS} for t in (measured, right))
        cause = mistakes.of_training(stage, kind, found, expected, TRAINED[name])
        layer = "train_steps" if kind == "loss" else "Adam"
        return Diagnosis(spec=name, layer=layer, quantity=f"{kind}, {stage}", cause=cause)
    limit = min(LIMITS["T3" if dtype == "float32" else "T1"] * subject.allowance, WIDEST)
    place = localise(subject.worker(dtype), NUMPY, ALL[name], reference.problem(name), limit)
    if place is None:
        cause = WHOLE.get(quantity, "")
        return Diagnosis(spec=name, layer="the whole network", quantity=quantity, cause=cause)
    cause = mistakes.likeliest(place, _convolve)
    return Diagnosis(spec=name, layer=place.node.name, quantity=place.quantity, cause=cause)


KINDS = ("loss", "moment m", "moment v", "travel")
WHOLE = {
    "input gradient, second call": "the pullback gives another answer when it is called again",
    "logits": "without masks, dropout must be off",
    "logits of vjp without dropout": "without masks, dropout must be off",
    "logits of vjp": "vjp runs another forward pass than logits with masks",
    "loss": "the loss is not the mean cross-entropy in nats of the logits with masks",
    "loss with weight noise": "noise is not added to the weights that the loss is taken at",
}
"""Likeliest causes where every layer in its place is in step."""


def _convolve(spec: Spec, weights: Tensors, images: np.ndarray) -> np.ndarray:
    def logits(make: Make) -> np.ndarray:
        backend = make(spec, ADAM)
        backend.load(weights)
        return backend.logits(images)

    return NUMPY.call(logits)
