"""Config files: YAML -> validated experiments -> cells.

A config names a `base` and experiments that override parts of it.  The harness reads the file
itself, so that every error names the file, the key and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PositiveInt

from lockstep.data import sources
from lockstep.discovery import find, plugins
from lockstep.errors import LockstepError
from lockstep.experiment import Experiment
from lockstep.settings import Settings
from lockstep.yaml_files import holds, read, validate

Device = Literal["cpu", "gpu"]
Tier = Literal["T0", "T1", "T2", "T3", "T4", "T5", "T6", "T7"]
TIERS: tuple[Tier, ...] = get_args(Tier)
SECTIONS = ("Data", "Model", "Augmentation", "Adversarial", "Regularisation", "Adam", "Training")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
Folder = Annotated[str, Field(pattern=r"^[^\x00{}]*[^\x00{}/.]$")]


class Conformance(Settings):
    """Which tiers of the proof the pipeline runs for each backend and device; see docs/contract.md."""

    tiers: list[Tier] = Field(default=[*TIERS[:5], "T7"], description="T0 to T4 and T7 take about a minute")
    steps: PositiveInt = Field(default=500, description="of T5; fewer cannot tell")
    pairs: PositiveInt = Field(default=8, description="of T6; fewer cannot tell")


Seeds = list[Annotated[int, Field(ge=0, lt=2**63)]]


class Runs(Settings):
    """A block of training runs: every combination of what it lists; what it leaves out is all there is."""

    experiments: list[str] | None = Field(default=None, min_length=1)
    backends: list[str] | None = Field(default=None, min_length=1)
    devices: list[Device] | None = Field(default=None, min_length=1)
    seeds: Seeds | None = Field(default=None, min_length=1)
    train_sizes: dict[Annotated[str, Field(pattern=r"^[1-9]\d*$")], dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        description="learning curves: run each experiment on fewer images, {size: what else changes}",
    )


class ConfigFile(Settings):
    """The file as a person writes it."""

    results: Folder = Field(description="folder for the raw data of runs")
    reports: Folder = Field(description="folder for tables and pages")
    backends: Annotated[list[str], Field(min_length=1)] | Literal["all"] = Field(
        default="all", description="names, or all that are found"
    )
    devices: list[Device] = Field(default=["cpu"], min_length=1)
    seeds: Seeds = Field(min_length=1)
    conformance: Conformance = Conformance()
    tensorboard: Folder | None = Field(default=None, description="folder for TensorBoard's event files")
    base: dict[str, Any] = Field(description="settings that every experiment starts from")
    experiments: dict[str, dict[str, Any]] = Field(
        min_length=1, description="name: what this experiment changes in the base"
    )
    runs: list[Runs] = Field(
        default=[Runs()], min_length=1, description="which of them are trained; default: every combination"
    )


@dataclass(frozen=True)
class Cell:
    """One training run: what is trained, by which backend, where, from which seed."""

    name: str
    experiment: Experiment
    backend: str
    device: str
    seed: int

    @property
    def path(self) -> Path:
        """Its folder below the results' `cells/`."""
        return Path(self.name, self.backend, self.device, f"seed-{self.seed}")

    def __str__(self) -> str:
        return "/".join(self.path.parts)


@dataclass(frozen=True)
class Config:
    path: Path
    results: Path
    reports: Path
    backends: tuple[str, ...]
    devices: tuple[str, ...]
    seeds: tuple[int, ...]
    conformance: Conformance
    experiments: Mapping[str, Experiment]
    smaller: Mapping[str, Experiment]
    """The same on fewer images, as "name@size": points of learning curves, no experiments of their own."""
    wanted: frozenset[tuple[str, str, str, int]]
    """(experiment, backend, device, seed) of every training run."""
    tensorboard: Path | None = None

    def cells(self) -> Iterator[Cell]:
        for name, experiment in {**self.experiments, **self.smaller}.items():
            for backend, device, seed in product(self.backends, self.devices, self.seeds):
                if (name, backend, device, seed) in self.wanted:
                    yield Cell(name, experiment, backend, device, seed)

    def cell(self, name: str, backend: str, device: str, seed: int) -> Cell:
        """Any run of an experiment, wanted or not."""
        known = {**self.experiments, **self.smaller}
        if name not in known:
            raise LockstepError(f"{self.path}: no experiment {name!r}; it has: {', '.join(known)}")
        if device not in get_args(Device):
            raise LockstepError(f"unknown device {device!r}; known: {', '.join(get_args(Device))}")
        find(backend)
        return Cell(name, known[name], backend, device, seed)

    def folder(self, cell: Cell) -> Path:
        return self.results / "cells" / cell.path

    def certificate(self, backend: str, device: str, name: str) -> Path:
        """What `lockstep verify` wrote; name: one of `conformance.certificate.FILES`."""
        return self.results / "conformance" / backend / device / f"{name}.json"

    def data_path(self, source: sources.Chosen) -> Path:
        """The folder of a decoded source; see `data/store.py`."""
        return self.results / "data" / sources.find(source).name

    @property
    def sources(self) -> dict[str, sources.Chosen]:
        """{name: setting} of the sources that the training runs read."""
        settings = dict.fromkeys(cell.experiment.data.source for cell in self.cells())
        return {sources.find(setting).name: setting for setting in settings}


def load(path: Path, backends: Sequence[str] | None = None) -> Config:
    """Read and check a whole config; `backends` selects a subset.  Raises LockstepError."""
    file = validate(ConfigFile, read(path), str(path))
    names = list(plugins()) if file.backends == "all" else file.backends
    for name in names:
        _known(path, "backends", name)
    if backends is not None:
        for name in backends:
            _known(path, "the selection of backends", name)
            if name not in names:
                raise LockstepError(
                    f"{path}: the selection of backends: this config has {', '.join(names)}, not {name}"
                )
        names = [name for name in names if name in backends]
        if not names:
            raise LockstepError(
                f"{path}: the selection of backends is empty; name one or more of the config's"
            )
    tiers = file.conformance.tiers
    lists: dict[str, Sequence[Any]] = {"backends": names, "devices": file.devices, "seeds": file.seeds}
    lists["conformance.tiers"] = tiers
    for place, runs in enumerate(file.runs):
        fields = ("experiments", "backends", "devices", "seeds")
        lists |= {f"runs[{place}].{field}": getattr(runs, field) or () for field in fields}
    for key, values in lists.items():
        if len(set(values)) != len(values):
            raise LockstepError(f"{path}: {key}: a value is listed twice; list each once")
    if file.results == file.reports:
        raise LockstepError(f"{path}: reports: name another folder than results, not {file.reports}")
    experiments = {name: _experiment(path, file, name) for name in file.experiments}
    smaller: dict[str, Experiment] = {}
    wanted: list[tuple[str, str, str, int]] = []
    for place, runs in enumerate(file.runs):
        found = _block(path, file, f"runs[{place}]", runs)
        for name, each in found.items():
            if name in experiments:
                continue
            if smaller.setdefault(name, each) != each:
                raise LockstepError(
                    f"{path}: runs[{place}].train_sizes: {name} is another one in a block above"
                )
        selected = [name for name in runs.backends or names if name in names]
        wanted += product(found, selected, runs.devices or file.devices, runs.seeds or file.seeds)
    return Config(
        path,
        Path(file.results),
        Path(file.reports),
        tuple(names),
        tuple(file.devices),
        tuple(dict.fromkeys([*file.seeds, *(key[-1] for key in wanted)])),
        file.conformance,
        experiments,
        smaller,
        frozenset(wanted),
        Path(file.tensorboard) if file.tensorboard else None,
    )


def _block(path: Path, file: ConfigFile, key: str, runs: Runs) -> dict[str, Experiment]:
    """The experiments that a block of runs trains, on fewer images where it says so."""
    known: dict[str, Sequence[str]] = {
        "experiments": list(file.experiments),
        "backends": list(plugins()) if file.backends == "all" else file.backends,
        "devices": file.devices,
    }
    for field, allowed in known.items():
        for value in getattr(runs, field) or ():
            if value not in allowed:
                raise LockstepError(
                    f"{path}: {key}.{field}: {value!r} is not one of this config's: {', '.join(allowed)}"
                )
    names = runs.experiments or list(file.experiments)
    if runs.train_sizes is None:
        return {name: _experiment(path, file, name) for name in names}
    return {
        f"{name}@{size}": _experiment(path, file, name, (f"{key}.train_sizes.{size}.", override), int(size))
        for name in names
        for size, override in runs.train_sizes.items()
    }


def selection(names: str | Sequence[str] | None) -> list[str] | None:
    """The names in `a,b` or in a list; None selects every backend of the config."""
    if isinstance(names, str):
        names = names.split(",")
    return names if names is None else [name.strip() for name in names if name.strip()]


def schema() -> dict[str, Any]:
    """JSON schema of a config file, for editors."""
    whole = ConfigFile.model_json_schema()
    experiment = Experiment.model_json_schema()
    definitions = experiment.pop("$defs")
    for section in (experiment, *(definitions[name] for name in SECTIONS)):
        section.pop("required", None)  # a base or an override may leave out any part of a section
    whole["$defs"] |= {**definitions, "Overrides": experiment}
    reference = {"$ref": "#/$defs/Overrides"}
    whole["properties"]["base"] = {**reference, "description": whole["properties"]["base"]["description"]}
    whole["properties"]["experiments"]["additionalProperties"] = reference
    (sizes, _) = whole["$defs"]["Runs"]["properties"]["train_sizes"]["anyOf"]
    sizes["patternProperties"] = dict.fromkeys(sizes["patternProperties"], reference)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}


def _known(path: Path, key: str, name: str) -> None:
    if name not in plugins():
        raise LockstepError(f"{path}: {key}: unknown backend {name!r}; known: {', '.join(plugins())}")


def _experiment(
    path: Path, file: ConfigFile, name: str, more: tuple[str, dict[str, Any]] = ("", {}), size: int = 0
) -> Experiment:
    """The base, overridden by the experiment, overridden by `more` (where it stands, what it says)."""
    if not NAME.fullmatch(name):
        raise LockstepError(f"{path}: experiments.{name}: use up to 64 lower-case letters, digits, - and _")
    place, last = more
    override = file.experiments[name]

    def section(key: Sequence[str | int]) -> str:
        if holds(last, key):
            return place
        return f"experiments.{name}." if holds(override, key) else "base."

    settings = _merge(_merge(file.base, override), last)
    if size:
        settings = _merge(settings, {"data": {"train_size": size}})
    experiment = validate(Experiment, settings, str(path), section)
    try:
        experiment.check()
    except LockstepError as error:
        raise LockstepError(f"{path}: {place or f'experiments.{name}.'}{error}") from None
    return experiment


def _merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """`override` on top of `base`, key by key; lists are replaced whole."""
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
