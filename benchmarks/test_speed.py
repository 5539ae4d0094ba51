"""Every installed backend once: all phases of `lockstep time`, each backend in a process of its own.

    pytest benchmarks/test_speed.py -s

prints the table; `lockstep time` takes rounds, threads and batch sizes.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lockstep import config
from lockstep.discovery import plugins
from lockstep.speed import terminal


def test_every_installed_backend_is_timed(tmp_path):
    console = Console(width=120)
    settings = config.load(Path("config/config.yaml"))
    request = terminal.request(settings, list(plugins()), "cpu", 1, None, 1, False, console)
    terminal.run(request, None, tmp_path, console)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}-round-1.json" for name in request.backends}
