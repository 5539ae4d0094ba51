"""Interleaved rounds: A B C A B C, so that what changes slowly meets all of them alike.

A timing that was disturbed is repeated at once, a few times; if every try was, the least disturbed counts,
and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from lockstep.errors import LockstepError
from lockstep.speed.child import Raw
from lockstep.speed.load import Disturbance, Load, between, look

TRIES = 3


class Timed(NamedTuple):
    """A backend, or the script that it is held against."""

    backend: str
    peer: str | None = None

    def __str__(self) -> str:
        return self.peer or self.backend


@dataclass(frozen=True)
class Run:
    """One of them in one round (counted from 1)."""

    timed: Timed
    round: int
    raw: Raw
    """Of the try that counts."""
    tries: list[Disturbance]
    kept: int
    """Which of the tries counts."""

    @property
    def disturbance(self) -> Disturbance:
        return self.tries[self.kept]


Measure = Callable[[Timed, int], Raw]
"""One process, in a round."""


def interleaved(
    everyone: Sequence[Timed],
    rounds: int,
    measure: Measure,
    advance: Callable[[str], None],
    look: Callable[[], Load] = look,
) -> tuple[list[Run], dict[Timed, str]]:
    """All runs, and {what failed: why}, which is left out of the rounds that follow."""
    runs: list[Run] = []
    failed: dict[Timed, str] = {}
    for number in range(1, rounds + 1):
        for timed in everyone:
            advance(f"round {number}: {timed}")
            if timed in failed:
                continue
            try:
                runs.append(_run(timed, number, measure, look))
            except LockstepError as error:
                failed[timed] = str(error)
    return runs, failed


def _run(timed: Timed, number: int, measure: Measure, look: Callable[[], Load]) -> Run:
    cores = psutil.cpu_count() or 1
    raws: list[Raw] = []
    tries: list[Disturbance] = []
    while not tries or (tries[-1].disturbed and len(tries) < TRIES):
        before = look()
        raws.append(measure(timed, number))
        tries.append(between(before, look(), cores))
    kept = min(range(len(tries)), key=lambda place: tries[place].worst)
    return Run(timed, number, raws[kept], tries, kept)
