"""Where the results come from, as their provenance tells it, and whether the cells differ in that."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from markupsafe import Markup

from lockstep.data import store
from lockstep.report import text, verdicts
from lockstep.report.certificates import Certified
from lockstep.report.cite import citation, project
from lockstep.report.grids import Grid, Group, chip
from lockstep.report.runs import Results, Run

Get = Callable[[dict[str, Any]], Any]
MACHINE = ("cpu", "cores")
"""What makes it another one; a new kernel or Python does not."""


def one_origin(results: Results) -> bool:
    """Whether all results are of one machine, one source, and images that stayed the same."""
    machines, harnesses, mixed = _origins(results)
    return machines < 2 and harnesses < 2 and not mixed


def changed_images(results: Results) -> bool:
    """Whether images of one source changed between runs, which then must not be compared."""
    return _origins(results)[2]


def sameness(results: Results) -> str:
    """Numbers of several machines or sources need a second look."""
    machines, harnesses, mixed = _origins(results)
    if one_origin(results):
        return "All results come from one machine and one version of the harness." if machines else ""
    where = f"{text.count(machines, 'machine')} and {text.count(harnesses, 'version')} of the harness"
    if mixed:
        where += ", and from changed images of one source, whose runs must not be compared"
    return f"The results come from {where}."


def _origins(results: Results) -> tuple[int, int, bool]:
    """Machines, versions of the harness, and whether images of one source changed between runs."""
    known = [run.provenance for run in results.runs if run.has_results]
    images: dict[str, set[str]] = {}
    for provenance in known:
        identity = provenance["identity"]
        source = json.dumps(identity["experiment"]["data"]["source"], sort_keys=True)
        images.setdefault(source, set()).add(identity["data"])
    machines = {json.dumps([provenance["machine"][key] for key in MACHINE]) for provenance in known}
    harnesses = {provenance["identity"]["harness"] for provenance in known}
    return len(machines), len(harnesses), any(len(versions) > 1 for versions in images.values())


def contents(results: Results, certified: Sequence[Certified]) -> dict[str, Any]:
    return {
        "sameness": sameness(results),
        "runs": environment(results),
        "certificates": verdicts.environments(results, certified),
        "citation": citation(results),
    }


def environment(results: Results) -> Grid:
    runs = [run for run in results.runs if run.has_results]
    apart = (
        [("git commit of the project", _distinct(runs, project))]
        if any(project(run.provenance) for run in runs)
        else []
    )
    strong = Markup('<strong class="differs">{}</strong>')
    rows: list[tuple[str, str]] = [
        ("config", str(results.config.path)),
        ("seeds", ", ".join(map(str, results.config.seeds))),
        ("data", _distinct(runs, _data)),
        *((what, strong.format(line)) for what, line in doubts(results)),
        *(
            ("left out, or not applied", line)
            for known in _sources(results)
            if (line := store.remarks(known))
        ),
        ("dtype, threads of a run", _distinct(runs, _training)),
        ("machine", _distinct(runs, _machine)),
        (
            "Python, Lockstep",
            _distinct(runs, lambda p: f"{p['machine']['python']}, {p['machine']['lockstep']}"),
        ),
        ("git commit of Lockstep", _distinct(runs, _commit)),
        *apart,
        ("harness source", _distinct(runs, lambda p: p["identity"]["harness"])),
    ]
    for side in results.sides:
        rows.append((chip(results, side), _distinct([run for run in runs if run.side == side], _versions)))
    return Grid(("what", "value"), 2, [Group(rows=rows)])


def _data(provenance: dict[str, Any]) -> str:
    identity = provenance["identity"]
    source = identity["experiment"]["data"]["source"]
    name = source if isinstance(source, str) else source.get("directory") or source["dataframe"]
    return f"{name}, sha256 {identity['data']}"


def doubts(results: Results) -> Iterator[tuple[str, str]]:
    """What may be a mistake in the data: images that a source left out or has twice, names of classes."""
    for known in _sources(results):
        yield from store.doubts(known)


def _sources(results: Results) -> Iterator[dict[str, Any]]:
    """What source.json says, of those that are decoded."""
    folders = map(results.config.data_path, results.config.sources.values())
    return filter(None, map(store.about, folders))


def _training(provenance: dict[str, Any]) -> str:
    training = provenance["identity"]["experiment"]["training"]
    return f"{training['dtype']}, {training['threads']}"


def _machine(provenance: dict[str, Any]) -> str:
    machine = provenance["machine"]
    return f"{machine['cpu']}, {text.count(machine['cores'], 'core')}, {machine['system']}"


def _commit(provenance: dict[str, Any]) -> str:
    git = provenance["git"]
    changed = ", with uncommitted changes" if git["dirty"] else ""
    return f"{git['commit'] or 'none'}{changed}"


def _versions(provenance: dict[str, Any]) -> str:
    identity = provenance["identity"]
    seen = {**identity["versions"], **provenance["environment"]}
    listed = ", ".join(f"{name} {value or 'none'}" for name, value in seen.items())
    return f"{listed}; plugin source {identity['plugin']}"


def _distinct(runs: Iterable[Run], get: Get) -> str:
    """The one value of all runs, or each of several with how many runs have it."""
    values: Counter[str] = Counter()
    for run in runs:
        try:
            values[str(get(run.provenance))] += 1
        except (KeyError, TypeError):
            values["not recorded"] += 1
    if len(values) < 2:
        return next(iter(values), text.NONE)
    part = Markup("{} <em>({})</em>")
    parts = [part.format(value, text.count(n, "run")) for value, n in values.most_common()]
    return Markup('<strong class="differs">runs differ:</strong> ') + Markup("<br>").join(parts)
