"""Images attacked on every run of one experiment, shown to the runs of one backend: `lockstep transfer`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lockstep import gpu, trained
from lockstep.attacks import robustness
from lockstep.attacks.scores import accuracy
from lockstep.attacks.victim import Victim
from lockstep.config import Cell, Config
from lockstep.discovery import find
from lockstep.errors import LockstepError
from lockstep.identity import digest
from lockstep.results import read_npz, write_json


def cells(config: Config) -> list[Cell]:
    """The attacked runs of the baseline that can be here: those that attacks are carried between."""
    attacked = [cell for cell in config.attacked() if cell.name == config.baseline]
    return [cell for cell in attacked if not find(cell.backend).unusable(cell.device)]


def path(config: Config, backend: str, device: str) -> Path:
    return config.results / "transfer" / backend / f"{device}.json"


def made_by(path: Path) -> str | None:
    """The hash that a file was made by; None if there is none."""
    try:
        return str(json.loads(path.read_text())["hash"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def made_of(config: Config) -> str:
    """The hash of the attacks that are there: which runs they are on, and what those were made of."""
    return digest([(str(cell), robustness.made_by(config, cell)) for cell in cells(config)])


def run(config: Config, backend: str, device: str) -> None:
    """Write a row for each pair: crafted on a run of any backend, shown to a run of this one."""
    own = [cell for cell in cells(config) if (cell.backend, cell.device) == (backend, device)]
    if not own:
        raise LockstepError(f"{config.path}: attacks: no run of {backend} on {device} is attacked")
    made = made_of(config)  # before anything is read: files may change meanwhile
    crafted = {cell: read_npz(config.attack_folder(cell) / "attacks.npz") for cell in cells(config)}
    crafted = {cell: arrays for cell, arrays in crafted.items() if "transfer/images" in arrays}
    with gpu.held(device):
        rows = _rows(config, own, crafted)
    write_json(path(config, backend, device), {"hash": made, "experiment": own[0].name, "rows": rows})


def _rows(
    config: Config, own: Sequence[Cell], crafted: Mapping[Cell, dict[str, np.ndarray]]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for target in own:
        if trained.outcome(config.folder(target)) != "completed":
            continue
        opened = trained.read(config.folder(target))
        dataset, dtype = opened.dataset(), target.experiment.training.dtype
        victim = Victim(opened.backend(), dataset.transform, dtype)
        for source, arrays in crafted.items():
            images, labels = arrays["transfer/images"], arrays["transfer/labels"]
            shown = replace(victim, batch=len(images))
            rows.append(
                {
                    "source": [source.backend, source.device, source.seed],
                    "target": [target.backend, target.device, target.seed],
                    "accuracy": accuracy(shown, images, labels),
                    "n": len(labels),
                }
            )
    return rows
