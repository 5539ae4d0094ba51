"""A plugin's folder, and what it says of itself without being run.

`backend.py` starts with plain values, which are read from its source:

    api = 1                                        the contract that it is written for
    runs_on = ("cpu", "gpu")                       the devices; only "cpu" where nothing is said
    options = {"compile": (False, True)}           what variants may choose: allowed values, the default first
    gpu_only = {"precision": ("tf32",)}            values of options that need a GPU
    no_space = {"compile": (True,)}                those that cannot work where the path of Python has a space
    switches = ("MINE_CPU_KERNELS",)               environment variables that change its bits or its speed

`requirements.txt` beside it lists the distributions that it needs, `requirements-gpu.txt` those that it needs
beside them on a GPU.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import Field

from lockstep import switches
from lockstep.backend import API, ROUNDOFF
from lockstep.errors import LockstepError
from lockstep.settings import Settings
from lockstep.yaml_files import validate

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Of backends and experiments: they are folders, parts of commands and of addresses."""
Option = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Value = bool | int | Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Values = Annotated[tuple[Value, ...], Field(min_length=1)]
REQUIREMENTS = ("requirements.txt", "requirements-gpu.txt")


class Said(Settings):
    """The plain values at the top of backend.py; what is none of them is seen when the file is imported."""

    api: Any = API
    runs_on: tuple[str, ...] = ("cpu",)
    options: dict[Option, Values] = Field(default={})
    gpu_only: dict[Option, Values] = Field(default={})
    no_space: dict[Option, Values] = Field(default={})
    switches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plugin:
    name: str
    """With what a variant chooses: "torch+compile"."""
    folder: Path
    chosen: tuple[tuple[str, Value], ...] = ()
    """(option, value) of a variant, where it is not the default."""
    clash: str | None = None
    """Why nobody can tell which plugin the name means."""

    @property
    def family(self) -> str:
        """The plugin's own name, without what a variant chooses."""
        return self.name.partition("+")[0]

    @property
    def options(self) -> dict[str, Any]:
        """{option: value}: what the constructor gets beside the contract's arguments."""
        return {name: values[0] for name, values in self.said.options.items()} | dict(self.chosen)

    @property
    def variants(self) -> dict[str, tuple[str, Value]]:
        """{what a variant's name says: (option, value)}: "compile", "channels_last=false"."""
        options = self.said.options.items()
        return {_spelled(name, value): (name, value) for name, values in options for value in values[1:]}

    @cached_property
    def found(self) -> dict[str, Plugin]:
        """{what it chooses: variant} of those that were asked for, in that order."""
        return {}

    @property
    def precision(self) -> str:
        """Of the arithmetic of float32 runs: one of `backend.ROUNDOFF`."""
        return str(self.options.get("precision", "float32"))

    @property
    def switches(self) -> dict[str, str]:
        """{variable: value} of the environment's switches that are set here: a part of its results."""
        return switches.kept(self.said.switches)

    def unusable(self, device: str) -> str | None:
        """Why no cell of this backend can run on a device, found without importing; None if it can."""
        if self.problem:
            return self.problem
        if device not in self.said.runs_on:
            return f"not written for {device}: it runs on {', '.join(self.said.runs_on)}"
        for option, values in self.said.gpu_only.items():
            if device == "cpu" and self.options.get(option) in values:
                return f"{option}={self.options[option]} is of GPUs"
        for option, values in self.said.no_space.items():
            if " " in sys.prefix and self.options.get(option) in values:
                choice = _spelled(option, self.options[option])
                return f"{choice} cannot work where Python's path has a space ({sys.prefix}): move it"
        return self.missing(device)

    def missing(self, device: str = "cpu") -> str | None:
        """Which requirements are not installed, asked of the package metadata; None if all are.

        Requirements with a marker (`tensorflow-cpu; platform_machine == "x86_64"`) are alternatives:
        one of them is enough in each file, whichever build a person chose.
        """
        if self.problem:
            return self.problem
        versions = self.versions(device)

        def met(requirement: Requirement) -> bool:
            version = versions.get(requirement.name)
            return version is not None and requirement.specifier.contains(version, prereleases=True)

        needed: list[str] = []
        for listed in self.requirements(device):
            needed += [f"{r.name}{r.specifier}" for r in listed if not r.marker and not met(r)]
            options = [r for r in listed if r.marker]
            if options and not any(map(met, options)):
                needed.append(" or ".join(f"{r.name}{r.specifier}" for r in options))
        return f"not installed: {', '.join(needed)}" if needed else None

    def versions(self, device: str = "cpu") -> dict[str, str]:
        """{distribution: version} of the requirements on a device that are installed here."""
        found = {r.name: version(r.name) for listed in self.requirements(device) for r in listed}
        return {name: here for name, here in found.items() if here}

    @property
    def said(self) -> Said:
        return self._read[0]

    def requirements(self, device: str) -> list[list[Requirement]]:
        """Those of each file that matters on a device."""
        return self._read[1] if device == "gpu" else self._read[1][:1]

    @property
    def problem(self) -> str | None:
        """Why it can run nowhere, whatever is installed; None if nothing is seen without running it."""
        return self._read[2]

    @cached_property
    def _read(self) -> tuple[Said, list[list[Requirement]], str | None]:
        if self.clash:
            return Said(), [], self.clash
        file = self.folder / "backend.py"
        if not file.is_file():
            return Said(), [], f"not installed: there is no {file}"
        if not NAME.fullmatch(self.family):
            rule = "call it by up to 64 lower-case letters, digits, - and _"
            return Said(), [], f"{self.folder}: {self.family!r} is no name for a backend; {rule}"
        try:
            return _said(file), [_requirements(self.folder / name) for name in REQUIREMENTS], None
        except LockstepError as error:
            return Said(), [], str(error)


def _said(file: Path) -> Said:
    """Raises LockstepError where the file is no Python, is of another api or says something unknown."""
    try:
        module = ast.parse(file.read_bytes())  # the encoding is the file's own, as Python reads it
    except SyntaxError as error:
        raise LockstepError(f"{file}, line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise LockstepError(f"{file}: {error}") from None
    values: dict[str, Any] = {}
    for line in module.body:
        if not isinstance(line, ast.Assign | ast.AnnAssign) or line.value is None:
            continue
        name = ast.unparse(line.targets[0] if isinstance(line, ast.Assign) else line.target)
        if name in Said.model_fields:
            try:
                values[name] = ast.literal_eval(line.value)
            except (ValueError, TypeError):
                if name != "api":
                    raise LockstepError(
                        f"{file}, line {line.lineno}: write {name} as plain values: it is read without "
                        "running the file"
                    ) from None
    if values.get("api", API) != API:
        raise LockstepError(f"{file}: api is {values['api']!r}, this Lockstep needs `api = {API}`")
    said = validate(Said, values, str(file))
    if taken := {"device", "dtype", "threads", "deterministic"} & set(said.options):
        raise LockstepError(f"{file}: options: {taken.pop()!r} is an argument of the contract; rename it")
    if gone := list(filter(switches.dropped, said.switches)):
        raise LockstepError(
            f"{file}: switches: {gone[0]} is dropped before a plugin starts; set what it means in backend.py"
        )
    for precision in said.options.get("precision", ()):
        if precision not in ROUNDOFF:
            known = ", ".join(ROUNDOFF)
            raise LockstepError(f"{file}: options: unknown precision {precision!r}; known: {known}")
    return said


def _requirements(file: Path) -> list[Requirement]:
    if not file.is_file():
        return []
    try:
        lines = [line.split("#")[0].strip() for line in file.read_text("utf-8-sig").splitlines()]
        return [Requirement(line) for line in lines if line]
    except (InvalidRequirement, OSError, ValueError) as error:
        raise LockstepError(f"{file}: {str(error).splitlines()[0]}; write one requirement a line") from None


def variant(plugin: Plugin, text: str) -> Plugin:
    """The plugin with other options: "compile+precision=bf16".  Raises LockstepError.

    A variant has one name: options in the order in which the plugin declares them, and no defaults.
    """
    if text in plugin.found:
        return plugin.found[text]
    if plugin.problem:  # nobody knows its options: the variant has the problem too
        return replace(plugin, name=f"{plugin.name}+{text}")
    spelled, parts = plugin.variants, text.split("+")
    if wrong := [part for part in parts if part not in spelled]:
        known = f"it has: {', '.join(spelled)}" if spelled else "it has none"
        lacks = f"{plugin.name} has no option {wrong[0]!r}"
        raise LockstepError(f"backend {plugin.name}+{text}: {lacks}; {known}")
    order = list(plugin.said.options)
    right = sorted(dict(spelled[part] for part in parts).items(), key=lambda pair: order.index(pair[0]))
    name = "+".join([plugin.name, *(_spelled(*pair) for pair in right)])
    if name != f"{plugin.name}+{text}":
        raise LockstepError(f"backend {plugin.name}+{text}: name each option once, in this order: {name}")
    plugin.found[text] = replace(plugin, name=name, chosen=tuple(right))
    return plugin.found[text]


def _spelled(option: str, value: Value) -> str:
    return option if value is True else f"{option}={str(value).lower()}"


@cache
def version(distribution: str) -> str | None:
    """Of what is installed; None if it is not.  Asked for every cell, and an answer takes a millisecond."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
