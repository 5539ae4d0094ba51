"""Whether the results on disk are those of the settings and code as they stand now.

One answer for all who ask: Snakemake, `lockstep plan`, the summary and the report.  Every result says by
which hash it was made, and is up to date while that is the hash that it would be made by now.  Times decide
nothing: results may be copied, touched, or made by hand.

Snakemake itself goes by time and checksum, so a small file for each result, its stamp, tells it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal

from lockstep.attacks import robustness, transfer
from lockstep.cell import FAILURE, OUTPUTS, made_by
from lockstep.check import CLAIMS, REFERENCES
from lockstep.config import Cell, Config
from lockstep.conformance import certificate
from lockstep.data import sources, store
from lockstep.discovery import find
from lockstep.errors import LockstepError
from lockstep.identity import attack_hash, cell_hash, conformance_hash, digest, file_hash, folder_hash
from lockstep.report import folder as reports
from lockstep.results import write_text
from lockstep.speed.request import Request, of_config
from lockstep.speed.request import made_by as made_timing

State = Literal["done", "stale", "to do"]
OUTDATED = "stale: of other source, versions, data or settings than are here now; snakemake makes it anew"


@dataclass(frozen=True)
class Result:
    """The files that one job of the pipeline makes."""

    name: Path
    """Of its stamp."""
    outputs: tuple[Path, ...]
    made: str | None
    """The hash that a complete set of outputs was made by; None if there is none."""
    current: str
    """The hash that they would be made by now."""

    @property
    def state(self) -> State:
        return "to do" if self.made is None else "done" if self.made == self.current else "stale"


def of_cell(config: Config, cell: Cell) -> Result:
    folder = config.folder(cell)
    outputs = tuple(folder / name for name in OUTPUTS)
    return Result(Path("cells", cell.path), outputs, made_by(config, cell), cell_hash(cell))


def of_attack(config: Config, cell: Cell) -> Result:
    """Of a run that is not done, attacks are not done either."""
    assert config.attacks
    folder = config.attack_folder(cell)
    outputs = tuple(folder / name for name in robustness.OUTPUTS)
    made, run = robustness.made_by(config, cell), of_cell(config, cell)
    if made is not None and run.state != "done":
        made += f", of a run that is {run.state}"
    current = attack_hash(run.current, config.folder(cell) / "weights.npz", config.attacks.of(cell.key))
    return Result(Path("attacks", cell.path), outputs, made, current)


def of_transfer(config: Config, backend: str, device: str) -> Result:
    """Likewise: carried between attacked runs, of which one may not be done."""
    path = transfer.path(config, backend, device)
    made, states = transfer.made_by(path), {of_attack(config, cell).state for cell in transfer.cells(config)}
    if made is not None and states != {"done"}:
        made += ", of attacks that are not done"
    return Result(path.relative_to(config.results), (path,), made, transfer.made_of(config))


def of_source(config: Config, name: str) -> Result:
    """A decoded source; name: one of `config.sources`."""
    setting = config.sources[name]
    folder, current = config.data_path(setting), _text(sources.find(setting).made_of)
    made = store.about(folder).get("made_of")
    outputs = tuple(folder / file for file in store.FILES)
    return Result(Path("data", name), outputs, None if made is None else _text(made), current)


def _text(made_of: Any) -> str:
    return json.dumps(made_of, sort_keys=True)


def of_certificate(config: Config, backend: str, device: str, name: str) -> Result:
    """name: one of `certificate.FILES`."""
    path, settings = config.certificate(backend, device, name), config.conformance
    tiers = certificate.asked(config, name)
    current = conformance_hash(backend, device, tiers, settings.steps, settings.pairs)
    return Result(path.relative_to(config.results), (path,), certificate.made_by(path), current)


def of_speed(config: Config, timing: Request) -> Result:
    """What `lockstep time` measures, and the folder with what each process measured."""
    path = config.speed_file(timing.threads, timing.device)
    outputs = path, path.with_suffix("")
    return Result(path.relative_to(config.results), outputs, made_timing(path), timing.hash)


def of_report(config: Config, results: Iterable[Result]) -> Result:
    """results: `everything`."""
    outputs = (config.reports / "index.html",)
    current = report_hash(config, results)
    return Result(Path("reports/index"), outputs, reports.made_by(config.reports), current)


def attacked(config: Config) -> list[Cell]:
    """The runs to attack that can be here."""
    return [cell for cell in config.attacked() if not find(cell.backend).unusable(cell.device)]


def transfers(config: Config) -> list[tuple[str, str]]:
    """(backend, device) of those that have a run that images are shown to."""
    return list(dict.fromkeys((cell.backend, cell.device) for cell in transfer.cells(config)))


def timings(config: Config) -> list[Request]:
    """Those that a config asks for and that can be made here."""
    wanted = product(config.devices, config.speed.threads) if config.speed else []
    return [timing for device, threads in wanted if (timing := of_config(config, threads, device))]


def certificates(config: Config) -> list[tuple[str, str, str]]:
    """(backend, device, name) of those that a config asks for and that can be made here."""
    return [
        (backend, device, name)
        for backend in config.backends
        for device in config.devices
        for name in certificate.FILES
        if certificate.asked(config, name) and not find(backend).unusable(device)
    ]


def report_hash(config: Config, results: Iterable[Result]) -> str:
    """Of all that a report says: the config and the choice of backends, every result and whether it is up to
    date, the claims and their references, and the source that writes it."""
    sides = product(config.backends, config.devices)
    files = chain([config.path, CLAIMS], sorted(REFERENCES.glob("*.json")), _files_read(config))
    return digest(
        {
            "files": [(os.path.relpath(path), file_hash(path)) for path in files],
            "backends": list(config.backends),
            "states": [(str(each.name), each.state) for each in results],
            "unusable": [find(name).unusable(device) for name, device in sides],
            "source": folder_hash(Path(__file__).parent),
        }
    )


def known_report_hash(config: Config) -> str | None:
    """Likewise; of a bundle, of it alone; None where it cannot be told, as of images that are not here."""
    if config.bundle:
        return digest([config.bundle, *config.backends])
    try:
        return report_hash(config, everything(config))
    except (LockstepError, OSError):
        return None


def remark(config: Config, backend: str, device: str, get: Callable[[], Result]) -> str:
    """What a reader should know of a result that is there: whether it would be made anew here.

    Nothing is said of a bundle's, nor of what cannot be made here.
    """
    if config.bundle or find(backend).unusable(device):
        return ""
    try:
        return OUTDATED if get().state == "stale" else ""
    except (LockstepError, OSError):  # its images, or what else it is made of, are not here
        return ""


def _files_read(config: Config) -> Iterator[Path]:
    """What a report reads of results, but for the arrays: those are other ones when these are."""
    for cell in config.cells():
        folder = config.folder(cell)
        yield from (folder / name for name in ("metrics.json", "provenance.json", FAILURE))
    for cell in config.attacked():
        folder = config.attack_folder(cell)
        yield from (folder / name for name in (robustness.OUTPUTS[0], robustness.FAILURE))
    for backend, device in product(config.backends, config.devices):
        yield transfer.path(config, backend, device)
        yield from (config.certificate(backend, device, name) for name in certificate.FILES)
    for device, threads in product(config.devices, config.speed.threads if config.speed else ()):
        yield config.speed_file(threads, device)
    yield from (config.data_path(setting) / store.ABOUT for setting in config.sources.values())


def everything(config: Config) -> Iterator[Result]:
    """All that can be made here, but for the report."""
    for cell in config.cells():
        if not find(cell.backend).unusable(cell.device):
            yield of_cell(config, cell)
    yield from (of_source(config, name) for name in config.sources)
    yield from (of_attack(config, cell) for cell in attacked(config))
    yield from (of_transfer(config, *side) for side in transfers(config))
    yield from (of_certificate(config, *key) for key in certificates(config))
    yield from (of_speed(config, timing) for timing in timings(config))


def _times(paths: Iterable[Path]) -> Iterator[float]:
    """When those that are there were changed; a job that runs removes its outputs first."""
    for path in paths:
        with suppress(FileNotFoundError):
            yield path.stat().st_mtime


def stamp(config: Config, result: Result) -> Path:
    """A file that makes Snakemake redo a result exactly when it is not done.

    Snakemake redoes what has an input that is newer than an output, unless the input's checksum is the one
    that it recorded when it last made that output.  So a stamp of what is out of date is not only newer: its
    content is new each time, as results may become what they once were.
    """
    path = config.results / ".work" / "stamps" / result.name
    times = list(_times(result.outputs))
    done = result.state == "done"
    if not path.is_file() or (times and not done):
        write_text(path, f"to be made by {result.current}\nmade by {result.made}\nseen at {time.time_ns()}\n")
    if times:
        due = min(times) - 1 if done else max(time.time(), max(times) + 1)
        os.utime(path, (due, due))
    return path
