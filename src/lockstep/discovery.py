"""Which backends there are.  Finding one imports nothing; only `load` runs a plugin's code.

A plugin is a folder with `backend.py` and `requirements.txt`: in `backends/` of the working
directory, or named by an installed package under the entry-point group `lockstep.backends` (its value
is the plugin's package).  Both are treated alike.  Where there is no `backends/`, the checkout's is taken.
The reference ships with Lockstep; a folder of the same name in `backends/` stands in for it.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType

from packaging.requirements import InvalidRequirement, Requirement

from lockstep.backend import API, Backend
from lockstep.errors import LockstepError

ENTRY_POINTS = "lockstep.backends"
REFERENCE = "numpy"
"""The backend that others are compared with."""


@dataclass(frozen=True)
class Plugin:
    name: str
    folder: Path

    @cached_property
    def runs_on(self) -> tuple[str, ...]:
        """The devices that it is written for: `runs_on = ("cpu", "gpu")` at the top of its backend.py."""
        try:
            module = ast.parse((self.folder / "backend.py").read_text())
            for line in module.body:
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "runs_on":
                    return tuple(ast.literal_eval(line.value))
        except (OSError, SyntaxError, ValueError):
            pass  # importing it will say what is wrong
        return ("cpu",)

    @cached_property
    def requirements(self) -> list[Requirement]:
        return self._listed("requirements.txt")

    @cached_property
    def gpu_requirements(self) -> list[Requirement]:
        """What it needs on a GPU beside them; most frameworks need nothing."""
        return self._listed("requirements-gpu.txt")

    def _listed(self, file: str) -> list[Requirement]:
        path = self.folder / file
        if not path.is_file():
            return []
        lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
        try:
            return [Requirement(line) for line in lines if line]
        except InvalidRequirement as error:
            raise LockstepError(f"{path}: {error}; write one requirement a line") from None

    def versions(self, device: str = "cpu") -> dict[str, str]:
        """{distribution: version} of the requirements on a device that are installed here."""
        needed = self.requirements + (self.gpu_requirements if device == "gpu" else [])
        found = {requirement.name: version(requirement.name) for requirement in needed}
        return {name: here for name, here in found.items() if here}

    def unusable(self, device: str) -> str | None:
        """Why no cell of this backend can run on a device, found without importing; None if it can."""
        if device not in self.runs_on:
            return f"not written for {device}: it runs on {', '.join(self.runs_on)}"
        return self.missing(device)

    def missing(self, device: str = "cpu") -> str | None:
        """Which requirements are not installed, asked of the package metadata; None if all are.

        Requirements with a marker (`tensorflow-cpu; platform_machine == "x86_64"`) are alternatives:
        one of them is enough in each file, whichever build a person chose.
        """
        if not (self.folder / "backend.py").is_file():
            return f"not installed: there is no {self.folder / 'backend.py'}"
        versions = self.versions(device)

        def met(requirement: Requirement) -> bool:
            version = versions.get(requirement.name)
            return version is not None and requirement.specifier.contains(version, prereleases=True)

        needed: list[str] = []
        for listed in (self.requirements, self.gpu_requirements if device == "gpu" else []):
            needed += [f"{r.name}{r.specifier}" for r in listed if not r.marker and not met(r)]
            options = [r for r in listed if r.marker]
            if options and not any(map(met, options)):
                needed.append(" or ".join(f"{r.name}{r.specifier}" for r in options))
        return f"not installed: {', '.join(needed)}" if needed else None


@cache
def version(distribution: str) -> str | None:
    """Of what is installed; None if it is not.  Asked for every cell, and an answer takes a millisecond."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def plugins() -> dict[str, Plugin]:
    """{name: plugin}, sorted by name with the reference first."""
    found: dict[str, Plugin] = {}
    for plugin in _everywhere():
        other = found.setdefault(plugin.name, plugin)
        if other.folder != plugin.folder:
            raise LockstepError(
                f"two backends are called {plugin.name!r}: {other.folder} and {plugin.folder}; rename one"
            )
    return {name: found[name] for name in sorted(found, key=lambda name: (name != REFERENCE, name))}


def find(name: str) -> Plugin:
    try:
        return plugins()[name]
    except KeyError:
        raise LockstepError(f"unknown backend {name!r}; known: {', '.join(plugins())}") from None


def _everywhere() -> Iterator[Plugin]:
    package = Path(__file__).parent
    shipped = package / "backends"  # in a wheel; a checkout has it at its top
    ours = shipped if shipped.is_dir() else package.parents[1] / "backends"
    here = Path("backends") if Path("backends").is_dir() else ours
    found = {path.parent.name: path.parent.resolve() for path in here.glob("*/backend.py")}
    for name, folder in ({REFERENCE: ours / REFERENCE} | found).items():
        yield Plugin(name, folder)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        # Only the top package is looked up: that of a submodule would be imported.
        top, *below = entry.value.partition(":")[0].split(".")
        package_spec = importlib.util.find_spec(top)
        places = package_spec.submodule_search_locations if package_spec else None
        yield Plugin(entry.name, Path(places[0] if places else top, *below).resolve())


def load(plugin: Plugin) -> type[Backend]:
    """Import the plugin and return its one subclass of Backend."""
    module = _import(plugin)
    path = plugin.folder / "backend.py"
    if getattr(module, "api", None) != API:
        raise LockstepError(
            f"{path}: api is {getattr(module, 'api', 'missing')}, this Lockstep needs `api = {API}`"
        )
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Backend) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise LockstepError(
            f"{path}: it must define one subclass of lockstep.backend.Backend, not {len(classes)}"
        )
    return classes[0]


def _import(plugin: Plugin) -> ModuleType:
    name = f"lockstep_backend_{plugin.name.replace('-', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    # Loaded as a package, so that backend.py can say `from .layers import ...`.
    spec = importlib.util.spec_from_file_location(
        name, plugin.folder / "backend.py", submodule_search_locations=[str(plugin.folder)]
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise LockstepError(
            f"{plugin.folder / 'backend.py'}: cannot be imported ({type(error).__name__}: {error})"
        ) from error
    return module
