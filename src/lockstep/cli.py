"""The command line.  Snakemake is the interface to the whole; a command here does one thing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lockstep import process
from lockstep.errors import LockstepError, one_line

app = typer.Typer(
    help="One CNN spec, every backend, step for step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 120)

ConfigOption = Annotated[Path, typer.Option("--config", help="config file", metavar="FILE")]
BackendsOption = Annotated[
    str | None, typer.Option("--backends", help="a subset, separated by commas", metavar="NAMES")
]
INTERRUPTED = 130  # how typer ends after Ctrl-C
DEFAULT = Path("config/config.yaml")


def main() -> None:
    """Run a command; whatever goes wrong is one line on stderr and exit status 1."""
    process.prepare()  # before a command imports NumPy, which starts its thread pool
    try:
        app()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print(
                "lockstep: interrupted; training goes on from its last checkpoint when it is run again",
                file=sys.stderr,
            )
        raise
    except Exception as error:
        if os.environ.get("LOCKSTEP_TRACEBACK"):
            raise
        known = isinstance(error, LockstepError | OSError)
        hint = "" if known else "; this is a bug: set LOCKSTEP_TRACEBACK=1 to see where, and report it"
        sys.exit(f"lockstep: {one_line(error)}{hint}")


@app.command(rich_help_panel="run")
def train(
    experiment: Annotated[str, typer.Option(help="name in the config")],
    backend: Annotated[str, typer.Option(help="name of a backend")],
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1)] = 0,
    device: Annotated[str, typer.Option(help="cpu or gpu")] = "cpu",
    config: ConfigOption = DEFAULT,
    events: Annotated[
        Path | None,
        typer.Option(
            "--tensorboard", metavar="FOLDER", help="write TensorBoard events here; default: the config's"
        ),
    ] = None,
) -> None:
    """Train and evaluate one cell; a killed run goes on where it stopped."""
    from lockstep import cell as cells
    from lockstep.config import load
    from lockstep.progress import watching

    settings = load(config)
    cell = settings.cell(experiment, backend, device, seed)
    folder = events or settings.tensorboard
    with watching(cell) as watcher:
        if folder:
            from lockstep import tensorboard

            metrics = tensorboard.run(folder, settings, cell, watcher)
        else:
            metrics = cells.run(settings, cell, watcher)
    if metrics["outcome"] == "completed":
        rows = [row for row in metrics["measurements"] if row["split"] == "test" and not row["condition"]]
        test = {row["metric"]: row["value"] for row in rows}
        text = f"test accuracy {test['accuracy']:.4f}, cross-entropy {test['cross_entropy']:.4f}"
    else:
        text = f"{metrics['outcome']}: {metrics['reason']}"
    out.print(f"{cell}: {text}", highlight=False)


@app.command(rich_help_panel="run")
def data(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", show_default=False)] = None,
    config: ConfigOption = DEFAULT,
) -> None:
    """Decode a config's data sources once, for every cell to read; all of them, or those named."""
    from lockstep.config import load
    from lockstep.data import sources, store
    from lockstep.progress import decoding

    settings = load(config)
    for name in names or settings.sources:
        if name not in settings.sources:
            raise LockstepError(
                f"{config}: no data source {name!r}; its experiments read: {', '.join(settings.sources)}"
            )
    for name in names or settings.sources:
        setting = settings.sources[name]
        folder = settings.data_path(setting)
        with decoding(name, sources.find(setting).listed) as advance:
            sources.ensure(setting, folder, advance)
        out.print(store.summary(folder), highlight=False, markup=False)


@app.command(rich_help_panel="run")
def robustness(
    experiment: Annotated[str, typer.Option(help="name in the config")],
    backend: Annotated[str, typer.Option(help="name of a backend")],
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1)] = 0,
    device: Annotated[str, typer.Option(help="cpu or gpu")] = "cpu",
    config: ConfigOption = DEFAULT,
) -> None:
    """Attack one finished cell as the config's `attacks` say, for the report."""
    from lockstep.attacks import robustness as attacked
    from lockstep.config import load
    from lockstep.progress import counting

    settings = load(config)
    cell = settings.cell(experiment, backend, device, seed)
    out.print(f"{cell}: {attacked.run(settings, cell, counting)}", highlight=False)


@app.command(rich_help_panel="run")
def transfer(
    backend: Annotated[str, typer.Option(help="name of a backend")],
    device: Annotated[str, typer.Option(help="cpu or gpu")] = "cpu",
    config: ConfigOption = DEFAULT,
) -> None:
    """Show one backend's networks the images that were attacked on every network, for the report."""
    from lockstep.attacks import transfer as attacks
    from lockstep.config import load

    attacks.run(load(config), backend, device)


@app.command(rich_help_panel="run")
def plan(config: ConfigOption = DEFAULT, backends: BackendsOption = None) -> None:
    """Print the cells, which are done, and an estimate of minutes and disk."""
    from lockstep import plan as plans
    from lockstep.config import load, selection

    settings = load(config, selection(backends))
    planned = plans.plan(settings)
    table = Table(title=f"{config}: {len(planned)} cells", title_justify="left")
    for column in ("experiment", "backend", "device", "seed", "state"):
        table.add_column(column)
    table.add_column("min", justify="right")
    for row in planned:
        cell = row.cell
        minutes = f"{row.minutes:.1f}" if row.minutes else ""
        table.add_row(cell.name, cell.backend, cell.device, str(cell.seed), row.state, minutes)
    out.print(table)
    cores = os.cpu_count() or 1
    stages = plans.stages(settings, planned, cores)
    budget = Table("stage", title="Budget", title_justify="left")
    for column in ("done", "to do", f"min on {cores} cores"):
        budget.add_column(column, justify="right")
    for stage in stages:
        budget.add_row(stage.name, str(stage.done), str(stage.waiting), f"{stage.minutes:.1f}")
    out.print(budget)
    out.print(
        f"{sum(stage.done for stage in stages)} jobs done, {sum(stage.waiting for stage in stages)} to do: "
        f"roughly {sum(stage.minutes for stage in stages):.0f} min on {cores} cores; "
        f"{sum(row.megabytes for row in planned):,.0f} MB of results in {settings.results}"
    )


@app.command(rich_help_panel="run")
def report(config: ConfigOption = DEFAULT, backends: BackendsOption = None) -> None:
    """Build tables and pages from the results that are there, and print a summary."""
    from lockstep.config import load, selection
    from lockstep.report import build
    from lockstep.report.runs import read
    from lockstep.report.summary import show

    results = read(load(config, selection(backends)))
    build(results)
    show(results, out)


@app.command(rich_help_panel="run")
def summary(config: ConfigOption = DEFAULT, backends: BackendsOption = None) -> None:
    """Print accuracy per experiment and backend, what failed, and where the report is."""
    from lockstep.config import load, selection
    from lockstep.report.runs import read
    from lockstep.report.summary import show

    show(read(load(config, selection(backends))), out)


@app.command(rich_help_panel="prove")
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="BACKEND...", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="every installed backend")] = False,
    device: Annotated[str, typer.Option(help="cpu or gpu")] = "cpu",
    tier: Annotated[
        list[str], typer.Option(help="T0 to T7, or a range as T0..T6; several with commas or repeated")
    ] = ["T0..T4"],  # noqa: B006  typer reads it
    steps: Annotated[int, typer.Option(min=1, help="of T5")] = 500,
    pairs: Annotated[int, typer.Option(min=1, help="of T6")] = 8,
    references: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="keep the reference's runs of T5 to T7 here")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write certificates")
    ] = None,
) -> None:
    """Certify that a backend computes the same run as NumPy in float64; exit status 1 if it falls short."""
    from lockstep.conformance import certificate, terminal

    requests = terminal.requests(names or [], every, device, tier, steps, pairs, out)
    made = terminal.verify(requests, references, every, out)
    if json_file:
        certificate.write(json_file, made)
    if any(each.falls_short for each in made):
        raise typer.Exit(1)


@app.command(rich_help_panel="prove")
def attack(
    folder: Annotated[Path, typer.Argument(metavar="CELL", help="folder of a finished cell")],
    more: Annotated[list[float] | None, typer.Argument(metavar="", show_default=False)] = None,
    name: Annotated[list[str], typer.Option("--attack", help="fgsm, pgd, ...; may be repeated")] = ["fgsm"],  # noqa: B006  typer reads it
    eps: Annotated[list[float], typer.Option(help="one or more, of pixels in [0, 1]")] = [0.1, 0.2, 0.3],  # noqa: B006
    steps: Annotated[int, typer.Option(min=1, help="of iterated attacks")] = 40,
    images: Annotated[int, typer.Option(min=1, help="test images, from all over the set")] = 500,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="of random starts and noise")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write accuracies")] = None,
) -> None:
    """Accuracy of a trained cell under attack: `lockstep attack CELL --attack pgd --eps 0.1 0.2 0.3`."""
    from lockstep import trained
    from lockstep.attacks import terminal

    terminal.run(trained.read(folder), name, [*eps, *(more or [])], steps, images, seed, json_file, out)


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
    """Time a config's first experiment on backends, in processes of their own; see docs/speed.md."""
    from lockstep.config import load
    from lockstep.speed import terminal

    request = terminal.request(load(config), names, device, threads, batch_size, rounds, peers, out)
    terminal.run(request, json_file, keep, out)


@app.command(rich_help_panel="extend")
def spec(
    config: ConfigOption = DEFAULT,
    experiment: Annotated[str | None, typer.Option(help="default: the first")] = None,
) -> None:
    """Print an experiment's layers: shapes, receptive fields, parameters and FLOPs."""
    from lockstep.config import load
    from lockstep.layer_table import layer_table

    settings = load(config)
    name = experiment or next(iter(settings.experiments))
    if name not in settings.experiments:
        raise LockstepError(f"{config}: no experiment {name!r}; it has: {', '.join(settings.experiments)}")
    out.print(layer_table(name, settings.experiments[name].spec))


@app.command(rich_help_panel="extend")
def backends() -> None:
    """List the backends that are found: versions, devices, or why one cannot be used."""
    from lockstep.discovery import plugins

    table = Table()
    for column in ("backend", "versions", "devices", "folder"):
        table.add_column(column, overflow="fold")
    for plugin in plugins().values():
        versions = ", ".join(f"{name} {version}" for name, version in plugin.versions().items())
        table.add_row(plugin.name, versions, plugin.missing() or _devices(plugin.name), _short(plugin.folder))
    out.print(table)


def _devices(name: str) -> str:
    """Asked in a process of its own: one process holds one framework."""
    child = subprocess.run(
        [sys.executable, "-m", "lockstep", "describe", name], capture_output=True, text=True
    )
    if child.returncode:
        return (child.stderr.strip().splitlines() or ["no answer"])[-1]
    return ", ".join(json.loads(child.stdout.splitlines()[-1])["devices"]) or "none usable here"


def _short(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


@app.command("describe", rich_help_panel="extend")
def describe_backend(name: Annotated[str, typer.Argument()]) -> None:
    """Print one backend's devices and environment as JSON."""
    from lockstep import discovery

    backend = discovery.load(discovery.find(name))
    print(json.dumps({"devices": list(backend.devices()), "environment": dict(backend.environment())}))


@app.command(rich_help_panel="extend")
def schema() -> None:
    """Print the JSON schema of config files, for editors."""
    from lockstep.config import schema as config_schema

    print(json.dumps(config_schema(), indent=2))
