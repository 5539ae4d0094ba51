"""Whether the results on disk are those of the settings and code as they stand now.

Snakemake remembers parameters only of jobs that it ran itself, so results of `lockstep train`, or copied
from elsewhere, would look up to date after any edit.  A stamp per result tells it by time instead.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from lockstep.attacks import robustness
from lockstep.cell import OUTPUTS, made_by
from lockstep.check import CLAIMS, REFERENCES
from lockstep.config import Cell, Config
from lockstep.conformance import certificate
from lockstep.data import sources, store
from lockstep.discovery import find
from lockstep.identity import attack_hash, cell_hash, conformance_hash, folder_hash, report_hash
from lockstep.results import write_text
from lockstep.speed.request import Request, of_config
from lockstep.speed.request import made_by as made_timing


def of_cell(config: Config, cell: Cell) -> Path:
    """The stamp of a cell."""
    folder = config.folder(cell)
    outputs = [folder / name for name in OUTPUTS]
    return _stamp(config, cell.path, cell_hash(cell), made_by(config, cell), outputs)


def of_attack(config: Config, cell: Cell) -> Path:
    """The stamp of a cell's results under attack."""
    assert config.attacks
    outputs = [config.attack_folder(cell) / name for name in robustness.OUTPUTS]
    current, made = attack_hash(cell, config.attacks), robustness.made_by(config, cell)
    return _stamp(config, Path("attacks", cell.path), current, made, outputs)


def of_source(config: Config, name: str) -> Path:
    """The stamp of a decoded source; name: one of `config.sources`."""
    setting = config.sources[name]
    folder, current = config.data_path(setting), _text(sources.find(setting).made_of)
    made = store.about(folder).get("made_of")
    outputs = [folder / file for file in store.FILES]
    return _stamp(config, Path("data", name), current, None if made is None else _text(made), outputs)


def _text(made_of: Any) -> str:
    return json.dumps(made_of, sort_keys=True)


def of_certificate(config: Config, backend: str, device: str, name: str) -> Path:
    """The stamp of a certificate; name: one of `certificate.FILES`."""
    path = config.certificate(backend, device, name)
    current = certificate_hash(config, backend, device, name)
    return _stamp(config, path.relative_to(config.results), current, certificate.made_by(path), [path])


def of_speed(config: Config, timing: Request) -> Path:
    """The stamp of what `lockstep time` measures."""
    path = config.speed_file(timing.threads, timing.device)
    return _stamp(config, path.relative_to(config.results), timing.hash, made_timing(path), [path])


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


def certificate_hash(config: Config, backend: str, device: str, name: str) -> str:
    """What a certificate's hash is when it is up to date."""
    settings = config.conformance
    return conformance_hash(backend, device, certificate.asked(config, name), settings.steps, settings.pairs)


def report_source() -> str:
    """Of all that a report is made with beside results: its source, and the claims with their references."""
    claims = [CLAIMS, *sorted(REFERENCES.glob("*.json"))]
    digest = hashlib.sha256(f"{report_hash()} {folder_hash(Path(__file__).parent / 'check')}".encode())
    for path in claims:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:16]


def _stamp(config: Config, name: Path, current: str, made: str | None, outputs: Sequence[Path]) -> Path:
    """A file that is newer than the outputs exactly when they are of other settings or code.

    made: the hash that a complete set of outputs was made by; None if there is none.
    """
    path = config.results / ".work" / "stamps" / name
    if not path.is_file() or path.read_text() != current:
        write_text(path, current)
    if made is not None:
        times = [output.stat().st_mtime for output in outputs]
        if made == current and path.stat().st_mtime >= min(times):
            os.utime(path, (min(times) - 1, min(times) - 1))
        elif made != current and path.stat().st_mtime <= max(times):
            os.utime(path)
    return path
