"""A timed process: pytest with nothing but pytest-benchmark, on one file of this package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lockstep.errors import LockstepError

HERE = Path(__file__).parent
Raw = dict[str, Any]
"""What pytest-benchmark wrote, and `lockstep`: what the process says of itself."""


def run(file: str, options: Sequence[str], result: Path) -> Raw:
    """Time a file of this folder; pytest-benchmark's JSON.  Raises LockstepError with the reason."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=short", "--color=no"]
    # No settings, plugins or caches of the folder where this is started, and imports as they are elsewhere.
    command += ["-c", os.devnull, f"--rootdir={HERE}", "--import-mode=importlib", "--assert=plain"]
    command += ["-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin", "-p", "lockstep.speed.plugin"]
    command += [f"--benchmark-json={result}", *options, str(HERE / file)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise LockstepError(_reason(done))
    return dict(json.loads(result.read_text()))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"its process was killed by signal {-done.returncode}; 9 is often a want of memory"
    lines = f"{done.stdout}\n{done.stderr}".strip().splitlines()
    errors = [match[1] for line in lines if (match := re.match(r"E\s+(\S.*)", line))]
    last = (errors or lines or ["without a word"])[-1]
    return last.removeprefix("lockstep.errors.LockstepError: ")
