"""A config with seeds that nobody has trained yet, for claims that are to be tested and not repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lockstep import config as configs
from lockstep.errors import LockstepError
from lockstep.results import write_text
from lockstep.yaml_files import read

FOLDERS = ("results", "reports", "tensorboard")


def write(path: Path, first: int) -> Path:
    """Write the config at `path` with seeds from `first` on, and folders of its own, beside its results.

    The lowest seed becomes `first`, the others keep their distances to it.  Times do not depend on seeds and
    are left out.  Raises LockstepError.
    """
    config = configs.load(path)
    shift = first - min(config.seeds)
    if shift == 0:
        raise LockstepError(f"--from {first}: the seeds of {path} start there; give another number")
    settings = read(path)
    settings.pop("speed", None)
    settings |= {key: f"{settings[key]}-from-{first}" for key in FOLDERS if settings.get(key)}
    written = Path(f"{settings['results']}.yaml")
    content = yaml.safe_dump(_moved(settings, shift), sort_keys=False, width=120, default_flow_style=None)
    write_text(written, f"# {path} with seeds from {first} on: written by `lockstep fresh`.\n{content}")
    configs.load(written)
    return written


def _moved(value: Any, shift: int, key: str = "") -> Any:
    """All lists under a key `seeds`: the config's and those of its blocks."""
    if isinstance(value, dict):
        return {name: _moved(each, shift, name) for name, each in value.items()}
    if isinstance(value, list):
        return [each + shift if key == "seeds" else _moved(each, shift) for each in value]
    return value
