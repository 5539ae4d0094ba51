"""Commands that compare results and hand them to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from lockstep.cli.shared import app, out


@app.command(rich_help_panel="compare and share")
def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...", help="two or more folders, configs or bundles", show_default=False
        ),
    ],
    margin: Annotated[
        float, typer.Option(metavar="POINTS", help="differences of accuracy this small are none")
    ] = 0.5,
    max_drop: Annotated[
        float | None, typer.Option(metavar="POINTS", help="fail if test accuracy is lower by more")
    ] = None,
    max_slowdown: Annotated[
        float | None, typer.Option(metavar="RATIO", help="fail if epochs take this many times as long")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(help="different, cannot-tell, environment, data, code, settings, attacks or cells"),
    ] = None,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="compare times of different machines too")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="write a page")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write figures")] = None,
) -> None:
    """Compare results with the first of them: what differs, metrics, times; see docs/compare.md."""
    from lockstep.compare import comparison, read, terminal
    from lockstep.compare.limits import Limits, failures
    from lockstep.results import write_json

    limits = Limits(max_drop, max_slowdown, fail_on or ())
    with read.opened(results) as sources:
        found = comparison.compare(sources, margin, across_machines)
    failed = failures(found, limits)
    terminal.show(found, out)
    if json_file:
        write_json(json_file, comparison.as_json(found) | {"failed": failed})
    if html:
        from lockstep.compare import page  # draws, which takes a second

        page.write(found, html)
        out.print(Text(f"Page: {html}"))
    for line in failed:
        out.print(Text(f"failed: {line}", style="bold red"))
    if failed:
        raise typer.Exit(1)
