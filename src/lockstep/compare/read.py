"""What results folders hold, read as it is: neither the config nor the plugins have to be here."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple

from lockstep import yaml_files
from lockstep.attacks import strength
from lockstep.errors import LockstepError
from lockstep.report.robustness.names import FAST, STRONG, condition
from lockstep.results import SCHEMA

METRICS = ("accuracy", "cross_entropy", "calibration_error")
"""Of the test images of every completed run."""
CELL = "cells/*/*/*/seed-*"
TIMES = "speed/*threads-*.json"

Facts = Mapping[str, Mapping[str, Any]]
"""{kind: {name: value}}: under which circumstances a file was made."""


class Key(NamedTuple):
    experiment: str
    backend: str
    device: str
    seed: int

    @property
    def path(self) -> str:
        """Its folder below `cells/`."""
        return f"{self.experiment}/{self.backend}/{self.device}/seed-{self.seed}"


class Measure(NamedTuple):
    split: str
    metric: str
    condition: str


class Number(NamedTuple):
    value: float
    n: int
    """Images that it was measured on."""


Numbers = Mapping[Measure, Number]


@dataclass(frozen=True)
class Attack:
    """What `lockstep robustness` left of a cell."""

    outcome: str
    """Whether there are numbers: yes; or no, or why not."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    measured: Numbers = field(default_factory=dict)
    bounds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """{condition that accuracies are compared in, pgd=0.1: why this one is an upper bound, if it is}."""


@dataclass(frozen=True)
class Run:
    """A cell.  One that did not complete has no numbers, and facts only if it left any."""

    folder: Path
    outcome: str
    """completed; or diverged, failed or damaged, and why."""
    facts: Facts = field(default_factory=dict)
    measured: Numbers = field(default_factory=dict)
    attack: Attack = Attack("no")


@dataclass(frozen=True)
class Timed:
    """What `lockstep time` left; docs/speed.md explains the content."""

    content: Mapping[str, Any]
    facts: Facts


@dataclass(frozen=True)
class Source:
    """One of the results that are compared."""

    label: str
    """A, B, C ..."""
    path: Path
    """As it was given."""
    runs: Mapping[Key, Run]
    timed: Mapping[str, Timed]
    """{name of the file: times}."""
    unreadable: Sequence[str] = ()
    """Lines about files of times that are damaged."""

    @property
    def completed(self) -> int:
        return sum(bool(run.measured) for run in self.runs.values())


@contextmanager
def opened(paths: Sequence[Path]) -> Iterator[list[Source]]:
    """Results folders, config files or bundles, read; the content of a bundle is there inside the `with`.

    Raises LockstepError for what is none of them, or holds no results.
    """
    if not 2 <= len(paths) <= len(ascii_uppercase):
        raise LockstepError(f"compare: give 2 to {len(ascii_uppercase)} results, not {len(paths)}")
    with ExitStack() as stack:
        yield [
            _source(label, path, _folder(path, stack))
            for label, path in zip(ascii_uppercase, paths, strict=False)
        ]


def _folder(path: Path, stack: ExitStack) -> Path:
    if path.is_dir():
        return path
    if path.is_file() and zipfile.is_zipfile(path):
        from lockstep.bundle import unpacked

        return Path(stack.enter_context(unpacked(path))) / "results"
    folder = yaml_files.read(path).get("results")
    if not isinstance(folder, str):
        raise LockstepError(
            f"{path}: no `results:` folder in it; name a config, a results folder or a bundle"
        )
    return Path(folder)


def _source(label: str, path: Path, folder: Path) -> Source:
    runs = {}
    for cell in sorted(folder.glob(CELL)):
        place = cell.relative_to(folder / "cells")
        experiment, backend, device, seed = place.parts
        number = seed.removeprefix("seed-")
        if number.isdecimal() and (run := _run(cell, folder / "attacks" / place)):
            runs[Key(experiment, backend, device, int(number))] = run
    timed, unreadable = {}, []
    for file in sorted(folder.glob(TIMES)):
        try:
            timed[file.stem] = _timed(file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            unreadable.append(f"{label}: {file}: damaged times ({_one_line(error)}); left out")
    if not runs and not timed:
        raise LockstepError(
            f"{path}: no results in {folder} (neither cells/ nor speed/); name a results folder, "
            "a config that was run, or a bundle"
        )
    return Source(label, path, runs, timed, unreadable)


def _run(cell: Path, attacked: Path) -> Run | None:
    """None where a cell has not ended yet."""
    if not (cell / "metrics.json").exists():
        if not (cell / "failure.json").exists():
            return None
        try:
            return Run(cell, f"failed: {_json(cell / 'failure.json')['reason']}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Run(cell, f"failed: unknown ({_one_line(error)})")
    try:
        metrics, provenance = _json(cell / "metrics.json"), _json(cell / "provenance.json")
        facts, outcome = _facts(provenance), str(metrics["outcome"])
        if outcome != "completed":
            return Run(cell, f"{outcome}: {metrics['reason']}", facts)
        measured = _numbers(metrics)
        for metric in METRICS:
            if not math.isfinite(measured[Measure("test", metric, "")].value):
                raise ValueError(f"test {metric} is not a number")
        if (cell / "failure.json").exists():
            outcome += "; a later try failed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Run(cell, f"damaged: {_one_line(error)}")
    classes = sum(measure[:2] == ("test", "accuracy") and measure.condition != "" for measure in measured)
    attack = _attack(attacked / "attacks.json", provenance.get("cell_hash"), classes)
    return Run(cell, outcome, facts, measured, attack)


def _attack(path: Path, cell_hash: str | None, classes: int) -> Attack:
    if not path.exists():
        return Attack("no")
    try:
        content = _json(path)
        if content["cell_hash"] != cell_hash:
            return Attack("yes, but an earlier run")
        settings = content["settings"]
        measured = _numbers(content)
        return Attack("yes", dict(_flat("", settings)), measured, _bounds(settings, measured, classes))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Attack(f"damaged: {_one_line(error)}")


def _bounds(settings: Mapping[str, Any], measured: Numbers, classes: int) -> dict[str, list[str]]:
    compared = [(name, eps) for name in (*settings["names"], "worst") for eps in settings["eps"]]
    compared += [(name, settings["shown"]) for name in FAST]
    compared += [(name, settings["strong"]["eps"]) for name in STRONG if settings["strong"]]
    checks = strength.judge(
        {(measure.condition, measure.metric): number.value for measure, number in measured.items()}, classes
    )
    return {
        condition(*number): [
            f"not true that {check.name} ({check})" for check in checks if check.makes_upper_bound(*number)
        ]
        for number in compared
    }


def _numbers(content: Mapping[str, Any]) -> Numbers:
    return {
        Measure(row["split"], row["metric"], row["condition"]): Number(float(row["value"]), int(row["n"]))
        for row in content["measurements"]
    }


def _timed(path: Path) -> Timed:
    content = _json(path)
    settings = ("experiment", "device", "threads", "batch_size", "rounds", "images")
    versions = {
        f"{backend}: {name}": value
        for backend, switches in content["environment"].items()
        for name, value in switches.items()
    }
    facts = {
        "environment": {**_machine(content["machine"]), **versions},
        "code": {"lockstep": content["machine"]["lockstep"], "all that was timed, hash": content["hash"]},
        "settings": {name: content[name] for name in settings}
        | {"FLOPs of an image": content["flops_per_image"]["forward"]},
    }
    for phases in content["backends"].values():
        for quantities in phases.values():
            _ = [math.log(value) for spread in quantities.values() for value in spread["values"]]
    return Timed(content, facts)


def _facts(provenance: Mapping[str, Any]) -> Facts:
    """By kind, but for times, and for what is said of the cell by its place."""
    identity, machine, git = (provenance[name] for name in ("identity", "machine", "git"))
    return {
        "environment": {**_machine(machine), **provenance["environment"], **identity["versions"]},
        "data": {"sha256": identity["data"][:16]},
        "code": {
            "lockstep": machine["lockstep"],
            "git commit": str(git["commit"])[:12],
            "uncommitted changes": git["dirty"],
            "harness, hash": identity["harness"],
            "plugin, hash": identity["plugin"],
        },
        "settings": dict(_flat("", identity["experiment"])),
    }


def _machine(machine: Mapping[str, Any]) -> dict[str, Any]:
    return {f"machine: {name}": value for name, value in machine.items() if name != "lockstep"}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """{"layers": [{"kind": "flatten"}], "eps": [0.1]} -> ("layers[0].kind", "flatten"), ("eps", [0.1])."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(f"{prefix}.{name}".lstrip("."), part)
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        for place, part in enumerate(value):
            yield from _flat(f"{prefix}[{place}]", part)
    else:
        yield prefix, value


def _json(path: Path) -> dict[str, Any]:
    """Raises OSError or ValueError unless it is a file of our schema."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        raise ValueError(f"{path.name} is not JSON") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"{path.name} is not of schema {SCHEMA}")
    return content


def _one_line(error: Exception) -> str:
    """A value of ours says enough; of others the type belongs to it: KeyError: 'identity'."""
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())[:100]
