"""What `lockstep check` prints and writes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from lockstep import outputs
from lockstep.check.judge import Judgement
from lockstep.console import Console
from lockstep.results import write_json

STYLES = {"holds": "green", "does not hold": "bold red", "cannot tell": "yellow", "not run": "yellow"}


KIND = outputs.json_with("what lockstep check writes", "passed", "answer", "verdicts")


def show(judgement: Judgement, console: Console) -> None:
    """The verdict on each claim, what has none, and the answer."""
    table = Table("verdict", "seeds", "claim", "what was found", box=SIMPLE_HEAD, pad_edge=False)
    for each in judgement.verdicts:
        found = Text(each.numbers)
        if each.verdict in ("does not hold", "cannot tell"):
            found.append(f"\n{each.test}", style="dim")
        table.add_row(Text(each.verdict, STYLES[each.verdict]), Text(each.drawn, "dim"), each.claim, found)
    console.print(table)
    for note in judgement.notes:
        console.print(note)
    console.print(f"Is this run a reproduction? {judgement.answer}", style="bold")


def write(path: Path, judgement: Judgement) -> None:
    verdicts = [asdict(each) for each in judgement.verdicts]
    rest = {"notes": judgement.notes, "unfinished": judgement.unfinished}
    write_json(path, {"passed": judgement.passed, "answer": judgement.answer, "verdicts": verdicts, **rest})
