"""`lockstep verify` as a person sees it: a bar, a table for each backend, a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from lockstep import discovery, outputs
from lockstep.config_file import TIERS
from lockstep.conformance.advice import next_step
from lockstep.conformance.certificate import Certificate, Verdict
from lockstep.conformance.verify import Request, prepared_digits
from lockstep.conformance.verify import verify as measure
from lockstep.console import Console
from lockstep.errors import LockstepError
from lockstep.progress import counting

KIND = outputs.json_with("a file of certificates", "schema", "certificates")
COLOURS: dict[Verdict, str] = {
    "in step": "green",
    "out of step": "bold red",
    "not yet": "yellow",
    "cannot tell": "yellow",
    "reported": "dim",
}


def verify(
    requests: Sequence[Request], references: Path | None, every: bool, console: Console
) -> list[Certificate]:
    """The certificates; of every backend, those that have no such device here are left out with a line."""
    certificates = []
    with prepared_digits() as data:
        for request in requests:
            try:
                with counting(request.pieces()) as advance:
                    made = measure(request, data, references, advance)
            except LockstepError as error:
                if not every:
                    raise
                console.print(str(error), style="yellow")
                continue
            show(made, console)
            certificates.append(made)
    return certificates


def requests(
    names: Sequence[str],
    every: bool,
    device: str,
    tiers: Sequence[str],
    steps: int,
    pairs: int,
    console: Console,
) -> list[Request]:
    """Raises LockstepError for names and tiers that are not known; says which backends `--all` leaves out."""
    chosen = _backends(names, every, device, console)
    return [Request(name, device, selected(tiers), steps, pairs) for name in chosen]


def selected(tiers: Sequence[str]) -> tuple[str, ...]:
    """["T1", "T3..T5"] -> ("T1", "T3", "T4", "T5")."""
    found: set[str] = set()
    for text in (part.strip() for tier in tiers for part in tier.split(",")):
        first, _, last = text.partition("..")
        if first not in TIERS or (last or first) not in TIERS:
            raise LockstepError(f"--tier {text}: unknown; give {TIERS[0]} to {TIERS[-1]}, or a range: T1..T4")
        found |= set(TIERS[TIERS.index(first) : TIERS.index(last or first) + 1])
    return tuple(sorted(found))


def _backends(names: Sequence[str], every: bool, device: str, console: Console) -> list[str]:
    if bool(names) == every:
        raise LockstepError("verify: name one or more backends, or say --all")
    if not every:
        return [discovery.find(name).name for name in names]
    for plugin in discovery.plugins().values():
        if reason := plugin.unusable(device):
            console.print(f"{plugin.name}: {reason}", style="yellow")
    return [plugin.name for plugin in discovery.plugins().values() if not plugin.unusable(device)]


def show(certificate: Certificate, console: Console) -> None:
    table = Table(title=f"{certificate.backend} on {certificate.device}", title_justify="left")
    table.add_column("tier")
    table.add_column("quantity")
    table.add_column("measured", justify="right")
    table.add_column("limit", justify="right")
    table.add_column("verdict")
    table.add_column("", overflow="fold")
    for check in certificate.checks:
        numbers = ("" if value is None else f"{value:.1e}" for value in (check.measured, check.limit))
        verdict = Text(check.verdict, style=COLOURS[check.verdict])
        tier = "" if check.quantity == "backend" else check.tier  # it has not come so far
        table.add_row(tier, check.quantity, *numbers, verdict, check.note)
    console.print(table)
    if certificate.diagnosis:
        console.print(f"  {certificate.diagnosis}")
    console.print(f"{certificate.backend} on {certificate.device}: {certificate.summary}", style="bold")
    if step := next_step(certificate):
        console.print(f"Next: {step}")
