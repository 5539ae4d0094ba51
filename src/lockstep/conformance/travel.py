"""T5 and T8: how far a long run on digits travels from the reference's.

T5 is in float64, where nothing may differ.  T8 is in float32, against the width of the one-ulp band:
the reference in float32 against itself with one weight moved by one unit in the last place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockstep.conformance import digits
from lockstep.conformance.certificate import Check, Curve
from lockstep.conformance.distance import travel_error
from lockstep.conformance.problem import Tensors
from lockstep.conformance.subject import Advance, Subject
from lockstep.conformance.worker import Here, Worker
from lockstep.discovery import REFERENCE

STEPS = 500
FLOAT64, BANDS = 1e-12, 3.0
"""Limits: travel error in float64; in float32, in widths of the band."""
PERTURBATIONS = 3

Run = dict[int, Tensors]
"""{step: weights}."""
Line = dict[int, float]
"""{step: travel error}."""


def made(data: Path, steps: int, advance: Advance) -> Run:
    """NumPy's run in float64, which T5 and T8 compare with."""
    return _run(Here(REFERENCE, "float64"), data, "real", steps, advance)


@dataclass(frozen=True)
class Band:
    """What T8 takes of NumPy: the real and the smooth network in float64, and the lines of the band."""

    real: Run
    smooth: Run
    lines: list[Line]

    @classmethod
    def made(cls, real: Run, data: Path, steps: int, advance: Advance) -> Band:
        single = Here(REFERENCE, "float32")
        smooth = _run(Here(REFERENCE, "float64"), data, "smooth", steps, advance)
        unmoved = _run(single, data, "real", steps, advance)
        moved = (_run(single, data, "real", steps, advance, nudge) for nudge in range(PERTURBATIONS))
        return cls(real, smooth, [_line(run, unmoved, "real") for run in moved])


def save(run: Run) -> Tensors:
    """As arrays of one file."""
    return {f"{step}:{weight}": value for step, weights in run.items() for weight, value in weights.items()}


def load(arrays: Mapping[str, np.ndarray]) -> Run:
    run: Run = {}
    for key, value in arrays.items():
        step, weight = key.split(":")
        run.setdefault(int(step), {})[weight] = value
    return run


def save_band(band: Band) -> Tensors:
    runs = {"real": save(band.real), "smooth": save(band.smooth)}
    arrays = {f"{name}:{key}": value for name, run in runs.items() for key, value in run.items()}
    lines = np.array([list(line.values()) for line in band.lines])
    return arrays | {"band": lines, "steps": np.array(list(band.real))}


def load_band(arrays: Tensors) -> Band:
    real, smooth = (
        load({key.removeprefix(name): value for key, value in arrays.items() if key.startswith(name)})
        for name in ("real:", "smooth:")
    )
    steps = list(map(int, arrays["steps"]))
    return Band(real, smooth, [dict(zip(steps, map(float, line), strict=True)) for line in arrays["band"]])


def marks(steps: int) -> list[int]:
    """The steps at which runs are compared."""
    return sorted({mark for mark in (1, 3, 10, 30, 100, 200, 300, 400, 500) if mark < steps} | {steps})


def pieces(steps: int, tier: str) -> int:
    """How often T5 or T8 advances, with the making of its reference."""
    return (2 if tier == "T5" else 5 + PERTURBATIONS) * len(marks(steps))


def in_float64(subject: Subject, reference: Run, steps: int) -> tuple[list[Check], list[Curve]]:
    """T5."""
    line = _travelled(subject, "float64", "real", reference, steps)
    check = _check("T5", f"travel in float64, {steps} steps", line[steps], FLOAT64, "classroom network")
    return [check], _curves({"float64": line})


def in_float32(subject: Subject, band: Band, steps: int) -> tuple[list[Check], list[Curve]]:
    """T8."""
    lines = {
        "float32": _travelled(subject, "float32", "real", band.real, steps),
        "float32, smooth network": _travelled(subject, "float32", "smooth", band.smooth, steps),
    }
    width = max(line[steps] for line in band.lines)
    quantity = f"travel in float32, {steps} steps, smooth network"
    far = lines["float32, smooth network"][steps]
    smooth = _check("T8", quantity, far, np.inf, "swish and average pools: no kinks")
    if np.isfinite(far):
        smooth = smooth.model_copy(update={"limit": None, "verdict": "reported"})
    ulps = {f"one ulp, {place + 1}": line for place, line in enumerate(band.lines)}
    return [_in_band(lines["float32"][steps], width, steps), smooth], _curves(lines | ulps)


def _travelled(subject: Subject, dtype: str, name: str, reference: Run, steps: int) -> Line:
    run = _run(subject.worker(dtype), subject.data, name, steps, subject.advance)
    return _line(run, reference, name)


def _curves(lines: Mapping[str, Line]) -> list[Curve]:
    """A run that diverged has a curve up to there, or none."""
    finite = {label: {s: far for s, far in line.items() if np.isfinite(far)} for label, line in lines.items()}
    return [
        Curve(label=label, steps=list(line), travel=list(line.values()))
        for label, line in finite.items()
        if line
    ]


def _in_band(far: float, width: float, steps: int) -> Check:
    note = f"one weight moved by one ulp: {width:.1e}, the widest of {PERTURBATIONS}"
    check = _check("T8", f"travel in float32, {steps} steps", far, BANDS * width, note)
    if steps >= STEPS or check.measured is None:
        return check
    unsure = f"{note}; the band needs {STEPS} steps to open"
    return check.model_copy(update={"verdict": "cannot tell", "note": unsure})


def _check(tier: str, quantity: str, far: float, limit: float, note: str) -> Check:
    return Check(
        tier=tier,
        quantity=quantity,
        measured=_finite(far),
        limit=_finite(limit),
        verdict="in step" if far <= limit else "out of step",
        note=note if np.isfinite(far) else "NaN or infinite",
    )


def _finite(far: float) -> float | None:
    return far if np.isfinite(far) else None


def _run(
    caller: Here | Worker, data: Path, name: str, steps: int, advance: Advance, nudge: int | None = None
) -> Run:
    """The weights at each mark."""
    run = digits.experiment(name, caller.dtype)
    state, found, before = digits.start(run, nudge), {}, 0
    for mark in marks(steps):
        advance(f"{caller.backend}, {name} network in {caller.dtype}: to step {mark}")
        state = caller.call(digits.segment, data, run, before + 1, mark, state).state
        found[mark] = {weight: state[weight] for weight in run.spec.weights}
        before = mark
    return found


def _line(run: Run, other: Run, name: str) -> Line:
    start = digits.start(digits.experiment(name, "float64"))
    return {step: travel_error(run[step], other[step], start) for step in run}
