"""The backend under test: its processes, one for each dtype and number of threads, started when needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lockstep.backend import ROUNDOFF
from lockstep.conformance.worker import THREADS, Worker
from lockstep.discovery import find

Advance = Callable[[str], None]
"""Called before each piece of work, with what it is."""


@dataclass
class Subject:
    backend: str
    device: str
    data: Path
    """The prepared digits."""
    advance: Advance
    workers: dict[tuple[str, int], Worker] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        return find(self.backend).precision

    @property
    def allowance(self) -> float:
        """How many times as wide a limit on float32 is for it: as its unit roundoff is."""
        return ROUNDOFF[self.precision] / ROUNDOFF["float32"]

    def worker(self, dtype: str, threads: int = THREADS) -> Worker:
        if (dtype, threads) not in self.workers:
            self.workers[dtype, threads] = self.fresh(dtype, threads)
        return self.workers[dtype, threads]

    def fresh(self, dtype: str, threads: int = THREADS) -> Worker:
        return Worker.start(self.backend, dtype, self.device, threads)

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()
