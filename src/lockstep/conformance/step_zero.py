"""T1, T2 and T3: every quantity of a backend on small problems, against the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isinf, prod

import numpy as np

from lockstep.conformance import mistakes, reference, training_mistakes
from lockstep.conformance.certificate import Check, Diagnosis
from lockstep.conformance.distance import COARSE_PIXELS, OF_TRAINING, distance, distance_of, what_is_wrong
from lockstep.conformance.localise import localise
from lockstep.conformance.observe import ADAM, ROUNDS, Observation, asked_before, observe
from lockstep.conformance.problem import Problem, Tensors
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
    "training loss": "training loss",
    "loss": "loss",
    "gradient": "weight gradients",
    "input gradient": "input gradient",
    "moment ": "Adam's moments",
    "travel: ": "travel",
    "change by ": "nothing changed by questions",
}
"""{how the name of a quantity starts: the line of the certificate that it counts for}."""
EXACT = (LINES["dump "], LINES["change by "])


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
            trained = found.stop.call == "train_steps" or any(map(is_training, found.tensors))
            tier = "T2" if trained and "T2" in tiers else tiers[0]
            end = stopped(found.stop, tier, f" [spec {name!r}, {dtype}]")
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
        limit = 0.0 if line in EXACT else min(LIMITS[tier] * allowance, WIDEST)
        value = measured.get(quantity, MISSING)
        far = distance_of(quantity, value, expected, allowance > 1)
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
    spec, problem, adam = ALL[name], reference.problem(name), TRAINED.get(name, ADAM)
    kind, _, stage = quantity.partition(": ")
    if kind in OF_TRAINING:
        cause = NUMPY.call(training_mistakes.likeliest, spec, problem, adam, quantity, measured, right)
        layer = "train_steps" if kind == OF_TRAINING[0] else "Adam"
        where = "" if kind == OF_TRAINING[0] else _weights_off(spec, measured[quantity], right[quantity])
        return Diagnosis(spec=name, layer=layer, quantity=f"{kind}, {stage}", weights=where, cause=cause)
    if stage:
        return _of_later_answer(name, quantity, measured, right)
    limit = min(LIMITS["T3" if dtype == "float32" else "T1"] * subject.allowance, WIDEST)
    exempt = COARSE_PIXELS if subject.allowance > 1 else 0.0
    place = localise(subject.worker(dtype), NUMPY, spec, problem, limit, exempt)
    if place is None:
        cause = _of_the_whole(spec, problem, quantity, measured, right, limit)
        if quantity.startswith("loss"):
            return Diagnosis(
                spec=name, layer="the loss", quantity=quantity.replace("loss", "value"), cause=cause
            )
        return Diagnosis(spec=name, layer="the whole network", quantity=quantity, cause=cause)
    cause = mistakes.likeliest(place, _convolve)
    return Diagnosis(spec=name, layer=place.where, quantity=place.quantity, cause=cause)


def _of_the_whole(
    spec: Spec, problem: Problem, quantity: str, measured: Tensors, right: Tensors, limit: float
) -> str:
    """The likeliest cause where every layer in its place is in step; each is ruled in by another quantity."""

    def right_is(other: str) -> bool:
        return distance_of(other, measured.get(other, MISSING), right[other]) <= limit

    gradients = [name for name in right if name.startswith("gradient ") and not is_training(name)]
    match quantity:
        case "logits" | "logits of vjp without dropout" if spec.dropouts and right_is(MASKED[quantity]):
            return "without masks, dropout must be off"
        case "logits of vjp" if right_is("logits with dropout" if spec.dropouts else "logits"):
            return "vjp runs another forward pass than logits with masks"
        case "input gradient":
            latest = right["input gradient without dropout"]
            if distance_of(quantity, measured[quantity], latest) <= limit:
                return "a pullback is that of the latest vjp: it must stay that of its own images"
        case "input gradient, second call" if right_is("input gradient"):
            return "the pullback gives another answer when it is called again"
        case "loss" if all(right_is(name) for name in gradients):
            return "its gradients are in step: the number alone is not the mean cross-entropy in nats"
        case "loss with weight noise" if right_is("loss"):
            return _of_noise(spec, problem, float(measured[quantity]), limit)
    return ""


def _of_noise(spec: Spec, problem: Problem, measured: float, limit: float) -> str:
    """What else than once the noise may have been added to the weights that a loss is taken at."""

    def loss(make: Make, factor: float) -> float:
        backend = make(spec, ADAM)
        backend.load(problem.weights)
        noise = {name: factor * draw for name, draw in problem.step_noise(0).items()}
        return backend.loss_and_gradients(problem.images[0], problem.targets[0], None, noise)[0]

    for text, factor in {"ignored": 0, "added twice": 2, "subtracted": -1}.items():
        if abs(NUMPY.call(loss, factor) - measured) <= limit * abs(measured):
            return f"weight noise is {text}"
    return ""


def _weights_off(spec: Spec, measured: np.ndarray, right: np.ndarray) -> str:
    """Of a vector of all weights: those out of step, and the worst; "" where there is no telling."""
    if measured.shape != right.shape or not np.isfinite(measured).all():
        return ""
    ends = np.cumsum([prod(shape) for shape in spec.weights.values()])[:-1]
    parts = zip(spec.weights, np.split(measured, ends), np.split(right, ends), strict=True)
    far = {name: distance(found, expected, floor=1e-300) for name, found, expected in parts}
    late = [name for name in far if far[name] > LIMITS["T2"]]
    worst = max(far, key=lambda name: far[name])
    if late == [worst]:
        return f"{worst} alone"
    return f"{'all' if len(late) == len(far) else len(late)} weights, most in {worst}"


def _of_later_answer(name: str, quantity: str, measured: Tensors, right: Tensors) -> Diagnosis:
    """Of a question that was answered right before training."""
    kind, _, stage = quantity.partition(": ")
    spec, problem = ALL[name], reference.problem(name)
    if kind.startswith("change by "):
        call, cause = kind.removeprefix("change by "), "asking must change neither weights nor moments"
        return Diagnosis(spec=name, layer=call, quantity=f"weights and moments, {stage}", cause=cause)
    call = "loss_and_gradients" if kind.startswith(("loss", "gradient")) else "logits"
    layer = "vjp" if "vjp" in kind or kind.startswith("input gradient") else call
    return Diagnosis(
        spec=name,
        layer=layer,
        quantity=f"{kind}, {stage}",
        cause=_later_cause(spec, problem, quantity, measured, right),
    )


def _later_cause(spec: Spec, problem: Problem, quantity: str, measured: Tensors, right: Tensors) -> str:
    kind, _, stage = quantity.partition(": ")
    found, expected = measured.get(quantity, MISSING), right[quantity]
    if "of two networks" in stage:
        return "two networks of one process do not have weights of their own"
    step = ROUNDS.get(stage.removeprefix("after "))
    if step is not None and found.shape == expected.shape:
        old = NUMPY.call(asked_before, spec, problem, step)
        # Rounds are far apart, so an answer of the old weights is one to all digits.
        if kind in old and distance_of(quantity, found, old[kind]) <= LIMITS["T2"]:
            return "it answers with the weights that were there before training: its first call keeps them"
    if crowd := re.search(r" of (\d+ images?), (\d)$", kind):
        if crowd[2] == "1":
            return f"it answers otherwise when it is shown {crowd[1]} at a time"
        before = f"{kind[:-1]}1: {stage}"
        if distance_of(quantity, found, right[before]) <= LIMITS["T2"]:
            return "it answers about what stood in the same array before: images must be read at each call"
    with_masks = MASKED.get(kind, "")
    if (
        spec.dropouts
        and with_masks
        and distance_of(
            kind, measured.get(f"{with_masks}: {stage}", MISSING), right[f"{with_masks}: {stage}"]
        )
        <= LIMITS["T2"]
    ):
        return "without masks, dropout must be off, after training too"
    return ""


MASKED = {"logits": "logits with dropout", "logits of vjp without dropout": "logits of vjp"}
"""{an answer without dropout: the same with it}."""


def _convolve(spec: Spec, weights: Tensors, images: np.ndarray) -> np.ndarray:
    def logits(make: Make) -> np.ndarray:
        backend = make(spec, ADAM)
        backend.load(weights)
        return backend.logits(images)

    return NUMPY.call(logits)
