"""What was timed on each device with each number of threads, as the page reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lockstep.report import text
from lockstep.report.runs import Results, Side
from lockstep.speed import summary
from lockstep.speed.summary import Ratio, Spread

RATE = "images_per_second"


@dataclass(frozen=True)
class Timing:
    """What was timed on one device with one number of threads.

    Content is read only from those with `usable` True.
    """

    threads: int
    path: Path
    content: Mapping[str, Any] = field(default_factory=dict)
    """Of the file; docs/speed.md explains it."""
    reason: str = ""
    """Why it is not usable."""
    remark: str = ""
    """What a reader should know of one that is."""
    device: str = "cpu"

    @property
    def usable(self) -> bool:
        return not self.reason

    @property
    def label(self) -> str:
        """ "2 threads", "2 threads and a GPU" """
        return f"{text.count(self.threads, 'thread')}{' and a GPU' * (self.device == 'gpu')}"

    @property
    def backends(self) -> list[str]:
        return list(self.content["backends"])

    @property
    def first(self) -> str:
        """What the others are compared with."""
        return str(self.content["first"])

    @property
    def machine(self) -> str:
        machine = self.content["machine"]
        gpu = machine.get("gpu", {}).get("name")
        return ", ".join([machine["cpu"], text.count(machine["cores"], "core"), *([gpu] if gpu else [])])

    @property
    def switches(self) -> str:
        """ "OPENBLAS_CORETYPE=Haswell": what chose the kernels of some library; "" where nothing did."""
        return ", ".join(f"{name}={value}" for name, value in self.content.get("switches", {}).items())

    def spread(self, backend: str, phase: str, quantity: str = RATE) -> Spread | None:
        found: Spread | None = self.content["backends"].get(backend, {}).get(phase, {}).get(quantity)
        return found

    def median(self, backend: str, phase: str, quantity: str = RATE) -> float | None:
        found = self.spread(backend, phase, quantity)
        return found["median"] if found else None

    def ratio(self, backend: str, phase: str, quantity: str = RATE) -> Ratio | None:
        """To the first backend."""
        found: Ratio | None = self.content["ratios"].get(backend, {}).get(phase, {}).get(quantity)
        return found

    def lead(self, backend: str, other: str) -> Ratio | None:
        """backend / other in whole epochs, within rounds."""
        rates = (self.spread(name, "epoch") for name in (other, backend))
        # What fails is left out of all later rounds, so n values are those of the rounds 1 to n.
        ours = [dict(enumerate(rate["values"], 1)) if rate else {} for rate in rates]
        return summary.ratio(*ours)


@dataclass(frozen=True)
class Timings:
    """All devices and numbers of threads that a config asks for, in its order."""

    results: Results
    every: list[Timing]

    @cached_property
    def usable(self) -> list[Timing]:
        return [timing for timing in self.every if timing.usable]

    @property
    def backends(self) -> list[str]:
        return list(dict.fromkeys(name for timing in self.usable for name in timing.backends))

    def label(self, backend: str) -> str:
        """On whichever device: what stands beside it says which."""
        return backend

    def side(self, backend: str) -> Side:
        """For its colour."""
        return Side(backend, "cpu")

    @property
    def machine(self) -> str:
        """For captions: "Some CPU, 2 cores", or that of each file where they differ."""
        names = {timing.label: timing.machine for timing in self.usable}
        if len(set(names.values())) == 1:
            return next(iter(names.values()))
        return "; ".join(f"{label}: {machine}" for label, machine in names.items())
