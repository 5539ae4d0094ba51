"""Commands that prove something, or try to break it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lockstep.cli.shared import DEFAULT, MOST, BackendsOption, ConfigOption, PluginsOption, app, know, out


@app.command(rich_help_panel="prove")
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="BACKEND...", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="every installed backend")] = False,
    device: Annotated[str, typer.Option(help="cpu or gpu")] = "cpu",
    tier: Annotated[
        list[str], typer.Option(help="T0 to T8, or a range as T0..T6; several with commas or repeated")
    ] = ["T0..T4"],  # noqa: B006  typer reads it
    steps: Annotated[
        int, typer.Option(min=1, max=MOST, help="of T5 and T8, which cannot tell with fewer than 500")
    ] = 500,
    pairs: Annotated[int, typer.Option(min=1, max=MOST, help="of T6; fewer than 8 cannot tell")] = 8,
    references: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="keep the reference's runs of T5 to T8 here")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write certificates")
    ] = None,
    config: PluginsOption = None,
    badge_file: Annotated[
        Path | None,
        typer.Option(
            "--badge", metavar="FILE.svg", help="write a badge; FILE.json: for shields.io's endpoint"
        ),
    ] = None,
) -> None:
    """Certify that a backend computes the same run as NumPy in float64; exit status 1 if it falls short."""
    from lockstep import outputs
    from lockstep.conformance import badge, certificate, terminal

    know(config)
    outputs.require(json_file, terminal.KIND)
    if badge_file:
        badge.check(badge_file, names or [])
    requests = terminal.requests(names or [], every, device, tier, steps, pairs, out)
    made = terminal.verify(requests, references, every, out)
    if json_file:
        certificate.write(json_file, made)
    if badge_file:
        badge.write(badge_file, made[0])
    if any(each.falls_short for each in made):
        raise typer.Exit(1)


@app.command(rich_help_panel="prove")
def attack(
    folder: Annotated[Path, typer.Argument(metavar="CELL", help="folder of a finished cell")],
    more: Annotated[list[float] | None, typer.Argument(metavar="", show_default=False)] = None,
    name: Annotated[list[str], typer.Option("--attack", help="fgsm, pgd, ...; may be repeated")] = ["fgsm"],  # noqa: B006  typer reads it
    eps: Annotated[list[float], typer.Option(help="one or more, of a pixel; l2: length")] = [0.1, 0.2, 0.3],  # noqa: B006
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help="of iterated attacks; default: 40 of PGD, 100 of APGD", show_default=False
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER", help="of PGD, in units of eps, or madry: 0.01/0.3; default: 2.5/steps"
        ),
    ] = None,
    restarts: Annotated[
        int | None, typer.Option(help="of PGD and APGD, 1 or more; default: 1", show_default=False)
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=MOST, help="test images, from all over the set")] = 500,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="of random starts and noise")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write accuracies")] = None,
) -> None:
    """Accuracy of a trained cell under attack: `lockstep attack CELL --attack pgd --eps 0.1 0.2 0.3`."""
    from lockstep import outputs, trained
    from lockstep.attacks import terminal

    outputs.require(json_file, terminal.KIND)
    asked = {"steps": steps, "step": terminal.step(step), "restarts": restarts}
    options = {option: value for option, value in asked.items() if value is not None}
    terminal.run(trained.read(folder), name, [*eps, *(more or [])], options, images, seed, json_file, out)


@app.command(rich_help_panel="prove")
def check(
    config: ConfigOption = DEFAULT,
    backends: BackendsOption = None,
    claims: Annotated[
        Path | None, typer.Option(metavar="FILE", help="what is claimed; default: docs/claims.yaml")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="write verdicts")] = None,
) -> None:
    """Hold finished runs to the claims about them; exit status 1 if one fails or a result is missing."""
    from lockstep import outputs
    from lockstep.check import CLAIMS, terminal
    from lockstep.check.judge import judge
    from lockstep.config import load, selection
    from lockstep.report.runs import read

    outputs.require(json_file, terminal.KIND)
    judgement = judge(read(load(config, selection(backends))), claims or CLAIMS)
    terminal.show(judgement, out)
    if json_file:
        terminal.write(json_file, judgement)
    if not judgement.passed:
        raise typer.Exit(1)


@app.command(rich_help_panel="prove")
def fresh(
    first: Annotated[int, typer.Option("--from", min=0, max=2**62, help="the first of the new seeds")],
    config: ConfigOption = DEFAULT,
) -> None:
    """Write a config with other seeds, and folders of its own, for runs that nobody has seen."""
    from lockstep.fresh import write

    print(write(config, first))


@app.command("reference", rich_help_panel="prove")
def make_reference(
    config: ConfigOption = DEFAULT,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="default: results/reference/NAME.json")
    ] = None,
) -> None:
    """Write complete results of a config as a reference that later runs are held to."""
    from lockstep import outputs
    from lockstep.check import reference
    from lockstep.config import load
    from lockstep.report.runs import read

    settings = load(config)
    path = to or reference.place(settings)
    outputs.require(path, reference.KIND)
    made = reference.of_results(read(settings))
    reference.write(path, made)
    runs = sum(len(seeds) for trained in made.experiments.values() for seeds in trained.runs.values())
    out.print(f"{path}: {len(made.experiments)} experiments, {runs} runs")
