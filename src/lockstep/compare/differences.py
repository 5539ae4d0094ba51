"""What differs between two results but their metrics: circumstances, and which cells there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from lockstep.compare.read import Facts, Key, Source
from lockstep.report import text

KINDS = ("environment", "data", "code", "settings", "attacks", "cells")
ABSENT = "not there"
NAMED = 4
"""As many names are listed in a line."""

Made = Key | str
"""What was made: a cell, or the name of a file of times."""


@dataclass(frozen=True)
class Difference:
    kind: str
    what: str
    first: str
    second: str
    made: Sequence[Made]
    """What it concerns."""


def differences(first: Source, second: Source) -> list[Difference]:
    """By kind; equal differences of several cells are one."""
    found: dict[tuple[str, str, str, str], list[Made]] = {}
    ours, theirs = _facts(first), _facts(second)
    for made in sorted(ours.keys() & theirs.keys(), key=_order):
        for kind in KINDS:
            a, b = ours[made].get(kind), theirs[made].get(kind)
            if a is None or b is None or a == b:  # a cell that failed left no facts
                continue
            for name in {**a, **b}:
                values = _shown(a.get(name, ABSENT)), _shown(b.get(name, ABSENT))
                if values[0] != values[1]:
                    found.setdefault((kind, name, *values), []).append(made)
    for here, there, said in ((ours, theirs, ("there", ABSENT)), (theirs, ours, (ABSENT, "there"))):
        for made in here.keys() - there.keys():
            what = "times" if isinstance(made, str) else "cell"
            found.setdefault(("cells", what, *said), []).append(made)
    rows = [Difference(*key, sorted(made, key=_order)) for key, made in found.items()]
    return sorted(rows, key=lambda row: (KINDS.index(row.kind), row.what))


def _facts(source: Source) -> dict[Made, Facts]:
    """Of every cell and file of times; how a cell ended, and whether it was attacked, are facts too."""
    cells: dict[Made, Facts] = {
        key: {
            **run.facts,
            "cells": {"outcome": run.outcome, "attacked": run.attack.outcome},
            **({"attacks": run.attack.settings} if run.attack.measured else {}),
        }
        for key, run in source.runs.items()
    }
    return {**cells, **{name: timed.facts for name, timed in source.timed.items()}}


def _order(made: Made) -> tuple[bool, Made]:
    return isinstance(made, str), made


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def concerned(difference: Difference, first: Source, second: Source) -> str:
    """ "all 60 cells", "3 cells: baseline on jax, seeds 0, 1 and 2", "all 60 cells; times of threads-1" """
    cells = [made for made in difference.made if isinstance(made, Key)]
    times = [made for made in difference.made if isinstance(made, str)]
    known = first.runs.keys() | second.runs.keys()
    parts = []
    if cells:
        whole = len(cells) == len(known) > 1
        parts.append(f"{'all ' if whole else ''}{text.count(len(cells), 'cell')}{_names(cells, known)}")
    if times:
        parts.append(f"times of {text.listed(times)}")
    return "; ".join(parts)


def _names(cells: Sequence[Key], known: Collection[Key]) -> str:
    """What tells these cells from the others: experiments, backends, devices, and if need be seeds."""
    names, rest = [], set(known)
    for place in range(3):
        mine = list(dict.fromkeys(key[place] for key in cells))
        if len(mine) < len({key[place] for key in known}):
            names.append(few(mine))
            rest = {key for key in rest if key[place] in mine}
    seeds = sorted({key.seed for key in cells})
    parts = [" on ".join(names)] if names else []
    if len(seeds) < len({key.seed for key in rest}):
        parts.append(f"seed{'s' if len(seeds) > 1 else ''} {few(seeds)}")
    return f": {', '.join(parts)}" if parts else ""


def few(values: Sequence[str | int]) -> str:
    names = list(map(str, values))
    return text.listed(names if len(names) <= NAMED else [*names[:NAMED], f"{len(names) - NAMED} more"])
