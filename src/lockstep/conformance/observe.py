"""What a backend computes on a problem: every quantity of tiers T1 to T3, by name.

These functions run in the backend's own process (`Worker.call`), or here for NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import cast

import numpy as np

from lockstep import discovery
from lockstep.backend import Backend
from lockstep.conformance import answers
from lockstep.conformance.problem import (
    CALLS,
    CROWDS,
    FIRST,
    LAST,
    WITH_MOMENTS,
    WITHOUT_MOMENTS,
    Call,
    Problem,
    Tensors,
)
from lockstep.conformance.watched import Watched
from lockstep.conformance.worker import Make, Stop, stop
from lockstep.evaluation import BATCH as EVALUATED
from lockstep.evaluation import cross_entropy
from lockstep.optimizer import Adam
from lockstep.spec import Spec

ADAM = Adam(learning_rate=1e-3)
ROUNDS = {FIRST: 1, LAST: 2, WITH_MOMENTS: 3}
"""{what the network is asked again after: the step whose images it is asked about}."""


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
        for part in _parts(make, spec, problem, adam, training):
            found |= part
    except (Exception, SystemExit) as error:  # a plugin may do anything
        return Observation(found, stop(error, discovery.find(backend).folder))
    return Observation(found)


def _parts(make: Make, spec: Spec, problem: Problem, adam: Adam, training: bool) -> Iterator[Tensors]:
    backend = cast(Backend, Watched(make(spec, adam)))
    if problem.weights:  # a network without weights is used without `load`: `inside.functions`
        backend.load(problem.weights)
    state = _dump(backend, spec, problem)
    yield {f"dump {name}": state[name] for name in problem.weights}
    for ask in _questions(spec).values():
        yield from ask(backend, spec, problem, 0)
    if training:

        def asked_again(after: str) -> Iterator[Tensors]:
            crowds = _crowds(backend, problem) if after == LAST else ()
            for part in chain(_asked_again(backend, spec, problem, ROUNDS[after]), crowds):
                yield {f"{quantity}: after {after}": value for quantity, value in part.items()}

        yield from trained(backend, spec, problem, adam, asked_again)
    if training and problem.crowd:
        yield from _beside_another(make, backend, spec, problem, adam)
    backend.synchronize()
    answers.texts("environment", backend.environment())


def _dump(backend: Backend, spec: Spec, problem: Problem) -> Tensors:
    moments = [f"adam/{moment}/{name}" for moment in "mv" for name in spec.weights]
    return answers.arrays("dump", backend.dump(), [*spec.weights, *moments], problem.images.dtype)


Ask = Callable[[Backend, Spec, Problem, int], Iterator[Tensors]]


def _questions(spec: Spec) -> dict[str, Ask]:
    """{method: what asks it about the images of a step}."""
    learns = len(spec.output_shape) == 1 and spec.weights
    gradients: dict[str, Ask] = {"loss_and_gradients": _gradients} if learns else {}
    return {"logits": _forward, **gradients, "vjp": _pullbacks}


def _forward(backend: Backend, spec: Spec, problem: Problem, step: int) -> Iterator[Tensors]:
    images, dtype = problem.images[step], problem.images.dtype
    yield {"logits": answers.array("logits", backend.logits(images), dtype)}
    if problem.masks:
        logits = backend.logits(images, problem.step_masks(step))
        yield {"logits with dropout": answers.array("logits", logits, dtype)}


def _gradients(backend: Backend, spec: Spec, problem: Problem, step: int) -> Iterator[Tensors]:
    images, targets, call = problem.images[step], problem.targets[step], "loss_and_gradients"
    ways: list[tuple[str, Tensors | None, Tensors | None]] = [("", problem.step_masks(step), None)]
    if problem.weight_noise:
        ways.append((" with weight noise", None, problem.step_noise(step % CALLS["weight noise"])))
    for suffix, masks, noise in ways:
        answer = backend.loss_and_gradients(images, targets, masks, noise)
        loss, found = answers.pair(call, answer, "loss, {weight: its gradient}")
        yield {f"loss{suffix}": np.array(answers.number(call, loss, "the loss"))}
        gradients = answers.arrays(call, found, spec.weights, images.dtype, "the gradients")
        yield {f"gradient{suffix} {name}": value for name, value in gradients.items()}


def _pullbacks(backend: Backend, spec: Spec, problem: Problem, step: int) -> Iterator[Tensors]:
    """Two at once: each stays that of its own images until the next `load` or `train_steps`."""
    logits, pull = _vjp(backend, problem.images[step], problem.step_masks(step))
    others = _vjp(backend, problem.images[step + 1], None if problem.masks else {})
    yield {"logits of vjp": logits, "input gradient": pull(problem.cotangent)}
    yield {"input gradient, second call": pull(2 * problem.cotangent)}
    logits, pull = others
    yield {"logits of vjp without dropout": logits}
    yield {"input gradient without dropout": pull(problem.cotangent)}


def _vjp(
    backend: Backend, images: np.ndarray, masks: Tensors | None
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    logits, pullback = answers.pair("vjp", backend.vjp(images, masks), "logits, pullback")

    def pull(cotangent: np.ndarray) -> np.ndarray:
        return answers.array("vjp", pullback(cotangent), images.dtype, "what the pullback returns")

    return answers.array("vjp", logits, images.dtype, "the logits"), pull


def _asked_again(backend: Backend, spec: Spec, problem: Problem, step: int) -> Iterator[Tensors]:
    """The questions of before training, which leave weights and moments as they are."""
    state = _dump(backend, spec, problem)
    for call, ask in _questions(spec).items():
        yield from ask(backend, spec, problem, step)
        before, state = state, _dump(backend, spec, problem)
        yield {f"change by {call}": np.array(max(_changed(before[name], state[name]) for name in state))}


def _changed(before: np.ndarray, after: np.ndarray) -> float:
    """The share of numbers that are others."""
    return float(np.mean((after != before) & ~(np.isnan(after) & np.isnan(before))))


def _crowds(backend: Backend, problem: Problem) -> Iterator[Tensors]:
    """As many images at a time as attacks and evaluations show; then others, in the same array."""
    if not problem.crowd:
        return
    array = np.empty_like(problem.crowd["images"][0])
    for place, images in enumerate(problem.crowd["images"], 1):
        array[...] = images
        for size in CROWDS:
            shown, which = array[:size], f"of {size} image{'s' * (size > 1)}, {place}"
            yield {f"logits {which}": answers.array("logits", backend.logits(shown), images.dtype)}
            if problem.masks and size == EVALUATED:  # as sampled subnetworks are
                masks = {name: np.resize(m, (size, *m.shape[2:])) for name, m in problem.masks.items()}
                logits = answers.array("logits", backend.logits(shown, masks), images.dtype)
                yield {f"logits with dropout {which}": logits}
            logits, pull = _vjp(backend, shown, None)
            yield {f"logits of vjp {which}": logits}
            yield {f"input gradient {which}": pull(problem.crowd["cotangent"][:size])}


def asked_before(make: Make, spec: Spec, problem: Problem, step: int) -> Tensors:
    """The answers of a round by the weights from before training."""
    found: Tensors = {}
    backend = make(spec, ADAM)
    backend.load(problem.weights)
    for part in chain(_asked_again(backend, spec, problem, step), _crowds(backend, problem)):
        found |= part
    return found


def _beside_another(
    make: Make, backend: Backend, spec: Spec, problem: Problem, adam: Adam
) -> Iterator[Tensors]:
    """Two networks of one process have weights of their own: attacks and transfer hold several."""
    part = spec.until(next(node.name for node in spec.nodes if node.weights))
    images, dtype = problem.images[0], problem.images.dtype
    backend.load(problem.weights)
    other = make(part, adam)
    other.load({name: -problem.weights[name] for name in part.weights})
    for name, network in (("the second", other), ("the first", backend)):
        logits = answers.array("logits", network.logits(images), dtype)
        yield {f"logits: {name} of two networks": logits}


def trained(
    backend: Backend,
    spec: Spec,
    problem: Problem,
    adam: Adam,
    ask: Callable[[str], Iterator[Tensors]] = lambda after: iter(()),
) -> Iterator[Tensors]:
    """The calls of a problem, each from where the one before ended; then two loads.

    ask: what is asked of the network after the first call, the last one, and a `load`, named by it.
    """
    backend.load(problem.weights)
    for name, call in problem.calls(adam):
        yield {f"training loss: {name}": _losses([backend.train_steps(*call)], [call])}
        state = _dump(backend, spec, problem)
        yield _flat(name, state, problem)
        if name in ROUNDS:
            yield from ask(name)
    # Without moments, those that are there must become zero.  Arrays may lie in memory in any order.
    loads = {
        WITHOUT_MOMENTS: {name: np.asfortranarray(value) for name, value in problem.weights.items()},
        WITH_MOMENTS: state,
    }
    for name, calls in problem.calls_after_load(adam).items():
        backend.load(loads[name])
        if name in ROUNDS:
            yield from ask(name)
        lazy = [backend.train_steps(*call) for call in calls]  # a run reads them one call later
        yield {f"training loss: {name}": _losses(lazy, calls)}
        yield _flat(name, _dump(backend, spec, problem), problem)


def _losses(lazy: list[object], calls: list[Call]) -> np.ndarray:
    """Mean loss of each step, by the harness: float64 [steps]."""
    losses = []
    for logits, call in zip(lazy, calls, strict=True):
        found = answers.lazy("train_steps", logits, call.targets.shape)
        losses.append(cross_entropy(found, call.targets).mean(axis=-1))
    return np.concatenate(losses)


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
