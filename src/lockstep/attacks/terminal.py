"""`lockstep attack`: a trained cell under several attacks, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from lockstep.attacks import honesty
from lockstep.attacks.named import Attacked, grid, named
from lockstep.attacks.scores import accuracy
from lockstep.attacks.victim import Victim
from lockstep.progress import counting
from lockstep.results import write_json
from lockstep.trained import Trained

CONTROL = "uniform_noise"
"""Measured at every eps beside the attacks: what they must beat."""


def run(
    trained: Trained,
    names: Sequence[str],
    eps: Sequence[float],
    steps: int,
    images: int,
    seed: int,
    json_file: Path | None,
    out: Console,
) -> None:
    """Print accuracies by attack and eps, and what speaks against believing them."""
    wanted = list(dict.fromkeys([*names, CONTROL]))
    attacks = [(name, size, named(name, size, steps)) for name in wanted for size in eps]
    dataset, training = trained.dataset(), trained.cell.experiment.training
    rows = slice(0, images)
    pixels = dataset.test.images[rows].astype(np.float32) / 255
    labels = dataset.test.labels[rows].astype(np.int64)
    victim = Victim(trained.backend(), dataset.transform, training.dtype)
    clean = accuracy(victim, pixels, labels)
    with counting(len(attacks)) as advance:
        found = list(grid(victim, pixels, labels, attacks, seed, advance))
    out.print(_table(found, clean, f"{trained.cell}: accuracy on {len(labels):,} test images, %"))
    checks = _checks(found)
    for check in checks:
        if not check.passed:
            out.print(f"warning: not true that {check.name}: {check.detail}", style="yellow")
    if json_file:
        content = {
            "cell": str(trained.cell),
            "clean": clean,
            "steps": steps,
            "seed": seed,
            "accuracies": [asdict(row) for row in found],
            "checks": [check._asdict() for check in checks],
        }
        write_json(json_file, content)


def _table(found: Sequence[Attacked], clean: float, title: str) -> Table:
    sizes = list(dict.fromkeys(row.eps for row in found))
    table = Table("attack", title=title, title_justify="left")
    table.add_column("clean", justify="right")
    for eps in sizes:
        table.add_column(f"eps {eps:g}", justify="right")
    accuracies = {(row.attack, row.eps): f"{100 * row.accuracy:.1f}" for row in found}
    for name in dict.fromkeys(row.attack for row in found):
        table.add_row(name, f"{100 * clean:.1f}", *(accuracies[name, eps] for eps in sizes))
    return table


def _checks(found: Sequence[Attacked]) -> list[honesty.Check]:
    """Those that these attacks allow."""
    curves: dict[str, dict[float, float]] = {}
    for row in found:
        curves.setdefault(row.attack, {})[row.eps] = row.accuracy
    checks = []
    for name, curve in curves.items():
        if name == CONTROL:
            continue
        checks.append(_of(name, honesty.stronger_with_eps(curve)))
        checks += [_of(name, honesty.noise_is_weaker(curves[CONTROL][eps], curve[eps])) for eps in curve]
    if {"fgsm", "pgd"} <= curves.keys():
        checks += [honesty.iterations_help(curves["fgsm"][eps], curves["pgd"][eps]) for eps in curves["pgd"]]
    return checks


def _of(name: str, check: honesty.Check) -> honesty.Check:
    return check._replace(detail=f"{name}: {check.detail}")
