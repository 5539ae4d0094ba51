"""Config files: YAML -> validated experiments -> cells.

A config names a `base` and experiments that override parts of it.  The harness reads the file
itself, so that every error names the file, the key and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

from lockstep.config_file import Attacks, Block, ConfigFile, Conformance, Device, Key, Runs, Speed
from lockstep.data import sources
from lockstep.discovery import add, find, inside, plugins
from lockstep.errors import LockstepError
from lockstep.experiment import Experiment
from lockstep.plugin import NAME
from lockstep.yaml_files import holds, read, validate

SECTIONS = ("Data", "Model", "Augmentation", "Adversarial", "Regularisation", "Adam", "Training")
FIELDS = ("experiments", "backends", "devices", "seeds")


@dataclass(frozen=True)
class Cell:
    """One training run: what is trained, by which backend, where, from which seed."""

    name: str
    experiment: Experiment
    backend: str
    device: str
    seed: int

    @property
    def key(self) -> Key:
        return self.name, self.backend, self.device, self.seed

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
    wanted: frozenset[Key]
    """Every training run."""
    baseline: str
    """The experiment that the others are compared with."""
    attacks: Attacks | None = None
    speed: Speed | None = None
    tensorboard: Path | None = None
    bundle: str = ""
    """Hash of the bundle that the results were read from; empty where they are those of a folder here."""

    def cells(self) -> Iterator[Cell]:
        for name, experiment in {**self.experiments, **self.smaller}.items():
            for backend, device, seed in product(self.backends, self.devices, self.seeds):
                if (name, backend, device, seed) in self.wanted:
                    yield Cell(name, experiment, backend, device, seed)

    def attacked(self) -> list[Cell]:
        """The training runs that are attacked when they are finished."""
        blocks = self.attacks.runs if self.attacks else []
        main = [cell for cell in self.cells() if cell.name in self.experiments]
        return [cell for cell in main if any(block.holds(cell.key) for block in blocks)]

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

    def attack_folder(self, cell: Cell) -> Path:
        """What `lockstep robustness` wrote."""
        return self.results / "attacks" / cell.path

    def certificate(self, backend: str, device: str, name: str) -> Path:
        """What `lockstep verify` wrote; name: one of `conformance.certificate.FILES`."""
        return self.results / "conformance" / backend / device / f"{name}.json"

    def speed_file(self, threads: int, device: str = "cpu") -> Path:
        """What `lockstep time` wrote: threads-1.json, gpu-threads-1.json."""
        return self.results / "speed" / f"{'' if device == 'cpu' else f'{device}-'}threads-{threads}.json"

    def data_path(self, source: sources.Chosen) -> Path:
        """The folder of a decoded source; see `data/store.py`."""
        return self.results / "data" / sources.find(source).name

    @property
    def sources(self) -> dict[str, sources.Chosen]:
        """{name: setting} of the sources that the training runs read."""
        settings = dict.fromkeys(cell.experiment.data.source for cell in self.cells())
        return {sources.find(setting).name: setting for setting in settings}


def load(path: Path, backends: Sequence[str] | None = None, elsewhere: bool = False) -> Config:
    """Read and check a whole config; `backends` selects a subset.  Raises LockstepError.

    elsewhere: its runs were made on another machine, and its folders of plugins need not be here.
    """
    file = validate(ConfigFile, read(path), str(path))
    if file.plugins and not elsewhere:
        _add_plugins(path, file.plugins)
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
    experiments = {name: _experiment(path, file, name) for name in file.experiments}
    baseline = next(iter(experiments)) if file.baseline is None else file.baseline
    if baseline not in experiments:
        raise LockstepError(
            f"{path}: baseline: {baseline!r} is not one of its experiments: {', '.join(experiments)}"
        )
    for key, block in _blocks(file).items():
        _check_block(path, file, key, block)
        lists |= {f"{key}.{field}": getattr(block, field) or () for field in FIELDS}
    if file.attacks:
        lists |= {"attacks.eps": file.attacks.eps, "attacks.names": file.attacks.names}
        if not {"fgsm", "pgd"} <= set(file.attacks.names):
            raise LockstepError(
                f"{path}: attacks.names: list fgsm and pgd too; checks and transfer need them"
            )
        if file.attacks.shown not in file.attacks.eps:
            sizes = ", ".join(map(str, file.attacks.eps))
            raise LockstepError(
                f"{path}: attacks.shown: {file.attacks.shown} is not one of attacks.eps: {sizes}"
            )
    if file.speed:
        timed = [] if file.speed.backends == "all" else file.speed.backends
        lists |= {"speed.backends": timed, "speed.threads": file.speed.threads}
        for name in timed:
            if name not in (list(plugins()) if file.backends == "all" else file.backends):
                raise LockstepError(f"{path}: speed.backends: {name!r} is not one of this config's backends")
    for key, values in lists.items():
        if len(set(values)) != len(values):
            raise LockstepError(f"{path}: {key}: a value is listed twice; list each once")
    if file.results == file.reports:
        raise LockstepError(f"{path}: reports: name another folder than results, not {file.reports}")
    smaller: dict[str, Experiment] = {}
    wanted: list[Key] = []
    for place, runs in enumerate(file.runs):
        found = _named(path, file, f"runs[{place}]", runs)
        for name, each in found.items():
            if name in experiments:
                continue
            if smaller.setdefault(name, each) != each:
                raise LockstepError(
                    f"{path}: runs[{place}].train_sizes: {name} is another one in a block above"
                )
        selected = [name for name in runs.backends or names if name in names]
        wanted += product(found, selected, runs.devices or file.devices, runs.seeds or file.seeds)
    _check_effects(path, file, {**experiments, **smaller})
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
        baseline,
        file.attacks,
        file.speed,
        Path(file.tensorboard) if file.tensorboard else None,
    )


def _check_effects(path: Path, file: ConfigFile, experiments: Mapping[str, Experiment]) -> None:
    """Raise LockstepError for a key that changes nothing in any experiment that reads it there."""
    whys: dict[str, list[str]] = {}
    for name, experiment in experiments.items():
        own, _, _ = name.partition("@")
        for key, why in experiment.without_effect().items():
            trees = {f"experiments.{own}.": file.experiments[own], "base.": file.base}
            if place := next((place for place, tree in trees.items() if holds(tree, key)), None):
                whys.setdefault(place + ".".join(key), []).append(why)
    for key_there, found in whys.items():
        if all(found):
            raise LockstepError(f"{path}: {key_there}: without effect, as {found[0]}; leave it out")


def _blocks(file: ConfigFile) -> dict[str, Block]:
    """{where it stands: block}."""
    lists: dict[str, Sequence[Block]] = {"runs": file.runs}
    if file.attacks:
        lists["attacks.runs"] = file.attacks.runs
        lists["attacks.strong.runs"] = file.attacks.strong.runs if file.attacks.strong else ()
    return {f"{key}[{place}]": block for key, blocks in lists.items() for place, block in enumerate(blocks)}


def _check_block(path: Path, file: ConfigFile, key: str, block: Block) -> None:
    """Raise LockstepError where it names what the config does not have."""
    known: dict[str, Sequence[str]] = {
        "experiments": list(file.experiments),
        "backends": list(plugins()) if file.backends == "all" else file.backends,
        "devices": file.devices,
    }
    for field, allowed in known.items():
        for value in getattr(block, field) or ():
            if value not in allowed:
                raise LockstepError(
                    f"{path}: {key}.{field}: {value!r} is not one of this config's: {', '.join(allowed)}"
                )


def _named(path: Path, file: ConfigFile, key: str, runs: Runs) -> dict[str, Experiment]:
    """The experiments that a block of runs trains, on fewer images where it says so."""
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


def _add_plugins(path: Path, folders: Sequence[str]) -> None:
    for folder in map(Path, folders):
        if not inside(folder):
            raise LockstepError(f"{path}: plugins: no plugin in {folder}; name one as backends/ is")
    add(map(Path, folders))


def _known(path: Path, key: str, name: str) -> None:
    try:
        find(name)
    except LockstepError as error:
        raise LockstepError(f"{path}: {key}: {error}") from None


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
    if size and holds(last, ("data", "train_size")):
        raise LockstepError(
            f"{path}: {place}data.train_size: without effect, as its size is {size}; leave it out"
        )
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
