"""What makes two cells the same run: a hash of everything that can change its results.

Settings, data, seed, the harness modules on the training path, the backend's folder, the versions of its
requirements, and the environment's switches that choose kernels.  Reports and the command line are left out:
a new stylesheet retrains nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lockstep.config import Cell
from lockstep.data import sources
from lockstep.discovery import REFERENCE, find
from lockstep.experiment import Experiment
from lockstep.plugin import version

TRAINING_PATH = (
    "adversarial",
    "attacks",
    "attacks.attack",
    "attacks.balls",
    "attacks.gradient",
    "attacks.losses",
    "attacks.victim",
    "backend",
    "cell",
    "checkpoint",
    "config",
    "config_file",
    "data",
    "data.ahead",
    "data.augmentation",
    "data.batches",
    "data.copies",
    "data.dataset",
    "data.decode",
    "data.draws",
    "data.files",
    "data.formats",
    "data.listing",
    "data.mnist",
    "data.names",
    "data.sources",
    "data.splits",
    "data.store",
    "data.table",
    "discovery",
    "errors",
    "evaluation",
    "experiment",
    "gpu",
    "identity",
    "inside",
    "optimizer",
    "plugin",
    "process",
    "provenance",
    "results",
    "settings",
    "spec",
    "switches",
    "training",
    "yaml_files",
)
"""The modules of `lockstep` that a training process imports; a test holds this list to the truth."""


def identity(cell: Cell) -> dict[str, Any]:
    """Everything the results of a cell depend on, in plain JSON; no time, no commit, and no path but the
    one that names a source on disk."""
    plugin, source = find(cell.backend), sources.find(cell.experiment.data.source)
    return {
        "experiment": cell.experiment.settings,
        "backend": cell.backend,
        "device": cell.device,
        "seed": cell.seed,
        "data": source.sha256,
        "harness": harness_hash(),
        "plugin": folder_hash(plugin.folder),
        "versions": {
            "numpy": version("numpy"),
            **source.versions,
            **plugin.versions(cell.device),
        },
        "switches": plugin.switches,
    }


def cell_hash(cell: Cell) -> str:
    return digest(identity(cell))


@cache
def harness_hash() -> str:
    package = Path(__file__).parent
    files = []
    for module in TRAINING_PATH:
        path = package.joinpath(*module.split("."))
        files.append(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
    return _hash(package, files)


@cache
def folder_hash(folder: Path) -> str:
    """The source of a plugin; caches and an editor's hidden files are no part of it."""

    def counts(path: Path) -> bool:
        parts = path.relative_to(folder).parts
        return path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in parts)

    return _hash(folder, [path for path in folder.rglob("*") if counts(path)])


def conformance_hash(backend: str, device: str, tiers: Sequence[str], steps: int, pairs: int) -> str:
    """Of all that a certificate depends on: what is measured, the harness, the plugin and the reference."""
    package, plugin, reference = Path(__file__).parent, find(backend), find(REFERENCE)
    parts = {
        "backend": backend,
        "device": device,
        "tiers": list(tiers),
        "steps": steps if {"T5", "T8"} & set(tiers) else None,
        "pairs": pairs if "T6" in tiers else None,
        "harness": [harness_hash(), folder_hash(package / "conformance")],
        "statistics": _hash(package, [package / "statistics.py"]),
        "plugins": [folder_hash(plugin.folder), folder_hash(reference.folder)],
        "versions": {**reference.versions(), **plugin.versions(device)},
        "switches": {**reference.switches, **plugin.switches},
    }
    return digest(parts)


def attack_hash(run: str, weights: Path, settings: dict[str, Any]) -> str:
    """Of all that attacks on a finished run depend on; not on which others are attacked.

    run: the cell hash that it was made by; weights: its file, as runs of one hash may end in other weights
    on a GPU; settings: `Attacks.of`.
    """
    package = Path(__file__).parent
    parts = {
        "cell": run,
        "weights": file_hash(weights),
        "settings": settings,
        "harness": [folder_hash(package / "attacks"), _hash(package, [package / "trained.py"])],
    }
    return digest(parts)


def speed_hash(
    name: str,
    experiment: Experiment,
    images: int,
    backends: Sequence[str],
    device: str,
    rounds: int,
    peers: Path | None,
) -> str:
    """Of all that times depend on but the machine, which their file names.

    name, experiment: as it is timed; images: that it is trained on to an accuracy; peers: the folder of the
    scripts that are timed too.
    """
    package, plugins = Path(__file__).parent, [find(name) for name in backends]
    parts = {
        "name": name,
        "experiment": experiment.settings,
        "images": images,
        "backends": list(backends),
        "device": device,
        "rounds": rounds,
        "data": sources.find(experiment.data.source).sha256,
        "harness": [
            harness_hash(),
            folder_hash(package / "speed"),
            _hash(package, [package / "statistics.py"]),
        ],
        "plugins": [folder_hash(plugin.folder) for plugin in plugins],
        "peers": folder_hash(peers) if peers else None,
        "versions": {
            "numpy": version("numpy"),
            **{name: version for plugin in plugins for name, version in plugin.versions(device).items()},
        },
        "switches": {name: value for plugin in plugins for name, value in plugin.switches.items()},
    }
    return digest(parts)


def digest(value: Any) -> str:
    """Of plain JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str | None:
    """None where there is no such file; a job that runs may just have removed it."""
    try:
        return _hash(path.parent, [path])
    except (FileNotFoundError, NotADirectoryError):
        return None


def _hash(root: Path, files: list[Path]) -> str:
    made = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        made.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return made.hexdigest()[:16]
