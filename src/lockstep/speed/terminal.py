"""`lockstep time` as a person asks for it and sees it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from lockstep import discovery, outputs
from lockstep.config import Config
from lockstep.console import Console
from lockstep.errors import LockstepError
from lockstep.progress import counting
from lockstep.results import write_json
from lockstep.speed import rows
from lockstep.speed.request import Request
from lockstep.speed.timing import time

KIND = outputs.json_with("what lockstep time writes", "hash", "rounds", "backends", "ratios")


def request(
    config: Config,
    names: Sequence[str],
    device: str,
    threads: int,
    batch_size: int | None,
    rounds: int,
    peers: bool,
    console: Console,
) -> Request:
    """Raises LockstepError for what is not known or cannot be; says which backends are left out."""
    for option, value in (("--threads", threads), ("--batch-size", batch_size), ("--rounds", rounds)):
        if value is not None and not 0 < value < 2**31:
            raise LockstepError(f"{option} {value}: give 1 or more, below 2**31")
    usable = []
    for plugin in map(discovery.find, dict.fromkeys(names)):
        if reason := plugin.unusable(device):
            console.print(f"{plugin.name}: {reason}; left out", style="yellow")
        else:
            usable.append(plugin.name)
    if not usable:
        raise LockstepError(f"none of {', '.join(names)} can run on {device} here; see lockstep backends")
    if threads > (cores := os.cpu_count() or 1):
        console.print(
            f"--threads {threads}: this machine has {cores} cores; threads will wait", style="yellow"
        )
    return Request(config, tuple(usable), device, threads, batch_size, rounds, peers)


def run(request: Request, json_file: Path | None, keep: Path | None, console: Console) -> None:
    """Time, print, and write what is asked for."""
    found = time(request, keep, counting, console.print)
    show(found, console)
    if json_file:
        write_json(json_file, found)


def show(found: dict[str, Any], console: Console) -> None:
    threads, rounds = found["threads"], found["rounds"]
    title = f"{found['experiment']} on {found['device']}, {_count(threads, 'thread')}, batches of "
    title += f"{found['batch_size']}, {_count(rounds, 'round')}"
    table = Table("phase", "backend", title=title, title_justify="left")
    for column in ("median", "q10", "q90", "n", f"ratio to {found['first']} (95 %)"):
        table.add_column(column, justify="right")
    for row in rows.ROWS:
        label = f"{row.label}, {row.unit}".rstrip(", ")
        for name, phases in found["backends"].items():
            if spread := phases.get(row.phase, {}).get(row.quantity):
                numbers = (rows.number(row.scale * spread[key]) for key in ("median", "q10", "q90"))
                ratio = found["ratios"].get(name, {}).get(row.phase, {}).get(row.quantity)
                table.add_row(label, name, *numbers, str(spread["n"]), rows.ratio(ratio))
                label = ""
        if found["ratios"]:
            table.add_section()
    console.print(table)
    for name, peer in found["peers"].items():
        speed = peer["epoch"]["images_per_second"]
        console.print(
            f"whole epochs, {name} / {peer['peer']}: {rows.ratio(peer['ratio']) or 'not told'}; "
            f"{peer['peer']} median {speed['median']:,.0f} images/s, q10 {speed['q10']:,.0f}, "
            f"q90 {speed['q90']:,.0f}, n {speed['n']}"
        )
    _warn(found, console)


def _warn(found: dict[str, Any], console: Console) -> None:
    for name, reason in found["failed"].items():
        console.print(f"{name}: left out: {reason}", style="yellow")
    for name, value in found["switches"].items():
        text = f"{name}={value}: the environment chooses the kernels of a library, which changes its speed"
        console.print(text, style="yellow")
    for run in found["load"]:
        kept = run["tries"][run["kept"]]
        if kept["disturbed"]:
            line = f"disturbed in each of {_count(len(run['tries']), 'try', 'tries')}: round {run['round']}, "
            line += (
                f"{run['timed']}: steal {kept['steal']:.1%}, other processes {kept['others']:.1%} of the CPU"
            )
            console.print(line, style="yellow")
    if found["disturbed"]:
        limits = found["limits"]
        console.print(
            f"warning: {len(found['disturbed'])} of {_count(found['rounds'], 'round')} disturbed "
            f"(limits: steal {limits['steal']:.0%}, others {limits['others']:.0%}); "
            "close other programs, or move to a machine of your own, and time again; "
            "until then trust ratios more than times",
            style="yellow",
        )


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
