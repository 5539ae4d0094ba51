"""What a card of the summary holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from lockstep.report.grids import Grid

Tone = Literal["good", "unsure", "bad", "none"]
"""How a verdict is marked: ✓, ?, ✗, and – where there is none."""
WORST_FIRST: tuple[Tone, ...] = ("bad", "unsure", "none", "good")


class Checked(NamedTuple):
    tone: Tone
    sentence: str


class Link(NamedTuple):
    target: str
    """File, place or both."""
    title: str


@dataclass(frozen=True)
class Card:
    question: str
    tone: Tone
    answer: str
    links: tuple[Link, ...]
    grid: Grid | None = None
    """A few numbers, with interval and n."""
    checks: tuple[Checked, ...] = ()
    notes: tuple[str, ...] = ()


def worst(checks: tuple[Checked, ...]) -> Tone:
    found = {check.tone for check in checks}
    return next((tone for tone in WORST_FIRST if tone in found), "none")
