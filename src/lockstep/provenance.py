"""Where, with what and how a result was made: all that metrics.json leaves out."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lockstep
from lockstep.gpu import Gpu


def machine(gpu: Gpu | None = None) -> dict[str, Any]:
    """gpu: the one that was computed on, if any."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": sys.version.split()[0],
        "lockstep": lockstep.__version__,
        **({"gpu": asdict(gpu)} if gpu else {}),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def git(file: Path = Path(__file__)) -> dict[str, Any]:
    """Commit of the repository that holds a file, and whether its files differ from it; one of Lockstep's own
    files unless told.

    Both are None where no repository knows the file: a package that is installed below a project's folder is
    no part of the project's repository.
    """
    file = file.absolute()

    def ask(*arguments: str) -> str | None:
        command = ["git", "-C", str(file.parent), *arguments]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    if ask("ls-files", "--error-unmatch", "--", file.name) is None:
        return {"commit": None, "dirty": None}
    status = ask("status", "--porcelain")
    return {"commit": ask("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}
