"""What is claimed of these results, and whether it holds: docs/claims.yaml, as `lockstep check` judges it."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from lockstep.check import CLAIMS
from lockstep.check.judge import Judgement, judge
from lockstep.errors import LockstepError
from lockstep.report.grids import Grid, Group
from lockstep.report.runs import Results
from lockstep.report.verdicts import mark

FOUND = Markup("{}<br><small>{}</small>")


def judged(results: Results) -> Judgement | None:
    """None where nothing is claimed: a report may be built outside the checkout.

    A mistake in the claims, or a reference that is gone, fails `lockstep check`; of a report it is a note.
    """
    if not CLAIMS.is_file():
        return None
    try:
        return judge(results)
    except LockstepError as error:
        return Judgement([], [str(error)], [])


def grid(judgement: Judgement) -> Grid:
    """A row for each claim, grouped by the reference that it takes; its last column is long: `wrap`."""
    files = dict.fromkeys(each.reference for each in judgement.verdicts)
    groups = [
        Group(
            f"against {Path(file).name}" if file else "of any run",
            rows=[
                (mark(each.verdict), each.drawn, each.claim, FOUND.format(each.numbers, each.test))
                for each in judgement.verdicts
                if each.reference == file
            ],
        )
        for file in files
    ]
    return Grid(("verdict", "seeds", "claim", "what was found, and the test"), 4, groups)
