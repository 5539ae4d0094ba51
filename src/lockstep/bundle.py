"""Results, report and config in one zip file, from which a report is built elsewhere.

bundle.json   when and of what it was made, and the size and SHA-256 of every other file
config.yaml   as it was, byte for byte
docs/         the claims, if there are any; their references are in results/
results/      cells, attacks, certificates, times and decoded images; no locks, logs or checkpoints
reports/      as they were built, if they were
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import BaseModel, Field

import lockstep
from lockstep import bundle_names, discovery, results
from lockstep.bundle_names import ABOUT, CONFIG, REPORTS, RESULTS
from lockstep.check import CLAIMS, REFERENCES
from lockstep.config import Config, load
from lockstep.errors import LockstepError
from lockstep.identity import file_hash
from lockstep.plugin import Plugin
from lockstep.report import runs
from lockstep.yaml_files import validate

TOO_LARGE = 200e6
"""Bytes of one decoded source; a larger one is left out, and the report then draws no images."""
DENSE = (".npz", ".parquet", ".png")
"""Deflating these takes long and gains little."""
DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file in the zip: the same content gives the same bytes, but for `made` in bundle.json."""
CHUNK = 2**20
LONGEST = 100e6
"""Bytes of bundle.json, which is read whole."""
NO_BUNDLE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,  # of a zip that is none
    KeyError, ValueError, TypeError,  # of a bundle.json that is none
)  # fmt: skip


class Named(BaseModel):
    path: str


class Listed(BaseModel):
    size: int
    sha256: str


class About(BaseModel):
    """What is read of bundle.json."""

    config: Named
    backends: list[Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")]]
    """Pages are named after them: a name is no path."""
    files: dict[str, Listed]


def _is_one(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as bundle:
            return ABOUT in bundle.namelist()
    except (OSError, *NO_BUNDLE):
        return False


KIND = "a bundle", _is_one


def write(config: Config, path: Path, advance: Callable[[int], None] = lambda files: None) -> dict[str, Any]:
    """Put a config's results and report into a zip; returns what its bundle.json says.

    advance: is told how many files are done.  Raises LockstepError where there is nothing to share.
    """
    found = members(config)
    for folder in sorted(_folders(config, found)):
        if path.resolve().is_relative_to(folder.resolve()):
            raise LockstepError(f"{path}: it would be part of itself; name a file outside {folder}")
    about = _about(config)
    files: dict[str, dict[str, Any]] = {}

    def save(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w") as bundle:
            for name, source in found.items():
                files[name] = _add(bundle, name, source)
                advance(1)
            bundle.writestr(_info(ABOUT), results.json_text(about | {"files": files}))

    results.write(path, save)
    return about | {"files": files}


def members(config: Config) -> dict[str, Path]:
    """{name in the zip: file}, sorted.

    Raises LockstepError for a file that a bundle cannot hold, or not under its name.
    """
    skipped = {config.results / "logs", *_large(config)}
    claimed = [path for path in (CLAIMS, *REFERENCES.glob("*.json")) if path.is_file()]
    found = {CONFIG: config.path, **{path.as_posix(): path for path in claimed}}
    for top, folder in {RESULTS: config.results, REPORTS: config.reports}.items():
        for here, folders, names in os.walk(folder, followlinks=True):
            folders[:] = [
                name
                for name in folders
                if name[0] != "." and Path(here, name) not in skipped and not _leads_back(Path(here, name))
            ]
            for name in names:
                if name[0] != "." and not name.endswith(".lock"):
                    file = Path(here, name)
                    found[f"{top}/{file.relative_to(folder).as_posix()}"] = file
    for file in found.values():
        if not file.is_file():
            raise LockstepError(f"{file}: neither a file nor a link to one; remove it, and bundle again")
    try:
        bundle_names.require(found)
    except ValueError as error:
        raise LockstepError(
            f"{error}, so no bundle holds it (results/ is {config.results}, reports/ {config.reports}); "
            "rename it, or move it away"
        ) from None
    return dict(sorted(found.items()))


def _folders(config: Config, found: dict[str, Path]) -> set[Path]:
    """Those that go along; one of them may be a link to another disk."""
    tops = {config.results, config.reports}
    parents = {folder for file in found.values() for folder in file.parents}
    return tops | {folder for folder in parents if not tops.isdisjoint(folder.parents)}


def _leads_back(folder: Path) -> bool:
    """Whether it is a link to a folder that it is in: going there would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _large(config: Config) -> dict[Path, int]:
    """{folder: bytes} of the decoded sources that are too large to go along."""
    folders = [folder for folder in (config.results / "data").glob("*") if folder.is_dir()]
    sizes = {folder: sum(file.stat().st_size for file in folder.iterdir()) for folder in folders}
    return {folder: size for folder, size in sizes.items() if size > TOO_LARGE}


def _about(config: Config) -> dict[str, Any]:
    read = runs.read(config).runs
    finished = [run.provenance.get("git", {}) for run in read if run.has_results]
    if not finished:
        raise LockstepError(f"{config.results}: no run of {config.path} has results; train one first")
    commits = Counter((git.get("commit"), git.get("dirty")) for git in finished)
    return {
        "schema": results.SCHEMA,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "lockstep": lockstep.__version__,
        "git": [{"commit": git[0], "dirty": git[1], "cells": cells} for git, cells in commits.most_common()],
        "config": {"path": str(config.path), "sha256": hashlib.sha256(config.path.read_bytes()).hexdigest()},
        "backends": list(config.backends),
        "cells": len(read),
        "outcomes": dict(Counter(run.outcome for run in read).most_common()),
        "left_out": {
            folder.relative_to(config.results).as_posix(): size for folder, size in _large(config).items()
        },
    }


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.create_system = 3  # Unix, wherever it is written
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith(DENSE) else zipfile.ZIP_DEFLATED
    return info


def _add(bundle: zipfile.ZipFile, name: str, source: Path) -> dict[str, Any]:
    """Copy a file into the zip; returns its size and SHA-256, of what was copied."""
    info = _info(name)
    info.file_size = source.stat().st_size  # a file above 2 GB has another header, which comes first
    with source.open("rb") as content, bundle.open(info, "w") as member:
        return _copy(content, member)


def _copy(content: IO[bytes], copy: IO[bytes]) -> dict[str, Any]:
    size, digest = 0, hashlib.sha256()
    while chunk := content.read(CHUNK):
        copy.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A temporary folder with the content of a bundle, every file of it checked.

    Raises LockstepError where the file is no bundle, or a damaged one.
    """
    with tempfile.TemporaryDirectory(prefix="lockstep-") as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as bundle:
                _unpack(bundle, folder)
        except NO_BUNDLE as error:
            text = " ".join(str(error).split())
            raise LockstepError(
                f"{path}: not a bundle, or a damaged one ({text}); name one that lockstep bundle wrote, whole"
            ) from None
        yield folder


def _unpack(bundle: zipfile.ZipFile, folder: Path) -> None:
    size, free = sum(info.file_size for info in bundle.infolist()), shutil.disk_usage(folder).free
    if size > free:
        raise LockstepError(
            f"{bundle.filename}: unpacked it has {size / 1e6:,.0f} MB, and {folder.parent} has "
            f"{free / 1e6:,.0f} MB free; name a folder with more in the environment variable TMPDIR"
        )
    for info in bundle.infolist():
        _require_plain(info)
    bundle_names.require(bundle.namelist())
    content = json.loads(bundle.read(ABOUT))
    if content["schema"] != results.SCHEMA:
        raise ValueError(f"{ABOUT} is of schema {content['schema']}, this Lockstep reads {results.SCHEMA}")
    about = validate(About, content, f"{bundle.filename}: {ABOUT}")
    expected = {name: file.model_dump() for name, file in about.files.items()}
    if sorted(bundle.namelist()) != sorted([ABOUT, *expected]) or CONFIG not in expected:
        raise ValueError(f"its files are not those that {ABOUT} lists")
    for info in bundle.infolist():
        target = folder / info.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        with bundle.open(info) as member, target.open("xb") as copy:
            found = _copy(member, copy)
        if info.filename != ABOUT and found != expected[info.filename]:
            raise ValueError(f"{info.filename} is not what {ABOUT} says")


def _require_plain(info: zipfile.ZipInfo) -> None:
    """Raise ValueError unless it is a regular file, packed as `write` does."""
    if not stat.S_ISREG(info.external_attr >> 16):
        raise ValueError(f"{info.filename!r} has no place in a bundle")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is compressed, but not deflated")
    if info.filename == ABOUT and info.file_size > LONGEST:
        raise ValueError(f"{ABOUT} has {info.file_size / 1e6:,.0f} MB, more than {LONGEST / 1e6:.0f}")


@contextmanager
def opened(path: Path, backends: list[str] | None = None) -> Iterator[Config]:
    """The config of a bundle, with its results; the current folder is the unpacked one meanwhile.

    So files are named as they are in the bundle.  Backends that are not found here are
    there as ones that are not installed.  Raises LockstepError as `unpacked` and `config.load`.
    """
    with unpacked(path) as folder:
        about = About.model_validate_json((folder / ABOUT).read_text())
        with _known(about.backends):
            try:
                config = load(folder / CONFIG, backends or about.backends, elsewhere=True)
            except LockstepError as error:
                raise LockstepError(f"{path}: {str(error).replace(f'{folder}/', '')}") from None
            named = _config_as_named(folder, about.config.path)
            made = str(file_hash(folder / ABOUT))
            with chdir(folder):
                yield replace(config, path=named, results=Path(RESULTS), reports=Path(REPORTS), bundle=made)


@contextmanager
def _known(backends: list[str]) -> Iterator[None]:
    """Those that are not found here are there meanwhile, in folders that are not."""
    known = discovery.plugins()
    absent = {name: Plugin(name, Path("backends", name)) for name in backends if not _found(name)}
    known.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del known[name]


def _found(backend: str) -> bool:
    try:
        discovery.find(backend)
    except LockstepError:
        return False
    return True


def _config_as_named(folder: Path, name: str) -> Path:
    """A copy of the config where it was in the checkout, as commands that a report shows name it.

    It is config.yaml where that was elsewhere, or where the bundle has another file.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or bundle_names.unwritable(name):
        return Path(CONFIG)
    try:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("xb") as copy:
            copy.write((folder / CONFIG).read_bytes())
    except (FileExistsError, NotADirectoryError):
        return Path(CONFIG)
    return path
