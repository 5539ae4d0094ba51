"""`lockstep new-backend`: a folder with a backend that already runs, to be replaced piece by piece.

The files of `template/` are copied as they are: what is written is what the tests verify.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from lockstep import discovery
from lockstep.errors import LockstepError
from lockstep.plugin import NAME
from lockstep.results import write_text

TEMPLATE = Path(__file__).parent / "template"


def write(name: str, where: Path) -> Path:
    """Write the template to `where/name` and return that folder.

    Raises LockstepError where the name is none, a backend of that name is known, or the folder is there.
    """
    folder = where / name
    if not NAME.fullmatch(name):
        raise LockstepError(
            f"new-backend {name!r}: call it by lower-case letters, digits, - and _, as my-backend"
        )
    if folder.exists():
        raise LockstepError(f"{folder}: is there already, and nothing is overwritten; choose another name")
    if known := discovery.plugins().get(name):
        raise LockstepError(f"new-backend {name}: {known.folder} has that name; choose another")
    for file in sorted(TEMPLATE.iterdir()):
        if file.is_file():
            write_text(folder / file.name, file.read_text())
    discovery.plugins.cache_clear()
    return folder


def next_commands(name: str, where: Path) -> list[str]:
    """What to run after `write`; first what makes a folder be looked in, if it is not `backends/`."""
    places = dict.fromkeys(
        [*filter(None, os.environ.get(discovery.FOLDERS, "").split(os.pathsep)), str(where.resolve())]
    )
    export = f"export {discovery.FOLDERS}={shlex.quote(os.pathsep.join(places))}"
    return [
        *([] if where.resolve() == Path("backends").resolve() else [export]),
        f"lockstep verify {name}",
        f"lockstep time {discovery.REFERENCE} {name}",
        f"snakemake --cores 2 --configfile config/smoke.yaml --config backends={discovery.REFERENCE},{name}",
    ]
