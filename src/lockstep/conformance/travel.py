"""T5: how far a long run on digits travels from the reference's, against the width of the one-ulp band.

The band: the reference in float32 against itself with one weight moved by one unit in the last place.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Reference:
    """NumPy's runs: the real and the smooth network in float64, and the lines of the band."""

    real: Run
    smooth: Run
    band: list[Line]

    @classmethod
    def made(cls, data: Path, steps: int, advance: Advance) -> Reference:
        double, single = Here(REFERENCE, "float64"), Here(REFERENCE, "float32")
        real, smooth = (_run(double, data, name, steps, advance) for name in ("real", "smooth"))
        unmoved = _run(single, data, "real", steps, advance)
        moved = (_run(single, data, "real", steps, advance, nudge) for nudge in range(PERTURBATIONS))
        return cls(real, smooth, [_line(run, unmoved, "real") for run in moved])


def save(reference: Reference) -> Tensors:
    """As arrays of one file."""
    runs = {"real": reference.real, "smooth": reference.smooth}
    arrays = {
        f"{name}:{step}:{weight}": value
        for name, run in runs.items()
        for step, weights in run.items()
        for weight, value in weights.items()
    }
    band = np.array([list(line.values()) for line in reference.band])
    return arrays | {"band": band, "steps": np.array(list(reference.real))}


def load(arrays: Tensors) -> Reference:
    runs: dict[str, Run] = {"real": {}, "smooth": {}}
    for key, value in arrays.items():
        if ":" in key:
            name, step, weight = key.split(":")
            runs[name].setdefault(int(step), {})[weight] = value
    steps = list(map(int, arrays["steps"]))
    band = [dict(zip(steps, map(float, line), strict=True)) for line in arrays["band"]]
    return Reference(runs["real"], runs["smooth"], band)


def marks(steps: int) -> list[int]:
    """The steps at which runs are compared."""
    return sorted({mark for mark in (1, 3, 10, 30, 100, 200, 300, 400, 500) if mark < steps} | {steps})


def pieces(steps: int, reference: bool) -> int:
    """How often `measure`, or the making of the reference, advances."""
    return (3 + PERTURBATIONS if reference else 3) * len(marks(steps))


def measure(
    subject: Subject, reference: Reference, dtypes: list[str], steps: int
) -> tuple[list[Check], list[Curve]]:
    def line(dtype: str, name: str) -> Line:
        run = _run(subject.worker(dtype), subject.data, name, steps, subject.advance)
        return _line(run, reference.real if name == "real" else reference.smooth, name)

    checks, lines = [], {}
    if "float64" in dtypes:
        lines["float64"] = line("float64", "real")
        far = lines["float64"][steps]
        checks.append(_check(f"travel in float64, {steps} steps", far, FLOAT64, "classroom network"))
    lines["float32"], lines["float32, smooth network"] = line("float32", "real"), line("float32", "smooth")
    width = max(band[steps] for band in reference.band)
    checks.append(_in_band(lines["float32"][steps], width, steps))
    quantity = f"travel in float32, {steps} steps, smooth network"
    far = lines["float32, smooth network"][steps]
    check = _check(quantity, far, np.inf, "swish and average pools: no kinks")
    checks.append(
        check.model_copy(update={"limit": None, "verdict": "reported"}) if np.isfinite(far) else check
    )
    lines |= {f"one ulp, {place + 1}": band for place, band in enumerate(reference.band)}
    # A run that diverged has a curve up to there, or none.
    finite = {label: {s: far for s, far in line.items() if np.isfinite(far)} for label, line in lines.items()}
    return checks, [
        Curve(label=label, steps=list(line), travel=list(line.values()))
        for label, line in finite.items()
        if line
    ]


def _in_band(far: float, width: float, steps: int) -> Check:
    note = f"one weight moved by one ulp: {width:.1e}, the widest of {PERTURBATIONS}"
    check = _check(f"travel in float32, {steps} steps", far, BANDS * width, note)
    if steps >= STEPS or check.measured is None:
        return check
    unsure = f"{note}; the band needs {STEPS} steps to open"
    return check.model_copy(update={"verdict": "cannot tell", "note": unsure})


def _check(quantity: str, far: float, limit: float, note: str) -> Check:
    return Check(
        tier="T5",
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
