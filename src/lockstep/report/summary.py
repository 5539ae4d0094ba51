"""The results in a terminal: what was reached, what is not there and why, where the page is."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from lockstep.console import Console
from lockstep.freshness import known_report_hash
from lockstep.report import text
from lockstep.report.certificates import read_all
from lockstep.report.folder import made_by
from lockstep.report.runs import Results
from lockstep.statistics import estimate


def show(results: Results, console: Console, bundle: Path | None = None) -> None:
    """Print accuracies, cells without a plain result, and the path of the report.

    bundle: that the results were read from, if they were.
    """
    config = results.config
    done, total = sum(run.usable for run in results.runs), len(results.runs)
    console.print(f"{done} of {total} runs completed; mean ± SD over seeds:")
    console.print(_accuracies(results))
    problems = _problems(results)
    if problems.row_count:
        console.print(problems)
    console.print("Conformance, by lockstep verify:")
    for each in read_all(config):
        console.print(f"  {results.label(each.side)}: {each.summary}")
    page = config.reports / "index.html"
    source = bundle or f"--config {config.path}"
    current, made = known_report_hash(config), made_by(config.reports)
    if not page.exists():
        hint = f"No report yet: lockstep report {source}"
    elif current in (None, made):
        hint = f"Report: {page}"
    else:
        hint = f"Report, out of date: {page}; to build it anew: lockstep report {source}"
    console.print(hint)


def _accuracies(results: Results) -> Table:
    """A line per experiment and backend: as many backends as there may be fit in a narrow terminal."""
    table = Table("experiment", "backend")
    table.add_column("test accuracy, %", justify="right")
    table.add_column("seeds", justify="right")
    for name in results.experiments:
        table.add_section()
        for place, side in enumerate(results.sides_of(name)):
            value = estimate(list(results.accuracies(name, side).values()))
            spread = f" ± {text.percent(value.sd)}" if value.n > 1 else ""
            shown = f"{text.percent(value.mean)}{spread}"
            stale = sum(run.outdated for run in results.seeds(name, side).values())
            seeds = f"{value.n}, {stale} stale" if stale else str(value.n)
            table.add_row("" if place else name, results.label(side), shown, seeds)
    return table


def _problems(results: Results) -> Table:
    table = Table(
        "experiment",
        "backend",
        "seeds",
        "outcome",
        "reason",
        title="Not completed, or stale",
        title_justify="left",
    )
    for (name, side, outcome, reason, _), seeds in results.problems.items():
        table.add_row(name, results.label(side), ", ".join(map(str, seeds)), outcome, reason)
    return table
