"""What a backend computes on a problem, observed in a process that holds this backend alone."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from lockstep import discovery, process
from lockstep.backend import Backend
from lockstep.conformance.problem import STEPS, Problem, draw
from lockstep.optimizer import Adam
from lockstep.spec import Spec

THREADS = 2

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Worker:
    """A long-lived process with one backend, dtype and device; close it after use."""

    backend: str
    dtype: str
    device: str
    pool: ProcessPoolExecutor

    @classmethod
    def start(cls, backend: str, dtype: str, device: str = "cpu") -> Worker:
        context = multiprocessing.get_context("spawn")  # a forked copy of a thread pool would hang
        return cls(backend, dtype, device, ProcessPoolExecutor(1, context, initializer=process.prepare))

    def observe(self, spec: Spec, seed: int) -> Tensors:
        job = self.pool.submit(
            observe, self.backend, self.dtype, self.device, THREADS, spec.model_dump_json(), seed
        )
        return job.result()

    def devices(self) -> list[str]:
        """What the framework can use here."""
        return self.pool.submit(devices, self.backend).result()

    def close(self) -> None:
        self.pool.shutdown()


def devices(name: str) -> list[str]:
    return list(discovery.load(discovery.find(name)).devices())


def observe(name: str, dtype: str, device: str, threads: int, spec_json: str, seed: int) -> Tensors:
    """Every quantity of tiers T1 to T3, by name; of a spec whose output is no vector, the forward ones."""
    spec = Spec.model_validate_json(spec_json)
    backend_class = discovery.load(discovery.find(name))
    adam = Adam(learning_rate=1e-3)
    backend = backend_class(spec, adam, device=device, dtype=dtype, threads=threads, deterministic=True)
    problem = draw(spec, seed, dtype)
    found = _forward(backend, problem)
    if len(spec.output_shape) == 1:
        found |= _gradients(backend, problem) | _travel(backend, adam, problem)
    return found


def _forward(backend: Backend, problem: Problem) -> Tensors:
    images, masks = problem.images[0], _step(problem.masks, 0)
    backend.load(problem.weights)
    logits, pullback = backend.vjp(images, masks)
    return {
        "logits": backend.logits(images),
        "logits with dropout": backend.logits(images, masks),
        "logits of vjp": logits,
        "input gradient": pullback(problem.cotangent),
        "input gradient, second call": pullback(2 * problem.cotangent),
    }


def _gradients(backend: Backend, problem: Problem) -> Tensors:
    images, targets = problem.images[0], problem.targets[0]
    backend.load(problem.weights)
    loss, gradients = backend.loss_and_gradients(images, targets, _step(problem.masks, 0))
    noisy_loss, noisy = backend.loss_and_gradients(images, targets, None, _step(problem.weight_noise, 0))
    return {
        "loss": np.array(loss),
        "loss with weight noise": np.array(noisy_loss),
        **{f"gradient {name}": value for name, value in gradients.items()},
        **{f"gradient with weight noise {name}": value for name, value in noisy.items()},
    }


def _travel(backend: Backend, adam: Adam, problem: Problem) -> Tensors:
    """K steps from fresh moments in one call, then one more from the dumped state."""
    images, targets, masks = problem.images, problem.targets, problem.masks
    backend.load(problem.weights)
    logits = np.asarray(
        backend.train_steps(images, targets, masks, adam.scales(1, STEPS), problem.weight_noise)
    )
    backend.synchronize()
    state = backend.dump()
    backend.load(state)
    first = {name: mask[:1] for name, mask in masks.items()}
    backend.train_steps(images[:1], targets[:1], first, adam.scales(STEPS + 1, 1))
    reloaded = backend.dump()
    return {
        "training logits": logits,
        **{f"travel {name}": state[name] - start for name, start in problem.weights.items()},
        **{f"travel after reload {name}": reloaded[name] - start for name, start in problem.weights.items()},
        **{f"training moment {name}": value for name, value in state.items() if name.startswith("adam/")},
    }


def _step(tensors: Tensors, k: int) -> Tensors:
    return {name: value[k] for name, value in tensors.items()}
