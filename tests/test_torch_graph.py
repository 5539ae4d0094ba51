"""PyTorch's road for GPUs on a CPU: all but the calls of CUDA itself.

In the place of a CUDA graph stands one of torch.fx, recorded from the operations that reach PyTorch's
dispatcher: like CUDA's, it has no Python left in it, repeats the operations on the tensors they were
recorded with, and gives its result in the same place.
"""

from __future__ import annotations

import importlib
from collections import Counter

import numpy as np
import pytest

from lockstep.conformance.distance import distance
from lockstep.conformance.observe import ADAM, observe
from lockstep.conformance.problem import draw
from lockstep.conformance.reference import ALL, observation, problem
from lockstep.conformance.specs import SPECS, TRAINED
from lockstep.conformance.step_zero import _checks
from lockstep.discovery import find
from lockstep.optimizer import Adam

if reason := find("torch").missing():
    pytest.skip(f"torch: {reason}", allow_module_level=True)

PAPER = Adam(learning_rate=1e-3, form="paper")


class Recorder:
    """What `graph.Cuda` does, for a backend on a CPU."""

    def __init__(self, backend):
        self.backend, self.done = backend, Counter()

    def warm(self, work):
        self.done["warm"] += 1
        return work()

    def record(self, work):
        from torch.fx.experimental.proxy_tensor import make_fx

        before = self.backend.dump()
        recorded = make_fx(lambda: work())()  # does the work, which a CUDA graph would not
        self.backend.load(before)
        self.done["recorded"] += 1
        place = None

        def replay():
            nonlocal place
            self.done["replayed"] += 1
            result = recorded()
            place = result.clone() if place is None else place.copy_(result)
            return place

        return replay


def graphed(make, spec, adam):
    backend = make(spec, adam)
    graphs = importlib.import_module("lockstep_backend_torch.graph")
    backend.graphs = graphs.Graphs(backend._step, Recorder(backend))
    return backend


def observed(make, name, dtype, training, adam):
    """What `lockstep verify` observes of a backend whose steps are graphs, but a shape's first."""
    return observe(
        lambda spec, adam: graphed(make, spec, adam),
        "torch", ALL[name], problem(name).astype(dtype), training, adam,
    )  # fmt: skip


def ran(make, name, adam, count):
    """{road: (logits, state, what was done)} of some steps, a smaller batch, and the steps again."""
    found = {}
    for road in ("eager", "graph"):
        backend = graphed(make, SPECS[name], adam) if road == "graph" else make(SPECS[name], adam)
        given = draw(SPECS[name], 5)
        backend.load(given.weights)
        rng, spec, logits, step = np.random.default_rng(1), SPECS[name], [], 1
        for steps, batch in ((count, 6), (1, 4), (count, 6)):
            images = rng.random((steps, batch, *spec.input_shape))
            targets = np.eye(spec.output_shape[0])[rng.integers(0, spec.output_shape[0], (steps, batch))]
            masks = {
                layer: rng.integers(0, 2, (steps, batch, *node.input_shape)).astype(np.uint8)
                for layer, node in spec.dropouts.items()
            }
            logits.append(np.asarray(backend.train_steps(images, targets, masks, adam.scales(step, steps))))
            step += steps
        done = dict(backend.graphs.device.done) if road == "graph" else {}
        found[road] = logits, backend.dump(), done
    return found


@pytest.mark.parametrize("name", ["strided", "three channels"])
def test_replayed_steps_are_in_step_with_the_reference(name, worker):
    """T1 and T2, with weight noise, both forms of Adam and a smaller last batch."""
    found = worker("torch", "float64").call(observed, name, "float64", True, TRAINED.get(name, ADAM))
    assert found.stop is None, str(found.stop)
    checks = [check for check, _ in _checks(name, found.tensors, observation(name), "float64", True, False)]
    assert {check.tier for check in checks} == {"T1", "T2"}
    assert not [check for check in checks if check.verdict != "in step"]


@pytest.mark.parametrize("adam", [Adam(learning_rate=1e-3), PAPER], ids=["keras", "paper"])
def test_replay_gives_what_eager_steps_give(adam, worker):
    found = worker("torch", "float64").call(ran, "classroom", adam, 9)
    (eager, there, _), (graph, here, done) = found["eager"], found["graph"]
    assert done == {"warm": 2, "recorded": 2, "replayed": 2 * 9 - 1}, "there are two sizes of batches"
    for one, other in zip(graph, eager, strict=True):
        assert distance(one, other) <= 1e-12
    for name, value in there.items():
        assert distance(here[name], value) <= 1e-12, name
