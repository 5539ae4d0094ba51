"""Known mistakes of training: the contract's loop with one part changed, on the reference's gradients.

A mistake is named only if its loop explains what was measured nearly whole: loss, moments and travel alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np

from lockstep.backend import Backend
from lockstep.conformance.distance import OF_TRAINING, distance
from lockstep.conformance.mistakes import EXPLAINED, ratio
from lockstep.conformance.observe import trained
from lockstep.conformance.problem import FIRST, Call, Problem, Tensors
from lockstep.conformance.worker import Make
from lockstep.optimizer import Adam
from lockstep.spec import Spec

SAME = 1e-12
"""Distance of a quantity that a mistake leaves alone: rounding in float64 is a thousand times smaller."""
Parts = dict[str, Callable[..., Any]]
"""{method of Training: what stands there instead}."""


def likeliest(
    make: Make, spec: Spec, problem: Problem, adam: Adam, quantity: str, measured: Tensors, right: Tensors
) -> str:
    """The cause of the first quantity of training that is out of step; "" where no known mistake explains it.

    measured, right: what `observe.trained` gave for the backend and for the reference.
    """
    kind, stage = quantity.split(": ")
    found, expected = measured[quantity], right[quantity]
    if not np.isfinite(found).all():
        return "it has NaN or infinite values"
    names = [f"{each}: {stage}" for each in OF_TRAINING if f"{each}: {stage}" in right]
    if not all(name in measured for name in names):
        return ""  # the backend stopped there
    for text, parts in _known(adam, problem, stage, measured, right):
        guess = _run(make, spec, problem, adam, parts, names[-1])
        if all(_explains(guess[name], measured[name], right[name]) for name in names):
            return text
    if (stage, kind) == (FIRST, OF_TRAINING[0]):
        return "train_steps returns other logits than `logits` does with masks"
    factor = ratio(found, expected)
    alike = _explains(expected * factor, found, expected)
    return f"all of it is {factor:.9g} times what it should be" if alike else ""


def _explains(guess: np.ndarray, measured: np.ndarray, expected: np.ndarray) -> bool:
    apart = distance(measured, expected, floor=1e-300)
    return distance(measured, guess, floor=1e-300) <= max(EXPLAINED * apart, SAME)


def _run(make: Make, spec: Spec, problem: Problem, adam: Adam, parts: Parts, last: str) -> Tensors:
    """The quantities of a changed loop, up to the one called `last`."""
    loop, found = type("Changed", (Training,), parts)(make(spec, adam), spec, adam), cast(Tensors, {})
    for part in trained(cast(Backend, loop), spec, problem, adam):
        found |= part
        if last in found:
            break
    return found


class Training:
    """The contract's loop.  Each of its parts can be wrong alone."""

    def __init__(self, network: Backend, spec: Spec, adam: Adam) -> None:
        self.network, self.shapes = network, spec.weights
        self.b1, self.b2, self.eps, self.rate = adam.b1, adam.b2, adam.eps, adam.learning_rate
        self.m = self.v = {name: np.zeros(shape) for name, shape in self.shapes.items()}
        self.first_calls: dict[tuple[Any, ...], Call] = {}
        self.places: dict[tuple[int, ...], np.ndarray] = {}
        self.images = self.largest_batch = 1

    def load(self, state: Tensors) -> None:
        self.weights = {name: state[name].copy() for name in self.shapes}
        self.m, self.v = self.moments_of(state)
        self.steps, self.before = 0, cast(Tensors, {})
        self.total = self.largest = {name: np.zeros(shape) for name, shape in self.shapes.items()}

    def moments_of(self, state: Tensors) -> tuple[Tensors, Tensors]:
        m, v = (
            {name: state.get(f"adam/{moment}/{name}", np.zeros(shape)) for name, shape in self.shapes.items()}
            for moment in "mv"
        )
        return m, v

    def dump(self) -> Tensors:
        groups = {"": self.weights, "adam/m/": self.m, "adam/v/": self.v}
        return {prefix + name: value for prefix, group in groups.items() for name, value in group.items()}

    def train_steps(self, *arguments: Any) -> np.ndarray:
        logits, (images, targets, masks, scales, weight_noise) = [], self.given(Call(*arguments))
        for k in range(len(images)):
            noise = {name: draws[k] for name, draws in (weight_noise or {}).items()}
            step_masks = {name: mask[k] for name, mask in masks.items()}
            self.images = len(images[k])
            self.largest_batch = max(self.largest_batch, self.images)
            self.network.load(self.noisy(noise))
            told = self.network.logits(images[k], step_masks)
            _, gradients = self.network.loss_and_gradients(*self.batch(images[k], targets[k], step_masks))
            self.step(gradients, *scales[k])
            logits.append(self.told(told, images[k], step_masks))
        return self.handed(np.stack(logits))

    def given(self, call: Call) -> Call:
        return call

    def told(self, logits: np.ndarray, images: np.ndarray, masks: Tensors) -> np.ndarray:
        """Of a step, when it is done."""
        return logits

    def handed(self, logits: np.ndarray) -> np.ndarray:
        """Of a call."""
        return logits

    def noisy(self, noise: Tensors) -> Tensors:
        return {name: w + noise[name] if name in noise else w for name, w in self.weights.items()}

    def batch(self, images: np.ndarray, targets: np.ndarray, masks: Tensors) -> tuple[Any, ...]:
        return images, targets, masks

    def step(self, gradients: Tensors, s1: float, s2: float) -> None:
        self.steps += 1
        self.total = {name: self.total[name] + g for name, g in gradients.items()}
        chosen = self.gradient(gradients)
        m = {name: self.b1 * self.m[name] + self.new(self.b1) * g for name, g in chosen.items()}
        v = {name: self.b2 * self.v[name] + self.new(self.b2) * g * g for name, g in chosen.items()}
        self.m, self.v = self.moments(m, v)
        self.largest = {name: np.maximum(self.largest[name], v) for name, v in self.v.items()}
        s1, s2 = self.scale(s1, s2)
        self.weights = {
            name: self.decayed(w) - s1 * self.m[name] / (np.sqrt(self.second()[name]) * s2 + self.eps)
            for name, w in self.weights.items()
        }
        self.m, self.v = self.kept(self.m, self.v)
        self.before = gradients

    def gradient(self, gradients: Tensors) -> Tensors:
        return gradients

    def new(self, b: float) -> float:
        """The weight of a step's gradient in a moment."""
        return 1 - b

    def moments(self, m: Tensors, v: Tensors) -> tuple[Tensors, Tensors]:
        return m, v

    def kept(self, m: Tensors, v: Tensors) -> tuple[Tensors, Tensors]:
        """The moments as they are stored when the weights have been updated."""
        return m, v

    def scale(self, s1: float, s2: float) -> tuple[float, float]:
        return s1, s2

    def second(self) -> Tensors:
        """What the update is divided by the root of."""
        return self.v

    def decayed(self, weight: np.ndarray) -> np.ndarray:
        return weight


def _known(
    adam: Adam, problem: Problem, stage: str, measured: Tensors, right: Tensors
) -> Iterator[tuple[str, Parts]]:
    """The mistakes, those of what a stage is named by first."""
    if stage == "weight noise":
        yield from NOISE.items()
    if stage.startswith("load"):
        yield from LOADING.items()
    if stage == FIRST:
        yield from _read_off(adam, problem, measured, right)
    yield from _constants(adam).items()
    yield from GRADIENTS.items()
    yield from ARGUMENTS.items()
    yield from LOGITS.items()
    yield from _rounded(adam)


def _each(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any, Tensors], Tensors]:
    """The change made to every tensor."""
    return lambda run, tensors: {name: change(value) for name, value in tensors.items()}


def _norm(tensors: Tensors) -> float:
    return float(np.sqrt(sum(np.sum(value**2) for value in tensors.values())))


def _repeated(run: Training, images: np.ndarray, targets: np.ndarray, masks: Tensors) -> tuple[Any, ...]:
    places = np.arange(run.largest_batch) % len(images)
    return images[places], targets[places], {name: mask[places] for name, mask in masks.items()}


def _padded(run: Training, gradients: Tensors) -> Tensors:
    return {name: g * run.images / run.largest_batch for name, g in gradients.items()}


def _noise_times(factor: float) -> Parts:
    return {"noisy": lambda run, noise: Training.noisy(run, {name: factor * d for name, d in noise.items()})}


def _noise_kept(run: Training, noise: Tensors) -> Tensors:
    run.weights = Training.noisy(run, noise)
    return run.weights


def _moments_kept(run: Training, state: Tensors) -> tuple[Tensors, Tensors]:
    old = {f"adam/{moment}/{name}": getattr(run, moment)[name] for moment in "mv" for name in run.shapes}
    return Training.moments_of(run, old | state)


def _largest_in_v(run: Training, m: Tensors, v: Tensors) -> tuple[Tensors, Tensors]:
    return m, {name: np.maximum(run.v[name], value) for name, value in v.items()}


def _whole_batches_alone(run: Training, gradients: Tensors, s1: float, s2: float) -> None:
    if run.images == run.largest_batch:
        Training.step(run, gradients, s1, s2)


def _as_it_lies(run: Training, state: Tensors) -> None:
    Training.load(run, {name: value.ravel(order="K").reshape(value.shape) for name, value in state.items()})


GRADIENTS: dict[str, Parts] = {
    "each step applies the gradient of the step before": {"gradient": lambda run, g: run.before or g},
    "gradients add up from step to step: nothing sets them to zero": {"gradient": lambda run, g: run.total},
    "v is the largest so far (AMSGrad), where it must be the latest": {"moments": _largest_in_v},
    "the update divides by the largest v so far (AMSGrad), not by the latest": {
        "second": lambda run: run.largest
    },
    "a smaller batch is filled up with repeats of its images, which count in the mean": {"batch": _repeated},
    "a smaller batch is padded, and the mean is taken over the padding too": {"gradient": _padded},
    "a smaller batch is left out": {"step": _whole_batches_alone},
}
NOISE: dict[str, Parts] = {
    "weight noise is ignored": _noise_times(0),
    "weight noise is added twice": _noise_times(2),
    "weight noise is subtracted": _noise_times(-1),
    "the update is applied to weights + noise; it must be applied to the weights": {"noisy": _noise_kept},
}
LOADING: dict[str, Parts] = {
    "load takes numbers as they lie in memory, which need not be row by row": {"load": _as_it_lies},
    "load keeps old moments: those that are absent must become zero": {"moments_of": _moments_kept},
    "dump or load loses Adam's moments": {"moments_of": lambda run, state: Training.moments_of(run, {})},
}


def _earlier(*parts: str) -> Parts:
    """A loop that keeps these arguments of a call for all later ones of its size."""

    def given(run: Training, call: Call) -> Call:
        first = run.first_calls.setdefault((call.images.shape, call.weight_noise is None), call)
        return call._replace(**{part: getattr(first, part) for part in parts})

    return {"given": given}


def _scales_of(step: int) -> Parts:
    return {"given": lambda run, call: call._replace(scales=call.scales[[step] * len(call.scales)])}


ARGUMENTS: dict[str, Parts] = {
    "all steps of a call take the scales of its first": _scales_of(0),
    "all steps of a call take the scales of its last": _scales_of(-1),
    "the second scale is taken for 1": {"scale": lambda run, s1, s2: (s1, 1.0)},
    **{
        f"a call takes the {' and '.join(parts)} of an earlier call of its size": _earlier(*parts)
        for parts in (("images",), ("targets",), ("masks",), ("scales",), ("images", "targets", "masks"))
    },
    "a call takes the weight noise of an earlier call of its size": _earlier("weight_noise"),
}


def _logits_after(run: Training, logits: np.ndarray, images: np.ndarray, masks: Tensors) -> np.ndarray:
    run.network.load(run.weights)
    return run.network.logits(images, masks)


def _in_one_place(run: Training, logits: np.ndarray) -> np.ndarray:
    place = run.places.setdefault(logits.shape, logits)
    place[...] = logits
    return place


LOGITS: dict[str, Parts] = {
    "the next call writes over the logits that train_steps returned": {"handed": _in_one_place},
    "train_steps returns the logits of after the update; those of before it are due": {"told": _logits_after},
    "train_steps returns logits without dropout; those with the step's masks are due": {
        "told": lambda run, logits, images, masks: run.network.logits(images)
    },
}


def _read_off(adam: Adam, problem: Problem, measured: Tensors, right: Tensors) -> Iterator[tuple[str, Parts]]:
    """Mistakes with a number of their own, which the first step shows."""
    found, expected = (
        tensors[f"moment m: {FIRST}"] / (1 - adam.b1) for tensors in (measured, right)
    )  # gradients: the moments were zero
    start = np.concatenate([weight.ravel() for weight in problem.weights.values()])
    travel = measured[f"travel: {FIRST}"] - right[f"travel: {FIRST}"]
    decay, decoupled = (float(np.vdot(start, d) / np.vdot(start, start)) for d in (found - expected, travel))
    yield (
        f"{decay:.3g} times the weights is added to their gradients (weight decay)",
        {"gradient": lambda run, g: {name: g[name] + decay * run.weights[name] for name in g}},
    )
    yield (
        f"each step multiplies the weights by {1 + decoupled:.8g} (decoupled weight decay)",
        {"decayed": lambda run, weight: weight * (1 + decoupled)},
    )
    norm, most = float(np.linalg.norm(found)), float(np.abs(found).max())
    yield (
        f"gradients are clipped to a norm of {norm:.4g}",
        {"gradient": lambda run, g: _each(lambda value: value * min(1, norm / _norm(g)))(run, g)},
    )
    yield (
        f"gradients are clipped to between -{most:.4g} and {most:.4g}",
        {"gradient": _each(lambda value: value.clip(-most, most))},
    )
    flushed = float(np.abs(expected[found == 0]).max(initial=0))
    yield (
        f"numbers of a gradient up to {flushed:.2g} become 0",
        {"gradient": _each(lambda value: value * (np.abs(value) > flushed))},
    )


def _set(**values: float) -> Parts:
    """A loop whose constants are these."""

    def load(run: Training, state: Tensors) -> None:
        run.__dict__.update(values)
        Training.load(run, state)

    return {"load": load}


def _constants(adam: Adam) -> dict[str, Parts]:
    """Adam's constants and form, where they are others than the run's."""
    usual = {"b1": (0.9,), "b2": (0.999,), "eps": (1e-8, 1e-7)}
    other = adam.model_copy(update={"form": "paper" if adam.form == "keras" else "keras"})

    def scale(run: Training, s1: float, s2: float) -> tuple[float, float]:
        ((o1, o2),) = other.scales(run.steps, 1)
        return o1, o2

    single = {
        f"{name} is {value:g}, the run says {getattr(adam, name):g}": _set(**{name: value})
        for name, values in usual.items()
        for value in values
        if value != getattr(adam, name)
    }
    both = {
        f"eps {eps:g} stands where the {other.form} form has it, the run says {adam.form}": {
            "scale": scale,
            **_set(eps=eps),
        }
        for eps in dict.fromkeys((adam.eps, *usual["eps"]))
    }
    every = {
        "b1, b2 and eps are 0.9, 0.999 and 1e-07, whatever the run says": _set(b1=0.9, b2=0.999, eps=1e-7)
    }
    return single | both | every


def _rounded(adam: Adam) -> Iterator[tuple[str, Parts]]:
    """Float32 where float64 belongs, or a correction that is missing."""
    single = np.float32

    def corrected(run: Training, s1: float, s2: float) -> tuple[float, float]:
        first, second = (float(single(1) - single(b) ** run.steps) for b in (adam.b1, adam.b2))
        return run.rate * np.sqrt(second) / first, s2

    def cast_to_single(tensors: Tensors) -> Tensors:
        return {name: value.astype(single).astype(np.float64) for name, value in tensors.items()}

    rate = float(single(adam.learning_rate)) / adam.learning_rate
    yield "b1 is rounded to float32", _set(b1=float(single(adam.b1)))
    yield "b2 is rounded to float32", _set(b2=float(single(adam.b2)))
    yield "b1 and b2 are rounded to float32", _set(b1=float(single(adam.b1)), b2=float(single(adam.b2)))
    yield "1 - b1 and 1 - b2 are computed in float32", {"new": lambda run, b: float(single(1) - single(b))}
    yield "the bias correction is computed in float32", {"scale": corrected}
    yield "there is no bias correction", {"scale": lambda run, s1, s2: (run.rate, 1.0)}
    yield "the learning rate is rounded to float32", {"scale": lambda run, s1, s2: (s1 * rate, s2)}
    as_single: Parts = {"scale": lambda run, s1, s2: (float(single(s1)), float(single(s2)))}
    yield "the step's scales are rounded to float32", as_single
    yield "gradients are rounded to float32", {"gradient": lambda run, g: cast_to_single(g)}
    for when in ("moments", "kept"):  # rounded before the update, or only when stored
        yield "moment m is kept in float32", {when: lambda run, m, v: (cast_to_single(m), v)}
        yield "moment v is kept in float32", {when: lambda run, m, v: (m, cast_to_single(v))}
        both: Parts = {when: lambda run, m, v: (cast_to_single(m), cast_to_single(v))}
        yield "both moments are kept in float32", both
