"""What else the machine did while a process was timed.

CPU time is read from the system's own counters before and after.  What neither this process nor the timed
one used, others used; what the hypervisor kept is called steal.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import psutil

STEAL, OTHERS = 0.02, 0.05
"""A timing is disturbed above either share.  An idle desktop takes less than a twentieth of its cores, a
build or a browser more; a steal of a fiftieth is as large as differences that people argue about."""


class Load(NamedTuple):
    """Counters at one moment, in CPU seconds of all cores, but for the first two."""

    at: float
    """Wall clock, seconds."""
    average: float
    """Processes that ran or wanted to, mean of the last minute."""
    busy: float
    steal: float
    ours: float
    """Of this process and its children that have ended."""


def look() -> Load:
    times = psutil.cpu_times()
    # A guest's time is part of user and nice.
    busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ours = sum(usage.ru_utime + usage.ru_stime for usage in used)
    return Load(time.perf_counter(), os.getloadavg()[0], busy, getattr(times, "steal", 0.0), ours)


@dataclass(frozen=True)
class Disturbance:
    """What happened between two looks."""

    seconds: float
    load_before: float
    load_after: float
    steal: float
    """Share of the CPU time that somebody wanted here, which the hypervisor gave to other machines."""
    others: float
    """CPU time of other processes, as a share of what all cores have."""

    @property
    def disturbed(self) -> bool:
        return self.steal > STEAL or self.others > OTHERS

    @property
    def worst(self) -> float:
        return max(self.steal / STEAL, self.others / OTHERS)

    def __str__(self) -> str:
        return f"steal {self.steal:.1%}, other processes {self.others:.1%}"

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "disturbed": self.disturbed}


def between(before: Load, after: Load, cores: int) -> Disturbance:
    """cores: all that the counters are of."""
    seconds = after.at - before.at
    busy, steal = after.busy - before.busy, after.steal - before.steal
    others = max(busy - (after.ours - before.ours), 0.0) / (seconds * cores)
    wanted = busy + steal
    return Disturbance(
        round(seconds, 2),
        round(before.average, 2),
        round(after.average, 2),
        round(steal / wanted if wanted else 0.0, 4),
        round(others, 4),
    )
