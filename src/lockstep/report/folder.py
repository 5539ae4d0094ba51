"""The folder that a report is written to: whose report it holds, and whether another may be written there.

report.json says of which config or bundle it is, and, once all of it is written, the hash of what it was made
of (`freshness.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lockstep import yaml_files
from lockstep.config import Config
from lockstep.errors import LockstepError
from lockstep.results import write_json

ABOUT = "report.json"


def made_by(folder: Path) -> str | None:
    """The hash that a complete report was made by; None if there is none."""
    made = _about(folder).get("hash")
    return made if isinstance(made, str) and (folder / "index.html").is_file() else None


@contextmanager
def held(config: Config, made_of: str | None) -> Iterator[None]:
    """While its pages are written a report is not made of anything."""
    about = {"of": _owner(config)}
    write_json(config.reports / ABOUT, about)
    yield
    write_json(config.reports / ABOUT, about | {"hash": made_of})


def require_free(config: Config, asked_for: bool) -> None:
    """Raise LockstepError where a report would replace what is not a report, or another's.

    asked_for: somebody named the folder; then another's report is theirs to replace.
    """
    folder = config.reports
    if folder.exists() and not folder.is_dir():
        raise LockstepError(f"{folder}: a file; name a folder for the report")
    if not _in_the_way(folder, its_own=not asked_for and not config.bundle):
        return
    if not _is_report(folder):
        raise LockstepError(
            f"{folder}: holds other files than those of a report, and nothing is overwritten; name another"
        )
    owner = _about(folder).get("of", "a config")
    if not asked_for and _kind(owner) != _kind(_owner(config)):
        raise LockstepError(
            f"{folder}: holds the report of {owner}, which is not replaced; name another folder with --to, "
            "or this one to replace it"
        )


def _in_the_way(folder: Path, its_own: bool) -> bool:
    """Whether there is anything; in a config's own folder, anything that a report would overwrite."""
    if not folder.is_dir():
        return False
    seen = [path for path in folder.iterdir() if not path.name.startswith(".")]
    written = [path for path in seen if path.suffix == ".html" or path.name in ("tables", "figures", ABOUT)]
    return bool(written if its_own else seen)


def require_unowned(folder: Path, configs: Path) -> None:
    """Raise LockstepError where the folder is the place of a config's results or report, made yet or not."""
    for path in sorted(configs.glob("*.y*ml")):
        for place in _places(path):
            if _overlap(folder.resolve(), place.resolve()):
                raise LockstepError(
                    f"{folder}: {path} keeps its results or report in {place}; name another folder with --to"
                )


def _places(config: Path) -> list[Path]:
    """Of its results and its report; a file that is no config has none."""
    try:
        content = yaml_files.read(config)
    except LockstepError:
        return []
    return [Path(content[key]) for key in ("results", "reports") if isinstance(content.get(key), str)]


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _owner(config: Config) -> str:
    return f"the bundle {config.bundle}" if config.bundle else f"the config {config.path}"


def _kind(owner: str) -> str:
    """Bundles are told apart; a config may be moved or renamed, and names its folder itself."""
    return owner if owner.startswith("the bundle ") else "a config"


def _is_report(folder: Path) -> bool:
    """By report.json, or, of an earlier version, by what all pages end with."""
    pages = (page.read_bytes() for page in folder.glob("*.html"))
    return bool(_about(folder)) or any(b"by Lockstep.</footer>" in page for page in pages)


def _about(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / ABOUT).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("of"), str) else {}
