"""Commands for those who write backends and configs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lockstep.cli.shared import DEFAULT, ConfigOption, PluginsOption, app, know, out
from lockstep.errors import LockstepError

if TYPE_CHECKING:
    from lockstep.plugin import Plugin


@app.command(rich_help_panel="extend")
def spec(
    config: ConfigOption = DEFAULT,
    experiment: Annotated[str | None, typer.Option(help="default: the baseline")] = None,
) -> None:
    """Print an experiment's layers: shapes, receptive fields, parameters and FLOPs."""
    from lockstep.config import load
    from lockstep.layer_table import layer_table

    settings = load(config)
    name = experiment or settings.baseline
    if name not in settings.experiments:
        raise LockstepError(f"{config}: no experiment {name!r}; it has: {', '.join(settings.experiments)}")
    out.print(layer_table(name, settings.experiments[name].spec))


@app.command(rich_help_panel="extend")
def backends(config: PluginsOption = None) -> None:
    """List the backends that are found: versions, devices, options of variants, or what is wrong with one."""
    from lockstep.discovery import plugins

    know(config)
    table, faults = Table(), {}
    for column in ("backend", "versions", "devices", "variants", "folder"):
        table.add_column(column, overflow="fold")
    for plugin in plugins().values():
        versions = ", ".join(f"{name} {version}" for name, version in plugin.versions().items())
        try:
            devices = ", ".join(_devices(plugin)) or "none usable here"
        except LockstepError as error:
            devices, faults[plugin.name] = "none: see below", error
        table.add_row(plugin.name, versions, devices, ", ".join(plugin.variants), _short(plugin.folder))
    out.print(table)
    for name, fault in faults.items():
        out.print(f"{name}: {fault}", style="yellow")


def _devices(plugin: Plugin) -> list[str]:
    """Asked in a process of its own: one process holds one framework.  Raises LockstepError."""
    if reason := plugin.missing():
        raise LockstepError(reason)
    command = [sys.executable, "-m", "lockstep", "describe", plugin.name]
    child = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["its process died without a word"])[-1]
        raise LockstepError(last.removeprefix("lockstep: "))
    return list(json.loads(child.stdout.splitlines()[-1])["devices"])


def _short(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


@app.command("new-backend", rich_help_panel="extend")
def make_backend(
    name: Annotated[str, typer.Argument(help="lower-case letters, digits, - and _")],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="that holds backends")] = Path("backends"),
) -> None:
    """Write a backend that already runs, in NumPy, to be replaced piece by piece."""
    from lockstep import new_backend

    folder = new_backend.write(name, to)
    out.print(f"{folder}: a backend that runs as it is.  Next, beside docs/plugins.md:")
    for command in new_backend.next_commands(name, to):
        out.print(f"  {command}")


@app.command("describe", rich_help_panel="extend")
def describe_backend(name: Annotated[str, typer.Argument()]) -> None:
    """Print one backend's devices and environment as JSON."""
    from lockstep import discovery
    from lockstep.conformance import answers

    backend = discovery.load(discovery.find(name))
    devices = answers.names("devices", backend.devices())
    print(
        json.dumps({"devices": devices, "environment": answers.texts("environment", backend.environment())})
    )


@app.command(rich_help_panel="extend")
def schema() -> None:
    """Print the JSON schema of config files, for editors."""
    from lockstep.config import schema as config_schema

    print(json.dumps(config_schema(), indent=2))
