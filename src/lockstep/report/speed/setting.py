"""Where, when, with what and beside what it was timed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from markupsafe import Markup

from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.speed.names import chip
from lockstep.report.speed.timings import Timing, Timings


def grid(timings: Timings) -> Grid:
    what: dict[str, Callable[[Timing], str]] = {
        "machine": lambda timing: timing.machine,
        "system, Python, Lockstep": _versions,
        "timed": _when,
        "experiment": _experiment,
        "rounds": lambda timing: (
            f"{timing.content['rounds']}, interleaved; a process for each backend and round"
        ),
        "switches of the environment": lambda timing: timing.switches or "none",
        "load meanwhile": _load,
    }
    what |= {chip(timings, name): partial(_environment, name) for name in timings.backends}
    rows = [(name, _alike(timings, get)) for name, get in what.items()]
    threads = ", ".join(dict.fromkeys(str(timing.threads) for timing in timings.usable))
    return Grid(("what", "value"), 2, [Group(rows=[*rows[:4], ("threads", threads), *rows[4:]])])


def _alike(timings: Timings, get: Callable[[Timing], str]) -> str:
    """The one value of all files, or a line for each."""
    found = {timing.label: get(timing) for timing in timings.usable}
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return Markup("<br>").join(f"{label}: {value}" for label, value in found.items())


def _when(timing: Timing) -> str:
    return f"{datetime.fromisoformat(timing.content['made']):%Y-%m-%d %H:%M} UTC"


def _versions(timing: Timing) -> str:
    machine = timing.content["machine"]
    return f"{machine['system']}, {machine['python']}, {machine['lockstep']}"


def _experiment(timing: Timing) -> str:
    content = timing.content
    images = text.count(content["images"], "training image")
    return f"{content['experiment']}: {images}, batches of {content['batch_size']}, on {content['device']}"


def _environment(backend: str, timing: Timing) -> str:
    found = timing.content["environment"].get(backend, {})
    return (
        ", ".join(f"{name} {'none' if value == '' else value}" for name, value in found.items()) or text.NONE
    )


def _load(timing: Timing) -> str:
    """Of the tries that count."""
    runs = timing.content["load"]
    kept = [run["tries"][run["kept"]] for run in runs]
    before, after = (f"{max(load[key] for load in kept):.1f}" for key in ("load_before", "load_after"))
    steal, others = (f"{100 * max(load[key] for load in kept):.1f} %" for key in ("steal", "others"))
    again = sum(len(run["tries"]) > 1 for run in runs)
    return (
        f"at most: load average {before} before and {after} after a process, steal {steal}, other processes "
        f"{others}; {again} of {len(runs)} timed again"
    )
