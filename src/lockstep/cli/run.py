"""Commands that Snakemake's rules call, and that a person calls to do one thing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lockstep.cli.shared import DEFAULT, BackendsOption, BundleArgument, ConfigOption, app, out
from lockstep.errors import LockstepError

if TYPE_CHECKING:
    from lockstep.config import Config


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
    out.print(f"{cell}: {text}")


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
        out.print(store.summary(folder))


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
    out.print(f"{cell}: {attacked.run(settings, cell, counting)}")


@app.command(rich_help_panel="run")
def transfer(
    backend: Annotated[str, typer.Option(help="name of a backend")],
    device: Annotated[str, typer.Option(help="cpu or gpu")] = "cpu",
    config: ConfigOption = DEFAULT,
    backends: BackendsOption = None,
) -> None:
    """Show one backend's networks the images that were attacked on every network, for the report."""
    from lockstep.attacks import transfer as attacks
    from lockstep.config import load, selection

    attacks.run(load(config, selection(backends)), backend, device)


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
def report(
    bundle: BundleArgument = None,
    config: ConfigOption = DEFAULT,
    backends: BackendsOption = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="default: the config's; of a bundle, reports/ and its name"),
    ] = None,
) -> None:
    """Build tables and pages from the results that are there, and print a summary."""
    from lockstep.report import build, folder
    from lockstep.report.runs import read
    from lockstep.report.summary import show

    if bundle and not to:
        folder.require_unowned(Path("reports", bundle.stem), DEFAULT.parent)
    with _settings(bundle, config, backends, to) as settings:
        folder.require_free(settings, asked_for=to is not None)
        results = read(settings)
        build(results)
        show(results, out)


@app.command(rich_help_panel="run")
def summary(
    bundle: BundleArgument = None, config: ConfigOption = DEFAULT, backends: BackendsOption = None
) -> None:
    """Print accuracy per experiment and backend, what failed, and where the report is."""
    from lockstep.report.runs import read
    from lockstep.report.summary import show

    with _settings(bundle, config, backends) as settings:
        show(read(settings), out, bundle)


@contextmanager
def _settings(
    bundle: Path | None, config: Path, backends: str | None, to: Path | None = None
) -> Iterator[Config]:
    """Of the config, or of the bundle that is named instead; its report goes `to` a folder."""
    from lockstep import bundle as bundles
    from lockstep.config import load, selection

    if bundle is None:
        settings = load(config, selection(backends))
        yield replace(settings, reports=to or settings.reports)
        return
    if config != DEFAULT:
        raise LockstepError(f"{bundle} holds a config of its own; name the bundle or --config, not both")
    to = (to or Path("reports", bundle.stem)).absolute()
    with bundles.opened(bundle, selection(backends)) as settings:
        yield replace(settings, reports=to)
