"""From a backend to its certificate: the tiers asked for, in processes of the backend's own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast
from zipfile import BadZipFile

import numpy as np

from lockstep import discovery, gpu
from lockstep.conformance import answers, attacks, bits, digits, reference, seeds, step_zero, travel
from lockstep.conformance.certificate import QUICK, Certificate, Check, Curve, Diagnosis, Pair
from lockstep.conformance.observe import ADAM
from lockstep.conformance.problem import Tensors
from lockstep.conformance.reference import ALL
from lockstep.conformance.specs import SPECS
from lockstep.conformance.step_zero import Found
from lockstep.conformance.subject import Advance, Subject
from lockstep.conformance.worker import THREADS, Make, Stop, Stopped
from lockstep.data import sources
from lockstep.errors import LockstepError
from lockstep.identity import conformance_hash
from lockstep.plugin import Plugin
from lockstep.provenance import machine
from lockstep.results import read_npz, write_npz

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """What is to be measured."""

    backend: str
    device: str = "cpu"
    tiers: tuple[str, ...] = QUICK
    steps: int = travel.STEPS
    pairs: int = seeds.PAIRS

    @property
    def is_reference(self) -> bool:
        return (self.backend, self.device) == (discovery.REFERENCE, "cpu")

    def pieces(self) -> int:
        """How often `verify` advances, at most."""
        problems = len(ALL) * (bool({"T1", "T2"} & set(self.tiers)) + ("T3" in self.tiers))
        runs = {
            "T0": 2,
            "T4": bits.SMOOTH_PIECES,
            "T5": travel.pieces(self.steps, "T5"),
            "T6": 2 * self.pairs,
            "T7": attacks.PIECES,
            "T8": travel.pieces(self.steps, "T8"),
        }
        return problems + sum(count for tier, count in runs.items() if tier in self.tiers)


@dataclass
class Findings:
    checks: list[Check] = field(default_factory=list)
    diagnosis: Diagnosis | None = None
    curves: list[Curve] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)


def verify(request: Request, data: Path, references: Path | None, advance: Advance) -> Certificate:
    """Measure a backend.

    data: the folder of `prepared_digits`; references: a folder that keeps the reference's runs of T5 to T8.
    Raises LockstepError where backend or device are not there; all else that is wrong is in the certificate.
    """
    plugin = discovery.find(request.backend)
    unready = plugin.missing(request.device)
    if not unready and (reason := plugin.unusable(request.device)):
        raise LockstepError(f"backend {request.backend}: {reason}")
    with gpu.held(request.device) as its_gpu:  # for its workers too
        return _certificate(request, plugin, unready, data, references, advance, its_gpu)


def _certificate(
    request: Request,
    plugin: Plugin,
    unready: str | None,
    data: Path,
    references: Path | None,
    advance: Advance,
    its_gpu: gpu.Gpu | None,
) -> Certificate:
    began, findings = time.perf_counter(), Findings()
    # Of the source as it is now: files may change while it is measured.
    made_of = conformance_hash(request.backend, request.device, request.tiers, request.steps, request.pairs)
    subject = Subject(request.backend, request.device, data, advance)
    dtypes: list[str] = []
    environment: dict[str, str] = {}
    try:
        if unready:
            raise Stopped(Stop("backend", unready, True))
        _require_device(subject)
        dtypes = subject.worker("float32").call(_dtypes, request.device)
        if plugin.precision != "float32":
            dtypes = ["float32"]
        if _measure(request, subject, dtypes, references, findings):
            environment = subject.worker("float32").call(_environment) | plugin.switches
            environment |= {"held": str(its_gpu)} if its_gpu else {}
    except Stopped as stopped:
        findings.checks.append(step_zero.stopped(stopped.stop, request.tiers[0]))
    finally:
        subject.close()
    return Certificate(
        backend=request.backend,
        device=request.device,
        threads=THREADS,
        dtypes=dtypes,
        precision=plugin.precision,
        tiers=list(request.tiers),
        checks=sorted(findings.checks, key=lambda check: (check.verdict == "not yet", check.tier)),
        diagnosis=findings.diagnosis,
        curves=findings.curves,
        pairs=findings.pairs,
        environment=environment,
        versions=plugin.versions(request.device),
        hash=made_of,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.perf_counter() - began, 1),
    )


@contextmanager
def prepared_digits() -> Iterator[Path]:
    """The digits that T0 and T4 to T8 run on, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="lockstep-") as folder:
        path = Path(folder, digits.SOURCE)
        sources.prepare(digits.SOURCE, path)
        yield path


def _measure(
    request: Request, subject: Subject, dtypes: list[str], references: Path | None, findings: Findings
) -> bool:
    """Whether the backend answered all calls.  Both dtypes run at once: compiling uses one core."""
    if {"T1", "T2", "T3"} & set(request.tiers):
        for name in ALL:
            reference.observation(name)  # before there are two threads
    with ThreadPoolExecutor(2) as pool:
        parts = [
            pool.submit(_in_float64, request, subject, dtypes),
            pool.submit(_in_float32, request, subject),
        ]
    for part in (future.result() for future in parts):
        findings.checks += part.checks
        findings.diagnosis = findings.diagnosis or part.diagnosis
    if any(part.result().stopped for part in parts):
        return False
    if "T5" in request.tiers:
        run = _travels(request, subject, references)
        if request.is_reference:
            findings.checks.append(_itself("T5"))
        elif "float64" not in dtypes:
            findings.checks.append(_no_float64(request, subject, "T5"))
        else:
            checks, curves = travel.in_float64(subject, run, request.steps)
            findings.checks, findings.curves = findings.checks + checks, findings.curves + curves
    if "T6" in request.tiers:
        outcomes = _outcomes(request, subject, references)
        if request.is_reference:
            findings.checks.append(_itself("T6"))
        else:
            checks, findings.pairs = seeds.measure(subject, outcomes)
            findings.checks += checks
    if "T7" in request.tiers:
        attacked = _attacked(subject, references)
        if request.is_reference:
            findings.checks.append(_itself("T7"))
        else:
            findings.checks += _judged(subject, attacks.measure(subject, attacked))
    if "T8" in request.tiers:
        checks, curves = travel.in_float32(subject, _band(request, subject, references), request.steps)
        findings.checks, findings.curves = (
            findings.checks + _judged(subject, checks),
            findings.curves + curves,
        )
    return True


def _judged(subject: Subject, checks: list[Check]) -> list[Check]:
    """T7 and T8 measure what the last bits of float32 do; of less precise arithmetic they are reported."""
    if subject.precision == "float32":
        return checks
    note = f"limits are of float32, this is {subject.precision}"
    return [
        check.model_copy(update={"limit": None, "verdict": "reported", "note": f"{note}; {check.note}"})
        if check.measured is not None
        else check
        for check in checks
    ]


def _itself(tier: str) -> Check:
    return Check(tier=tier, quantity="the reference itself", measured=None, verdict="reported")


def _in_float64(request: Request, subject: Subject, dtypes: list[str]) -> Found:
    tiers = [tier for tier in request.tiers if tier in ("T1", "T2")]
    if "float64" in dtypes:
        return step_zero.compare(subject, "float64", tiers)
    return Found([_no_float64(request, subject, tier) for tier in tiers])


def _no_float64(request: Request, subject: Subject, tier: str) -> Check:
    lacks = request.device if subject.precision == "float32" else subject.precision
    note = f"{lacks} has no float64: this certificate covers float32 only"
    return Check(tier=tier, quantity="float64", measured=None, verdict="reported", note=note)


def _in_float32(request: Request, subject: Subject) -> Found:
    found = step_zero.compare(subject, "float32", [tier for tier in request.tiers if tier == "T3"])
    if found.stopped:
        return found
    tier = "T4"
    try:
        if "T4" in request.tiers:
            found.checks += bits.smooth(subject)
        tier = "T0"
        if "T0" in request.tiers:
            found.checks += [*bits.repeatable(subject), bits.fence(subject)]
    except Stopped as error:
        found.checks.append(step_zero.stopped(error.stop, tier))
        found.stopped = True
    return found


def _travels(request: Request, subject: Subject, folder: Path | None) -> travel.Run:
    def make() -> travel.Run:
        return travel.made(subject.data, request.steps, subject.advance)

    return _kept(("T5", request.steps), folder and folder / "travel.npz", make, travel.save, travel.load)


def _band(request: Request, subject: Subject, folder: Path | None) -> travel.Band:
    def make() -> travel.Band:
        run = _travels(request, subject, None)  # from memory, where T5 was measured too
        return travel.Band.made(run, subject.data, request.steps, subject.advance)

    return _kept(
        ("T8", request.steps), folder and folder / "band.npz", make, travel.save_band, travel.load_band
    )


def _outcomes(request: Request, subject: Subject, folder: Path | None) -> seeds.Outcomes:
    def make() -> seeds.Outcomes:
        return seeds.made(subject.data, request.pairs, subject.advance)

    return _kept(("T6", request.pairs), folder and folder / "seeds.npz", make, seeds.save, seeds.load)


def _attacked(subject: Subject, folder: Path | None) -> Tensors:
    def make() -> Tensors:
        return attacks.made(subject.data, subject.advance)

    return _kept(("T7", attacks.COUNT), folder and folder / "attacks.npz", make, dict, dict)


def _kept(
    key: tuple[str, int],
    path: Path | None,
    make: Callable[[], T],
    save: Callable[[T], Tensors],
    load: Callable[[Tensors], T],
) -> T:
    """What the reference computes for a tier: from memory, from the file if it is of this source, or made."""
    if key in _made:
        return cast(T, _made[key])
    source = conformance_hash(discovery.REFERENCE, "cpu", (key[0],), key[1], key[1])
    kept: Tensors = {}
    with suppress(OSError, ValueError, BadZipFile):  # not there, or damaged: made again
        kept = read_npz(path) if path else {}
    if str(kept.pop("source", "")) == source:
        value = load(kept)
    else:
        value = make()
        if path:
            write_npz(path, {**save(value), "source": np.array(source)})
    _made[key] = value
    return value


_made: dict[tuple[str, int], object] = {}


def _require_device(subject: Subject) -> None:
    """Asked in a process that ends: asking may start a framework before it is told its threads."""
    if subject.device == "cpu":
        return
    worker = subject.fresh("float32")
    try:
        usable = worker.call(devices, subject.backend)
    finally:
        worker.close()
    if subject.device not in usable:
        names = ", ".join(usable) or "nothing"
        raise LockstepError(f"no device {subject.device!r} for {subject.backend} here; it can use: {names}")


def devices(make: Make, backend: str) -> list[str]:
    return answers.names("devices", discovery.load(discovery.find(backend)).devices())


def _dtypes(make: Make, device: str) -> list[str]:
    """Asked of the first network that is built, as are its devices: both may start the framework."""
    backend = make(SPECS["no convolution"], ADAM)
    if device not in (usable := answers.names("devices", backend.devices())):
        raise Stopped(Stop("devices", f"{device!r} is not among {usable}", False))
    return answers.names("dtypes", backend.dtypes(device))


def _environment(make: Make) -> dict[str, str]:
    switches = type(make(SPECS["no convolution"], ADAM)).environment()
    return {"processor": machine()["cpu"]} | answers.texts("environment", switches)
