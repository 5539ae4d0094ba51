"""The command that times backends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lockstep.cli.shared import DEFAULT, ConfigOption, app, out


@app.command("time", rich_help_panel="measure")
def time_backends(
    names: Annotated[list[str], typer.Argument(metavar="BACKEND...", show_default=False)],
    threads: Annotated[int, typer.Option(help="CPU threads of each")] = 1,
    batch_size: Annotated[int | None, typer.Option(help="default: the experiment's")] = None,
    rounds: Annotated[int, typer.Option(help="interleaved: A B C A B C")] = 5,
    device: Annotated[str, typer.Option(help="cpu or gpu")] = "cpu",
    peers: Annotated[
        bool, typer.Option("--peers", help="time each backend's script in benchmarks/peers beside it")
    ] = False,
    config: ConfigOption = DEFAULT,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write figures")] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="keep pytest-benchmark's JSON of every process")
    ] = None,
) -> None:
    """Time a config's baseline on backends, in processes of their own; see docs/speed.md."""
    from lockstep import outputs
    from lockstep.config import load
    from lockstep.speed import terminal

    outputs.require(json_file, terminal.KIND)
    request = terminal.request(load(config), names, device, threads, batch_size, rounds, peers, out)
    terminal.run(request, json_file, keep, out)
