"""The first layer out of step: its output where a spec ends there, its gradients where one starts there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lockstep.conformance import answers
from lockstep.conformance.distance import distance
from lockstep.conformance.observe import ADAM
from lockstep.conformance.problem import Problem, Tensors
from lockstep.conformance.worker import Here, Make, Worker
from lockstep.evaluation import probabilities
from lockstep.spec import Node, Spec

OUTPUT, INPUT_GRADIENT, BY_LOGITS = "output", "gradient by its input", "gradient by the logits"
SOLVED = 100
"""Limits that solving for a gradient by the logits may be off: it magnifies rounding."""


@dataclass(frozen=True)
class Place:
    """A quantity of one layer that is out of step although everything it is computed from is in step."""

    node: Node
    quantity: str
    """OUTPUT, INPUT_GRADIENT, BY_LOGITS, or "gradient of kernel" and the like."""
    measured: np.ndarray
    expected: np.ndarray
    x: np.ndarray
    """The layer's input, by the reference, as everything below; of the loss, the logits."""
    cotangent: np.ndarray | None = None
    """Of the layer's output."""
    mask: np.ndarray | None = None
    weights: Tensors = field(default_factory=dict)
    """kernel and bias."""
    targets: np.ndarray | None = None

    @property
    def where(self) -> str:
        return "the loss" if self.quantity == BY_LOGITS else self.node.name


def localise(
    worker: Worker, reference: Here, spec: Spec, problem: Problem, limit: float, exempt: float = 0.0
) -> Place | None:
    """The first place out of step; None where every layer in its place is in step.

    exempt: the share of a gradient by the input that does not count.

    Forward: specs that end at each layer.  Backward, from the last layer on: specs that start at each
    layer, fed with the reference's values.
    """
    problem = problem.astype(worker.dtype)
    exact = problem.astype("float64")
    inputs = [exact.images[0], *(reference.call(_forward, spec.until(n.name), exact) for n in spec.nodes)]
    for node, x, expected in zip(spec.nodes, inputs, inputs[1:], strict=False):
        measured = worker.call(_forward, spec.until(node.name), problem)
        if not distance(measured, expected) <= limit:
            return _place(node, exact, OUTPUT, measured, expected, x)
    cotangent = exact.cotangent
    for index, node in reversed(list(enumerate(spec.nodes))):
        x = inputs[index]
        part, below, wrapped = _from(spec, index, problem, x)
        expected = reference.call(_backward, part, below.astype("float64"), exact.cotangent)
        measured = worker.call(_backward, part, below, problem.cotangent)
        if not distance(measured, expected, exempt) <= limit:
            return _place(node, exact, INPUT_GRADIENT, measured, expected, x, cotangent)
        cotangent = expected
        if node.weights and len(spec.output_shape) == 1:
            own = {wrapped[f"{node.name}/{weight}"]: weight for weight in node.weights}
            right = reference.call(_gradients, part, below.astype("float64"))
            found = worker.call(_gradients, part, below)
            late = [name for name in own if not distance(found[name], right[name]) <= limit]
            if late and index == len(spec.nodes) - 1:
                gradients = {weight: found[name] for name, weight in own.items()}
                if loss := _loss(node, exact, x, inputs[-1], gradients, limit):
                    return loss
            for name in late:
                return _place(node, exact, f"gradient of {own[name]}", found[name], right[name], x)
    return None


def _loss(
    node: Node, problem: Problem, x: np.ndarray, logits: np.ndarray, gradients: Tensors, limit: float
) -> Place | None:
    """The loss, where one wrong gradient c by the logits explains both of the last, dense, layer's own.

    Of kernel and bias they are x^T c and the sum of c, with x [images, units in] of more units than images.
    """
    targets, (kernel, bias) = problem.targets[0], (gradients["kernel"], gradients["bias"])
    right = (probabilities(logits) - targets) / len(logits)
    if not np.isfinite(kernel).all():
        return Place(node, BY_LOGITS, np.full(right.shape, np.nan), right, logits, targets=targets)
    measured, *_ = np.linalg.lstsq(x.T, kernel.astype(np.float64))
    left = max(distance(x.T @ measured, kernel), distance(measured.sum(axis=0), bias))
    if len(x) >= x.shape[1] or left > SOLVED * limit:
        return None
    return Place(node, BY_LOGITS, measured, right, logits, targets=targets)


def _place(
    node: Node,
    problem: Problem,
    quantity: str,
    measured: np.ndarray,
    expected: np.ndarray,
    x: np.ndarray,
    cotangent: np.ndarray | None = None,
) -> Place:
    weights = {name: problem.weights[f"{node.name}/{name}"] for name in node.weights}
    mask = problem.step_masks(0).get(node.name)
    return Place(node, quantity, measured, expected, x, cotangent, mask, weights)


def _from(spec: Spec, index: int, problem: Problem, x: np.ndarray) -> tuple[Spec, Problem, Mapping[str, str]]:
    """The network that starts at a layer, its problem, and {weight: what it is called there}."""
    part, there = spec.part(index)
    names = {here: name for name, here in there.items()}

    def only(tensors: Tensors) -> Tensors:
        return {names[name]: tensor for name, tensor in tensors.items() if name in names}

    below = Problem(
        weights=only(problem.weights),
        images=x[np.newaxis].astype(problem.images.dtype),
        targets=problem.targets,
        masks=only(problem.masks),
        weight_noise={},
        cotangent=problem.cotangent,
    )
    return part, below, names


def _forward(make: Make, spec: Spec, problem: Problem) -> np.ndarray:
    backend = make(spec, ADAM)
    backend.load({name: problem.weights[name] for name in spec.weights})
    logits = backend.logits(problem.images[0], {name: problem.masks[name][0] for name in spec.dropouts})
    return answers.array("logits", logits, problem.images.dtype)


def _backward(make: Make, spec: Spec, problem: Problem, cotangent: np.ndarray) -> np.ndarray:
    backend = make(spec, ADAM)
    backend.load(problem.weights)
    _, pullback = backend.vjp(problem.images[0], problem.step_masks(0))
    return answers.array("vjp", pullback(cotangent), cotangent.dtype)


def _gradients(make: Make, spec: Spec, problem: Problem) -> Tensors:
    backend = make(spec, ADAM)
    backend.load(problem.weights)
    _, found = backend.loss_and_gradients(problem.images[0], problem.targets[0], problem.step_masks(0))
    return answers.arrays("loss_and_gradients", found, problem.weights, problem.images.dtype)
