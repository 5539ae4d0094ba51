"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lockstep.conformance.observe import Worker
from lockstep.discovery import Plugin, plugins

ROOT = Path(__file__).parents[1]
os.chdir(ROOT)  # `backends/` of this checkout is the one that is found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `backend` runs for every discovered one; not installed is a skip that says why."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", [_parameter(plugin) for plugin in plugins().values()])


def _parameter(plugin: Plugin):
    reason = plugin.missing()
    return pytest.param(
        plugin.name, marks=pytest.mark.skip(reason=f"{plugin.name}: {reason}") if reason else ()
    )


@pytest.fixture(scope="session")
def worker() -> Iterator[Callable[..., Worker]]:
    """(backend, dtype, device) -> its long-lived process: one process holds one framework."""
    running: dict[tuple[str, ...], Worker] = {}

    def get(*key: str) -> Worker:
        if key not in running:
            running[key] = Worker.start(*key)
        return running[key]

    yield get
    for process in running.values():
        process.close()
