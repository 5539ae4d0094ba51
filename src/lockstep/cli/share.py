"""Commands that compare results and hand them to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lockstep.cli.shared import DEFAULT, ConfigOption, app, out


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
    from lockstep import outputs
    from lockstep.compare import comparison, read, terminal
    from lockstep.compare.limits import Limits, failures
    from lockstep.results import write_json

    outputs.require(json_file, comparison.KIND)
    outputs.require(html, comparison.PAGE)
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
        out.print(f"Page: {html}")
    for line in failed:
        out.print(f"failed: {line}", style="bold red")
    if failed:
        raise typer.Exit(1)


@app.command("bundle", rich_help_panel="compare and share")
def write_bundle(
    config: ConfigOption = DEFAULT,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE.zip", help="default: the name of the results' folder")
    ] = None,
) -> None:
    """Put results, report, config and provenance into one zip, for `lockstep report FILE.zip` elsewhere."""
    from lockstep import bundle, outputs
    from lockstep.bundle_names import REPORTS
    from lockstep.config import load
    from lockstep.progress import decoding

    settings = load(config)
    path = to or Path(f"{settings.results.name}.zip")
    if not to:
        outputs.require_new(path, "--to")
    outputs.require(path, bundle.KIND)
    with decoding(path.name, len(bundle.members(settings))) as advance:
        about = bundle.write(settings, path, advance)
    for folder, size in about["left_out"].items():
        out.print(f"left out: {folder}, {size / 1e6:,.0f} MB; a report will draw no images")
    if f"{REPORTS}/index.html" not in about["files"]:
        out.print(f"no report in it: there is none in {settings.reports}")
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in about["outcomes"].items())
    out.print(f"{path}: {path.stat().st_size / 1e6:,.1f} MB, {len(about['files']):,} files, {outcomes}")


@app.command(rich_help_panel="compare and share")
def export(
    folder: Annotated[Path, typer.Argument(metavar="CELL", help="folder of a finished cell")],
    to: Annotated[str, typer.Option(help="keras, torch, npz or safetensors")],
    file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="default: named after the cell")
    ] = None,
) -> None:
    """Write a trained network as a file for others: pixels in [0, 1] to probabilities; see docs/export.md."""
    from lockstep import export as exports

    path = exports.export(folder, to, file)
    out.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
