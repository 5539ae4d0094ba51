"""What a backend computes on a problem: every quantity of tiers T1 to T3, by name.

These functions run in the backend's own process (`Worker.call`), or here for NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from lockstep import discovery
from lockstep.backend import Backend
from lockstep.conformance import answers
from lockstep.conformance.problem import STEPS, Problem, Tensors
from lockstep.conformance.worker import Make, Stop, stop
from lockstep.evaluation import cross_entropy
from lockstep.optimizer import Adam
from lockstep.spec import Spec

ADAM = Adam(learning_rate=1e-3)


@dataclass(frozen=True)
class Observation:
    """The quantities up to where the backend stopped, if it did."""

    tensors: Tensors
    stop: Stop | None = None


def observe(
    make: Make, backend: str, spec: Spec, problem: Problem, training: bool, adam: Adam = ADAM
) -> Observation:
    """Step 0, in the order in which an author writes the methods; with `training`, STEPS steps too."""
    found: Tensors = {}
    try:
        for part in _parts(make(spec, adam), spec, problem, adam if training else None):
            found |= part
    except (Exception, SystemExit) as error:  # a plugin may do anything
        return Observation(found, stop(error, discovery.find(backend).folder))
    return Observation(found)


def _parts(backend: Backend, spec: Spec, problem: Problem, adam: Adam | None) -> Iterator[Tensors]:
    if problem.weights:  # a network without weights is used without `load`: `inside.functions`
        backend.load(problem.weights)
    state = _dump(backend, spec, problem)
    yield {f"dump {name}": state[name].copy() for name in problem.weights}
    yield from _forward(backend, problem)
    if len(spec.output_shape) == 1 and spec.weights:
        yield from _gradients(backend, spec, problem)
    yield from _pullback(backend, problem)
    if adam:
        yield from _training(backend, spec, problem, adam)
    backend.synchronize()
    answers.texts("environment", type(backend).environment())


def _dump(backend: Backend, spec: Spec, problem: Problem) -> Tensors:
    moments = [f"adam/{moment}/{name}" for moment in "mv" for name in spec.weights]
    return answers.arrays("dump", backend.dump(), [*spec.weights, *moments], problem.images.dtype)


def _forward(backend: Backend, problem: Problem) -> Iterator[Tensors]:
    images, dtype = problem.images[0], problem.images.dtype
    yield {"logits": answers.array("logits", backend.logits(images), dtype)}
    if problem.masks:
        logits = backend.logits(images, problem.step_masks(0))
        yield {"logits with dropout": answers.array("logits", logits, dtype)}


def _gradients(backend: Backend, spec: Spec, problem: Problem) -> Iterator[Tensors]:
    images, targets, call = problem.images[0], problem.targets[0], "loss_and_gradients"
    ways: list[tuple[str, Tensors | None, Tensors | None]] = [("", problem.step_masks(0), None)]
    if problem.weight_noise:
        ways.append((" with weight noise", None, problem.step_noise(0)))
    for suffix, masks, noise in ways:
        answer = backend.loss_and_gradients(images, targets, masks, noise)
        loss, found = answers.pair(call, answer, "loss, {weight: its gradient}")
        yield {f"loss{suffix}": np.array(answers.number(call, loss, "the loss"))}
        gradients = answers.arrays(call, found, spec.weights, images.dtype, "the gradients")
        yield {f"gradient{suffix} {name}": value for name, value in gradients.items()}


def _pullback(backend: Backend, problem: Problem) -> Iterator[Tensors]:
    images, dtype = problem.images[0], problem.images.dtype

    def vjp(masks: Tensors | None) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        logits, pullback = answers.pair("vjp", backend.vjp(images, masks), "logits, pullback")

        def pull(cotangent: np.ndarray) -> np.ndarray:
            return answers.array("vjp", pullback(cotangent), dtype, "what the pullback returns")

        return answers.array("vjp", logits, dtype, "the logits"), pull

    logits, pull = vjp(problem.step_masks(0))
    yield {"logits of vjp": logits, "input gradient": pull(problem.cotangent)}
    yield {"input gradient, second call": pull(2 * problem.cotangent)}
    if problem.masks:
        logits, pull = vjp(None)
        yield {"logits of vjp without dropout": logits}
        yield {"input gradient without dropout": pull(problem.cotangent)}


def _training(backend: Backend, spec: Spec, problem: Problem, adam: Adam) -> Iterator[Tensors]:
    """The calls of a problem, each from where the one before ended; then two loads."""
    given = {name: value.copy() for name, value in problem.weights.items()}
    backend.load(problem.weights)
    state = _dump(backend, spec, problem)
    for name, call in problem.calls(adam):
        taken, before = state, {name: value.copy() for name, value in state.items()}
        yield {f"loss: {name}": _losses(backend, call)}
        answers.unchanged("load", problem.weights, given, "what it was given")
        answers.unchanged("dump", taken, before, "what it gave")
        state = _dump(backend, spec, problem)
        yield _flat(name, state, problem)
    _, first_step = next(problem.calls(adam))
    backend.load(problem.weights)  # without moments: those that are there must become zero
    backend.train_steps(*first_step)
    yield _flat("load without moments", _dump(backend, spec, problem), problem)
    backend.load(state)
    images, targets, masks, *_ = first_step
    backend.train_steps(images, targets, masks, adam.scales(STEPS + 1, 1))
    yield _flat("load with moments", _dump(backend, spec, problem), problem)


def _losses(backend: Backend, call: tuple[Any, ...]) -> np.ndarray:
    """Mean loss of each step, by the harness: float64 [K]."""
    targets = call[1]
    logits = answers.lazy("train_steps", backend.train_steps(*call), targets.shape)
    return cross_entropy(logits, targets).mean(axis=-1)


def _flat(name: str, state: Tensors, problem: Problem) -> Tensors:
    """How far all weights have travelled from the start, and Adam's moments, each as one vector."""

    def vector(prefix: str) -> np.ndarray:
        return np.concatenate([state[prefix + weight].ravel() for weight in problem.weights])

    start = np.concatenate([weight.ravel() for weight in problem.weights.values()])
    return {
        f"moment m: {name}": vector("adam/m/"),
        f"moment v: {name}": vector("adam/v/"),
        f"travel: {name}": vector("") - start,
    }
