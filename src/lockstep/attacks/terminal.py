"""`lockstep attack`: a trained cell under several attacks, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from lockstep import gpu, outputs
from lockstep.attacks.honesty import Check
from lockstep.attacks.named import Attacked, grid, named, remark, require_takers, taken
from lockstep.attacks.scores import accuracy, unsteadiness
from lockstep.attacks.strength import CONTROLS, checks
from lockstep.attacks.suite import digits
from lockstep.attacks.victim import Victim
from lockstep.console import Console
from lockstep.evaluation import BATCH
from lockstep.progress import counting
from lockstep.results import write_json
from lockstep.trained import Trained

KIND = outputs.json_with("what lockstep attack writes", "cell", "clean", "accuracies")


def run(
    trained: Trained,
    names: Sequence[str],
    eps: Sequence[float],
    options: Mapping[str, Any],
    images: int,
    seed: int,
    json_file: Path | None,
    out: Console,
) -> None:
    """Print accuracies by attack and eps, and what speaks against believing them.

    options: those that were asked for; each goes to the attacks that have it.
    """
    require_takers(names, options)
    wanted = dict.fromkeys([*names, *(CONTROLS["l2" if name.endswith("_l2") else "linf"] for name in names)])
    attacks = [(name, size, named(name, size, **taken(name, options))) for name in wanted for size in eps]
    dataset, training = trained.dataset(), trained.cell.experiment.training
    pixels, labels = digits(dataset.test, images)
    for name, said in {name: remark(attack, dataset.classes) for name, _, attack in attacks}.items():
        if said:
            out.print(f"{name}: {said}", style="yellow")
    with gpu.held(trained.cell.device), counting(len(attacks)) as advance:
        victim = Victim(trained.backend(), dataset.transform, training.dtype, batch=min(len(labels), BATCH))
        clean, shaken = accuracy(victim, pixels, labels), unsteadiness(victim, pixels)
        found = list(grid(victim, pixels, labels, attacks, seed, advance))
    made = checks({(row.attack, row.eps): row.accuracy for row in found}, dataset.classes, shaken)
    out.print(_table(found, made, clean, f"{trained.cell}: accuracy on {len(labels):,} test images, %"))
    for check in made:
        if not check.passed:
            out.print(f"warning: not true that {check.name}: {check}", style="yellow")
    if json_file:
        content = {
            "cell": str(trained.cell),
            "clean": clean,
            "options": dict(options),
            "seed": seed,
            "accuracies": [asdict(row) | {"upper_bound": _is_upper_bound(row, made)} for row in found],
            "checks": [check._asdict() for check in made],
        }
        write_json(json_file, content)


def step(text: str | None) -> float | str | None:
    """Of a command line: a number, or a word that an attack may know."""
    try:
        return text if text is None else float(text)
    except ValueError:
        return text


def _table(found: Sequence[Attacked], made: Sequence[Check], clean: float, title: str) -> Table:
    accuracies = {(row.attack, row.eps): row for row in found}
    sizes = list(dict.fromkeys(row.eps for row in found))
    table = Table("attack", title=title, title_justify="left")
    table.add_column("clean", justify="right")
    notes = []
    if any(_is_upper_bound(row, made) for row in found):
        notes.append("≤: an upper bound, as a check failed: a stronger attack leaves less")
    if any(name.endswith("_l2") for name, _ in accuracies):
        notes.append("of l2, eps is the length of the whole change")
    table.caption, table.caption_justify = "\n".join(notes) or None, "left"
    for eps in sizes:
        table.add_column(f"eps {eps:g}", justify="right")
    for name in dict.fromkeys(row.attack for row in found):
        rows = [accuracies[name, eps] for eps in sizes]
        marks = ["≤ " if _is_upper_bound(row, made) else "" for row in rows]
        shown = (mark + _percent(row.accuracy) for mark, row in zip(marks, rows, strict=True))
        table.add_row(name, _percent(clean), *shown)
        for part in rows[0].stages:
            table.add_row(f"  after {part}", "", *(_percent(row.stages[part]) for row in rows), style="dim")
    return table


def _is_upper_bound(row: Attacked, made: Sequence[Check]) -> bool:
    return any(check.makes_upper_bound(row.attack, row.eps) for check in made)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
