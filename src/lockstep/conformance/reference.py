"""What the others are compared with: NumPy in float64, each thing computed once and kept."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from lockstep.conformance import digits
from lockstep.conformance.observe import ADAM, observe
from lockstep.conformance.problem import FACTORS, Problem, Tensors, draw, enlarged
from lockstep.conformance.specs import ALIKE, CROWDED, LARGE, SPECS, TAPS, TRAINED
from lockstep.conformance.worker import Here
from lockstep.discovery import REFERENCE

SEED = 7
ALL = SPECS | TAPS | ALIKE | LARGE
NUMPY = Here(REFERENCE, "float64")


@cache
def problem(spec: str) -> Problem:
    """Weight noise for a few specs only: compiling for it takes long; for one on kernels alone, as runs."""
    drawn = enlarged(draw(ALL[spec], SEED, spec in CROWDED), FACTORS.get(spec, {}))
    noise = drawn.weight_noise if spec in TRAINED else {}
    if spec == "three channels":
        noise = {name: draws for name, draws in noise.items() if name.endswith("/kernel")}
    return replace(drawn, weight_noise=noise)


@cache
def observation(spec: str) -> Tensors:
    found = NUMPY.call(observe, REFERENCE, ALL[spec], problem(spec), spec in TRAINED, TRAINED.get(spec, ADAM))
    assert found.stop is None, found.stop
    return found.tensors


@cache
def smooth_losses(data: Path, steps: int) -> np.ndarray:
    """Of each step of the smooth run: float64 [steps]."""
    run = digits.experiment("smooth", "float64")
    return NUMPY.call(digits.segment, data, run, 1, steps, digits.start(run)).losses
