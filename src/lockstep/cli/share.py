"""Commands that hand results and networks to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lockstep.cli.shared import DEFAULT, ConfigOption, app, out


@app.command("bundle", rich_help_panel="compare and share")
def write_bundle(
    config: ConfigOption = DEFAULT,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE.zip", help="default: the name of the results' folder")
    ] = None,
) -> None:
    """Put results, report, config and provenance into one zip, for `lockstep report FILE.zip` elsewhere."""
    from lockstep import bundle
    from lockstep.config import load
    from lockstep.progress import decoding

    settings = load(config)
    path = to or Path(f"{settings.results.name}.zip")
    with decoding(path.name, len(bundle.members(settings))) as advance:
        about = bundle.write(settings, path, advance)
    for folder, size in about["left_out"].items():
        out.print(f"left out: {folder}, {size / 1e6:,.0f} MB; a report will draw no images", highlight=False)
    if f"{bundle.REPORTS}/index.html" not in about["files"]:
        out.print(f"no report in it: there is none in {settings.reports}", highlight=False)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in about["outcomes"].items())
    out.print(
        f"{path}: {path.stat().st_size / 1e6:,.1f} MB, {len(about['files']):,} files, {outcomes}",
        highlight=False,
    )


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
    out.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", highlight=False)
