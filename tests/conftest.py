"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lockstep import discovery
from lockstep.conformance.certificate import Certificate
from lockstep.conformance.verify import Request, prepared_digits, verify
from lockstep.conformance.worker import Worker
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
    """(backend, dtype, device, threads) -> its long-lived process: one process holds one framework."""
    running: dict[tuple[object, ...], Worker] = {}

    def get(*key: Any) -> Worker:
        if key not in running:
            running[key] = Worker.start(*key)
        return running[key]

    yield get
    for process in running.values():
        process.close()


@pytest.fixture(scope="session")
def digits() -> Iterator[Path]:
    """The file of digits that the conformance tiers run on."""
    with prepared_digits() as path:
        yield path


@pytest.fixture
def certify(digits, monkeypatch) -> Iterator[Callable[..., Certificate]]:
    """(folder, name, *tiers) -> certificate of a plugin in `folder/backends`, where plugins are found."""

    def made(folder: Path, name: str, *tiers: str) -> Certificate:
        monkeypatch.chdir(folder)
        discovery.plugins.cache_clear()
        return verify(Request(name, tiers=tiers), digits, None, lambda what: None)

    yield made
    discovery.plugins.cache_clear()
