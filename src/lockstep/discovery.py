"""Which backends there are.  Finding one imports nothing; only `load` runs a plugin's code.

A plugin is a folder with `backend.py` and `requirements.txt` (`plugin.py`), in one of these places:

- `backends/` of the working directory; where there is none, the checkout's is taken
- a folder that `$LOCKSTEP_BACKENDS` names, or the config: its key `plugins` adds to that variable
- an installed package under the entry-point group `lockstep.backends`: its value is the plugin's package

All are treated alike.  A plugin with a fault is among them and says what it is; it keeps no other from
running.  The reference ships with Lockstep; a folder of the same name in `backends/` stands in for it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

from lockstep import switches
from lockstep.backend import API, Backend
from lockstep.errors import LockstepError
from lockstep.plugin import Plugin, variant

ENTRY_POINTS = "lockstep.backends"
FOLDERS = "LOCKSTEP_BACKENDS"
"""The variable with further folders, separated as in PATH; processes that are started inherit it."""
REFERENCE = "numpy"
"""The backend that others are compared with."""


@cache
def plugins() -> dict[str, Plugin]:
    """{name: plugin}, sorted by name with the reference first.

    Raises LockstepError where $LOCKSTEP_BACKENDS names a folder that is not there.
    """
    found: dict[str, Plugin] = {}
    for plugin in _everywhere():
        other = found.setdefault(plugin.name, plugin)
        if other.folder != plugin.folder and not other.clash:
            clash = f"two backends are called {plugin.name!r}: {other.folder} and {plugin.folder}; rename one"
            found[plugin.name] = replace(other, clash=clash)
    return {name: found[name] for name in sorted(found, key=lambda name: (name != REFERENCE, name))}


def find(name: str) -> Plugin:
    """A plugin, or a variant of one: "torch+compile".  Raises LockstepError."""
    known = plugins()
    family, _, choices = name.partition("+")
    if name in known:
        return known[name]
    if family not in known:
        folder, begin = Path("backends", family), f"lockstep new-backend {family}"
        if folder.is_dir():
            raise LockstepError(
                f"{folder}: it has no backend.py; write one, or remove the folder and run {begin}"
            )
        raise LockstepError(f"unknown backend {name!r}; known: {', '.join(known)}; to begin one: {begin}")
    return variant(known[family], choices)


def add(folders: Iterable[Path]) -> None:
    """Find plugins in these folders too, in this process and in those that it starts."""
    known = [*_named(), *(folder.resolve() for folder in folders)]
    os.environ[FOLDERS] = os.pathsep.join(map(str, dict.fromkeys(known)))
    plugins.cache_clear()


def inside(folder: Path) -> list[Path]:
    """The plugins' folders in a folder."""
    return sorted(path.parent.resolve() for path in folder.glob("*/backend.py"))


def _everywhere() -> Iterator[Plugin]:
    package = Path(__file__).parent
    shipped = package / "backends"  # in a wheel; a checkout has it at its top
    ours = shipped if shipped.is_dir() else package.parents[1] / "backends"
    here = Path("backends") if Path("backends").is_dir() else ours
    found = {path.parent.name: path.parent.resolve() for path in here.glob("*/backend.py")}
    for name, folder in ({REFERENCE: ours / REFERENCE} | found).items():
        yield Plugin(name, folder)
    for place in _named():
        if not place.is_dir():
            raise LockstepError(f"${FOLDERS}: no folder {place}; name folders that hold plugins' folders")
        yield from (Plugin(folder.name, folder) for folder in inside(place))
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        # Only the top package is looked up: that of a submodule would be imported.
        top, *below = entry.value.partition(":")[0].split(".")
        package_spec = importlib.util.find_spec(top) if top else None
        places = package_spec.submodule_search_locations if package_spec else None
        yield Plugin(entry.name, Path(places[0] if places else top, *below).resolve())


def _named() -> list[Path]:
    return [Path(folder).resolve() for folder in os.environ.get(FOLDERS, "").split(os.pathsep) if folder]


def load(plugin: Plugin) -> type[Backend]:
    """Import the plugin and return its one subclass of Backend."""
    path = plugin.folder / "backend.py"
    if plugin.problem:
        raise LockstepError(plugin.problem)
    module = _import(plugin)
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
    name = f"lockstep_backend_{plugin.family}"
    if name in sys.modules:
        return sys.modules[name]
    switches.drop()  # frameworks read theirs when they are imported
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
