"""How to cite the runs that a report shows, and how to make them again, as their provenance tells it."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import lockstep
from lockstep.config import Config, load
from lockstep.report import text
from lockstep.report.latex import escape
from lockstep.report.runs import Results, Run

UNKNOWN, DIRTY = "not recorded", " with uncommitted changes"
Get = Callable[[dict[str, Any]], Any]


class Citation(NamedTuple):
    bibtex: str
    sentence: str
    command: str
    """What makes the runs again, in a checkout."""
    remarks: list[str]
    """Why that may not give the very same: several commits, uncommitted changes."""


def citation(results: Results) -> Citation | None:
    """Of all runs with results; None if there is none."""
    runs = [run for run in results.runs if run.has_results]
    if not runs:
        return None
    software, config = _software(), results.config
    authors, title = _authors(software), f"{software['title']}. Runs of {config.path}"
    commits, harness = _distinct(runs, _commit), _distinct(runs, lambda p: p["identity"]["harness"])
    projects = _distinct(runs, project)
    apart = [f"git commit of the project {_listed(projects)}"] if set(projects) - {UNKNOWN} else []
    dates = _distinct(runs, lambda p: p["times"]["started"][:10])
    date = max((date for date in dates if date != UNKNOWN), default="")
    digest = hashlib.sha256(config.path.read_bytes()).hexdigest()
    sides = dict.fromkeys(results.label(run.side) for run in runs)
    facts = [
        f"{text.count(len(runs), 'training run')} on {text.listed(list(sides))}",
        f"Lockstep {_listed(_distinct(runs, lambda p: p['machine']['lockstep']))}",
        f"git commit of Lockstep {_listed(commits)}",
        *apart,
        f"harness {_listed(harness)}",
        f"data {_listed(_distinct(runs, _data))}",
        f"config SHA-256 {digest}",
    ]
    fields = {
        # In braces, names are not taken apart and titles keep their capitals.
        "author": " and ".join(f"{{{escape(name)}}}" for name in authors),
        "title": f"{{{escape(title)}}}",
        "year": date[:4],
        "note": ";\n    ".join(map(escape, [*facts, *_versions(runs)])),
    }
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"lockstep-{config.path.stem}-{date or digest[:8]}")
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return Citation(
        "\n".join([f"@misc{{{key},", *lines, "}"]),
        f"{text.listed(authors)}{f' ({date[:4]})' if date else ''}. {title}: {_short('; '.join(facts))}.",
        _command(commits, projects, config),
        _remarks(commits, projects, harness),
    )


def _short(facts: str) -> str:
    """Commits and checksums as people write them."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,}\b", r"\1", facts)


def _software() -> dict[str, Any]:
    """CITATION.cff: a wheel has it in the package, a checkout at its top."""
    package = Path(lockstep.__file__).parent
    places = package / "CITATION.cff", package.parents[1] / "CITATION.cff"
    found: dict[str, Any] = yaml.safe_load(next(path for path in places if path.is_file()).read_text())
    return found


def _authors(software: dict[str, Any]) -> list[str]:
    """As CITATION.cff has them: persons, or entities with one name."""
    return [
        author.get("name") or " ".join(filter(None, (author.get("given-names"), author.get("family-names"))))
        for author in software["authors"]
    ]


def _commit(provenance: dict[str, Any]) -> str:
    """Of Lockstep's own checkout; an installed one has none."""
    return _commit_and_state(provenance["git"])


def project(provenance: dict[str, Any]) -> str:
    """Of the repository that holds the config, if that is another than Lockstep's; else empty."""
    git, other = provenance.get("git", {}), provenance.get("project", {})
    return _commit_and_state(other) if other.get("commit") not in (None, git.get("commit")) else ""


def _commit_and_state(git: dict[str, Any]) -> str:
    return f"{git['commit'] or UNKNOWN}{DIRTY if git['dirty'] else ''}"


def _data(provenance: dict[str, Any]) -> str:
    """A source's name and the SHA-256 of its images."""
    identity = provenance["identity"]
    source = identity["experiment"]["data"]["source"]
    name = source if isinstance(source, str) else source.get("directory") or source["dataframe"]
    return f"{name}, SHA-256 {identity['data']}"


def _versions(runs: Sequence[Run]) -> list[str]:
    """ "numpy 2.4.6", in the order in which packages are met"""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for package, version in run.provenance["identity"].get("versions", {}).items():
            found.setdefault(package, {})[str(version)] = None
    return [f"{package} {text.listed(list(versions))}" for package, versions in found.items()]


def _distinct(runs: Sequence[Run], get: Get) -> Counter[str]:
    """{value: runs}, the commonest first."""
    values: Counter[str] = Counter()
    for run in runs:
        try:
            values[str(get(run.provenance) or UNKNOWN)] += 1
        except (KeyError, TypeError):
            values[UNKNOWN] += 1
    return Counter(dict(values.most_common()))


def _listed(values: Counter[str]) -> str:
    """The one value, or each of several with how many runs have it."""
    if len(values) == 1:
        return next(iter(values))
    return text.listed([f"{value} ({text.count(n, 'run')})" for value, n in values.items()])


def _command(commits: Counter[str], projects: Counter[str], config: Config) -> str:
    """Of the commits that most runs share, and of the backends that were selected."""
    commit, apart = (next(iter(each)).removesuffix(DIRTY) for each in (commits, projects))
    path, selected = shlex.quote(str(config.path)), shlex.quote(",".join(config.backends))
    whole = load(config.path).backends == config.backends
    if apart != UNKNOWN:
        backends = "" if whole else f" --config backends={selected}"
        return (
            f"git checkout {apart} && snakemake --snakefile LOCKSTEP/Snakefile --configfile {path}{backends}"
        )
    checkout = "" if commit == UNKNOWN else f"git checkout {commit} && "
    backends = "" if whole else f"BACKENDS={selected} "
    return f"{checkout}CONFIG={path} {backends}make reproduce"


def _remarks(commits: Counter[str], projects: Counter[str], harness: Counter[str]) -> list[str]:
    remarks = []
    if next(iter(projects)) != UNKNOWN:
        commit = next(iter(commits)).removesuffix(DIRTY)
        remarks.append(
            "The command is run in the project; LOCKSTEP is a checkout of Lockstep"
            + (" of the version above." if commit == UNKNOWN else f" at {commit}.")
        )
    if len(commits) > 1:
        code = "the harness is the same at all of them" if len(harness) == 1 else "their harnesses differ"
        remarks.append(
            f"The runs are of several states of the code; {code}. The command names the commonest."
        )
    for whose, found in (("", commits), (" in the project", projects)):
        if n := sum(runs for commit, runs in found.items() if commit.endswith(DIRTY)):
            remarks.append(
                f"{text.count(n, 'run')} had uncommitted changes{whose}, "
                "which the command does not bring back."
            )
    if n := commits[UNKNOWN]:
        remarks.append(
            f"{text.count(n, 'run')} had no git checkout of Lockstep: version and harness name the code."
        )
    return remarks
