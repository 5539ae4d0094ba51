"""Training steps as CUDA graphs: recorded once, then replayed with no Python between their kernels.

A graph repeats the same kernels on the same memory.  So each shape of batches has a graph of its own, with
tensors that batches are copied to; a step has to read all that changes from its tensors, numbers too, and to
change the weights in place.
"""

from __future__ import annotations

from functools import partial

import torch


class Graphs:
    """step(*batch) -> tensor, replayed; a batch is tensors and dicts of tensors."""

    def __init__(self, step, device=None):
        self.step, self.device, self.graphs = step, device or Cuda(), {}

    def __call__(self, *batch):
        key = tuple((name, tensor.shape) for name, tensor in _tensors(batch))
        if key not in self.graphs:
            # The first step of a shape runs as it is, for libraries to set themselves up, and on the graph's
            # memory: kernels may be chosen by how that is aligned.
            inputs = [_copied(part) for part in batch]
            work = partial(self.step, *inputs)
            result = self.device.warm(work)
            self.graphs[key] = inputs, self.device.record(work)
            return result
        inputs, replay = self.graphs[key]
        for (_, held), (_, tensor) in zip(_tensors(inputs), _tensors(batch), strict=True):
            held.copy_(tensor)
        return replay().clone()  # the next replay writes to the same place


class Cuda:
    """What is done on a GPU alone."""

    def __init__(self):
        self.stream = torch.cuda.Stream()  # recording has to be on one that is not the default

    def warm(self, work):
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = work()
        current.wait_stream(self.stream)
        return result

    def record(self, work):
        """A function that repeats the work, which is not done here, and returns its result."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            result = work()

        def replay():
            graph.replay()
            return result

        return replay


def _tensors(batch):
    for place, part in enumerate(batch):
        yield from part.items() if isinstance(part, dict) else [(place, part)]


def _copied(part):
    return {name: tensor.clone() for name, tensor in part.items()} if isinstance(part, dict) else part.clone()
