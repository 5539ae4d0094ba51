"""Times of two results as ratios, where they can be compared at all.

Training seconds of cells are not compared: cells share a machine with each other, so they are no benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lockstep.compare.contrast import welch
from lockstep.compare.read import Source, Timed
from lockstep.report import text
from lockstep.speed import rows as shown
from lockstep.speed.summary import Ratio

ALIKE = ("experiment", "device", "threads", "batch_size", "images")
"""Settings that decide how long a timed piece of work takes."""


@dataclass(frozen=True)
class TimeRow:
    timed: str
    """Name of the file: threads-1."""
    backend: str
    phase: str
    quantity: str
    label: str
    """Of both, with the unit; above 1 is faster in images and FLOPs a second, slower or more in others."""
    ratio: Ratio
    """Second / first."""
    told: str
    """The ratio with its interval."""

    @property
    def is_epochs(self) -> bool:
        """What speed is judged by."""
        return (self.phase, self.quantity) == ("epoch", "images_per_second")


def rows(first: Source, second: Source, across_machines: bool) -> tuple[list[TimeRow], list[str]]:
    """Ratios, and lines about what is not compared, or was disturbed."""
    found, remarks = [], []
    for name in sorted(first.timed.keys() & second.timed.keys()):
        a, b = first.timed[name], second.timed[name]
        reason = _unlike(a, b, across_machines)
        if reason:
            remarks.append(f"times of {name} are not compared: {reason}")
        else:
            found += list(_rows(name, a, b))
            for source, timed in ((first, a), (second, b)):
                if rounds := len(timed.content["disturbed"]):
                    of = text.count(timed.content["rounds"], "round")
                    remarks.append(f"{source.label}, {name}: {rounds} of {of} disturbed by other programs")
    return found, remarks


def _unlike(first: Timed, second: Timed, across_machines: bool) -> str:
    """Why times cannot be compared; nothing if they can."""
    a, b = first.content, second.content
    for name in ALIKE:
        if a[name] != b[name]:
            return f"{name.replace('_', ' ')} {a[name]} and {b[name]}"
    if a["flops_per_image"] != b["flops_per_image"]:
        return "not the same network"
    if not across_machines and (machines := [_machine(each) for each in (a, b)])[0] != machines[1]:
        return f"timed on {machines[0]} and on {machines[1]}; --across-machines compares them all the same"
    return ""


def _machine(content: Any) -> str:
    """What decides how fast a machine is, as far as it is recorded."""
    machine, parts = content["machine"], []
    if content["device"] != "cpu":
        devices = (
            switches.get(name) for switches in content["environment"].values() for name in ("gpu", "device")
        )
        parts = sorted({str(name) for name in devices if name})
    return ", ".join([machine["cpu"], f"{machine['cores']} cores", *parts])


def _rows(name: str, first: Timed, second: Timed) -> Iterator[TimeRow]:
    for row in shown.ROWS:
        for backend, phases in first.content["backends"].items():
            others = second.content["backends"].get(backend, {})
            a, b = (each.get(row.phase, {}).get(row.quantity) for each in (phases, others))
            if a and b:
                ratio = _ratio(a["values"], b["values"])
                label = f"{row.label.strip()}, {row.unit}".rstrip(", ")
                yield TimeRow(name, backend, row.phase, row.quantity, label, ratio, shown.ratio(ratio))


def _ratio(first: list[float], second: list[float]) -> Ratio:
    """Of geometric means, with the Welch interval of the difference of logarithms: rounds of two runs are
    no pairs."""
    found = welch([math.log(value) for value in first], [math.log(value) for value in second])
    low, high = (None if math.isnan(end) else math.exp(end) for end in found.interval())
    return Ratio(ratio=math.exp(found.mean), low=low, high=high, n=min(found.n))
