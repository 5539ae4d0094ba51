"""Results as distributions over seeds: those of a run, and those of reference runs on file.

Both have the same form, so that a claim about one can be asked of the other.  Experiments are known by their
settings and data; their names are for people.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from lockstep import outputs
from lockstep.check import REFERENCES, measures
from lockstep.check.evidence import Rounding, rounding
from lockstep.config import Config
from lockstep.errors import LockstepError
from lockstep.report.robustness import attacked
from lockstep.report.robustness.names import STRONG
from lockstep.report.runs import Results, Run
from lockstep.results import SCHEMA, write_text
from lockstep.settings import Settings
from lockstep.statistics import differences

Values = dict[int, dict[str, float]]
"""{seed: {measure: value}}; accuracies are shares."""


class Tested(Settings):
    """The images that accuracies are measured on."""

    images: int
    labels: str
    """SHA-256 of their positions in the source and their labels."""


class Trained(Settings):
    """One experiment: what was trained on what, and what came of it."""

    settings: dict[str, Any]
    data: str
    """SHA-256 of the source; empty where nothing completed, as is `test`."""
    test: Tested | None
    attacks: dict[str, Any] | None
    """How its runs were attacked."""
    runs: dict[str, Values]
    """By "backend/device", of all that was wanted."""

    def values(self, side: str, measure: str) -> dict[int, float]:
        """{seed: value, in the measure's unit} of the runs that have it."""
        scale = measures.find(measure).scale
        runs = self.runs.get(side, {})
        return {seed: scale * found[measure] for seed, found in runs.items() if measure in found}

    def seeds(self, measure: str) -> set[int]:
        """Of the runs, on any backend, that have it."""
        return {seed for side in self.runs for seed in self.values(side, measure)}

    def attacked_as(self, how: dict[str, Any] | None) -> dict[str, Values]:
        """The runs, without accuracies under attack where they were attacked otherwise."""
        if self.attacks == how:
            return self.runs
        return {
            side: {
                seed: {name: value for name, value in values.items() if not name.startswith(measures.UNDER)}
                for seed, values in seeds.items()
            }
            for side, seeds in self.runs.items()
        }

    def images(self, measure: str) -> int:
        """That an accuracy is measured on."""
        tested = self.test.images if self.test else 0
        if not (self.attacks and measure.startswith(measures.UNDER)):
            return tested
        how = self.attacks
        if measure.removeprefix(measures.UNDER).partition("=")[0] in STRONG:
            how = how | how["strong"]  # references of before had no images of their own there
        return min(tested, how["images"])


class Made(Settings):
    """Where a reference comes from."""

    config: str
    date: str
    """Of the last run, UTC."""
    commits: list[str]
    harness: str
    """Hash of the modules on the training path."""
    machines: list[dict[str, Any]]
    backends: dict[str, dict[str, Any]]
    """{backend: hash of its folder, versions}."""


class Reference(Settings):
    schema_: int = Field(alias="schema", ge=SCHEMA, le=SCHEMA)
    made: Made
    experiments: dict[str, Trained] = Field(min_length=1)

    def rounding(self, experiment: str, measure: str) -> Rounding:
        """From the experiment's own backends; where one alone trained it, from those of all experiments."""
        own = rounding(_by_seed(self.experiments[experiment], measure))
        if own.freedom:
            return own
        return rounding(group for each in self.experiments.values() for group in _by_seed(each, measure))


def _by_seed(trained: Trained, measure: str) -> Iterable[list[float]]:
    """For each seed the values of all backends."""
    seeds: dict[int, list[float]] = {}
    for side in trained.runs:
        for seed, value in trained.values(side, measure).items():
            seeds.setdefault(seed, []).append(value)
    return seeds.values()


def observe(results: Results) -> dict[str, Trained]:
    """What the completed runs of a config came to."""
    robustness = attacked.read(results)
    under_attack = {each.run.cell.path: each for each in robustness.runs} if robustness else {}
    names = results.config.attacks.names if results.config.attacks else []
    observed = described(results)
    for run in results.runs:
        seeds = observed[run.cell.name].runs.setdefault(f"{run.cell.backend}/{run.cell.device}", {})
        if run.usable:
            seeds[run.cell.seed] = measures.of_run(run, under_attack.get(run.cell.path), names)
    return observed


def described(results: Results) -> dict[str, Trained]:
    """The experiments of a config, known by settings, data and test images; without their runs."""
    settings, how = results.config.attacks, None
    if settings:
        # Of the eps only the shown one matters to numbers of another: the standard's attacks run there alone.
        how = settings.model_dump(mode="json", exclude={"runs", "eps", "strong"})
        how["strong"] = settings.strong and settings.strong.model_dump(mode="json", exclude={"runs"})
    found: dict[str, Trained] = {}
    for run in results.runs:
        if run.cell.name not in found:
            whole = run.cell.experiment.settings
            found[run.cell.name] = Trained(settings=whole, data="", test=None, attacks=how, runs={})
        if run.usable and found[run.cell.name].test is None:
            where = {"data": run.provenance["identity"]["data"], "test": tested(run)}
            found[run.cell.name] = found[run.cell.name].model_copy(update=where)
    return found


def on_file(ours: Mapping[str, Trained]) -> dict[str, Trained]:
    """{experiment of a run: what all references together have of it}.  Raises LockstepError."""
    found = {name: each.model_copy(update={"runs": {}}) for name, each in ours.items()}
    for path in sorted(REFERENCES.glob("*.json")):
        known = read(path)
        match = Match(ours, known)
        for theirs, name in match.names.items():
            for side, runs in known.experiments[theirs].attacked_as(ours[name].attacks).items():
                for alike in (name, *(again for again, first in match.twice.items() if first == name)):
                    found[alike].runs.setdefault(side, {}).update(runs)
    return found


def effect(trained: Trained, baseline: Trained, measure: str) -> dict[int, float]:
    """{seed: experiment minus baseline}: the mean over the backends that have both."""
    seeds: dict[int, list[float]] = {}
    for side in trained.runs:
        pairs = differences(baseline.values(side, measure), trained.values(side, measure))
        for seed, value in pairs.items():
            seeds.setdefault(seed, []).append(value)
    return {seed: float(np.mean(values)) for seed, values in sorted(seeds.items())}


def tested(run: Run) -> Tested:
    index, labels = run.array("predictions.npz", "index"), run.predictions.labels
    content = np.stack([index, labels]).astype("<i8").tobytes()
    return Tested(images=len(labels), labels=hashlib.sha256(content).hexdigest()[:16])


def of_results(results: Results) -> Reference:
    """Of complete results by one harness, all of a commit.  Raises LockstepError where they are not."""
    config = results.config.path
    for run in results.runs:
        if not run.usable:
            raise LockstepError(
                f"{config}: {run.cell} is {run.outcome} ({run.reason}); a reference is made of complete "
                "results: run snakemake first"
            )
        if run.provenance["git"]["dirty"] is not False:
            raise LockstepError(
                f"{config}: {run.cell} was trained by files that no commit holds; commit, then run it again"
            )
    robustness = attacked.read(results)
    for each in robustness.runs if robustness else []:
        if not each.usable:
            raise LockstepError(
                f"{config}: the attacks on {each.run.cell} are {each.outcome} ({each.reason}); run snakemake"
            )
    known = [run.provenance for run in results.runs]
    made_by: dict[str, list[Any]] = {}
    for run in results.runs:
        identity = run.provenance["identity"]
        backend = {"plugin": identity["plugin"], "versions": identity["versions"]}
        for part, version in (("the harness", identity["harness"]), (run.cell.backend, backend)):
            if version not in made_by.setdefault(part, []):
                made_by[part].append(version)
    for part, versions in made_by.items():
        if len(versions) > 1:
            raise LockstepError(
                f"{config}: its runs are of {len(versions)} versions of {part}; run snakemake, which trains "
                "the older ones again"
            )
    (harness,) = made_by.pop("the harness")
    machines = [{**each["machine"], "system": each["machine"]["system"].split()[0]} for each in known]
    made = Made(
        config=config.name,
        date=max(provenance["times"].get("started", "") for provenance in known)[:10],
        commits=sorted({provenance["git"]["commit"] for provenance in known}),
        harness=harness,
        machines=[json.loads(each) for each in sorted({json.dumps(machine) for machine in machines})],
        backends={backend: version for backend, (version,) in made_by.items()},
    )
    return Reference(schema=SCHEMA, made=made, experiments=observe(results))


KIND = outputs.json_with("a reference", "schema", "made", "experiments")


def place(config: Config) -> Path:
    """Where a config's reference is kept.  Raises LockstepError where that of another config is."""
    path = REFERENCES / f"{config.results.name}.json"
    if path.exists() and (other := read(path).made.config) != config.path.name:
        raise LockstepError(f"{path}: is the reference of {other}; name another file with --to")
    return path


def write(path: Path, reference: Reference) -> None:
    write_text(path, _lines(reference.model_dump(mode="json", by_alias=True)) + "\n")


def read(path: Path) -> Reference:
    """Raises LockstepError where the file cannot be read or is no reference."""
    try:
        return Reference.model_validate_json(path.read_bytes())
    except OSError as error:
        raise LockstepError(f"{path}: {error.strerror}; `lockstep reference` writes such a file") from None
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join([*filter(None, [".".join(map(str, first["loc"]))]), first["msg"]])
        raise LockstepError(f"{path}: {what}; write it again: lockstep reference") from None


def _lines(value: Any, indent: str = "") -> str:
    """JSON with one line for each seed and each layer: what holds no other holds no line break."""
    inner = indent + " "
    if isinstance(value, dict) and any(isinstance(each, dict | list) for each in value.values()):
        parts = [f"{json.dumps(str(key))}: {_lines(each, inner)}" for key, each in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        return "[\n" + ",\n".join(inner + _lines(each, inner) for each in value) + f"\n{indent}]"
    return json.dumps(value)


class Match:
    """Experiments of a run that are experiments of a reference: equal settings, equal data."""

    def __init__(self, observed: Mapping[str, Trained], reference: Reference) -> None:
        self.names: dict[str, str] = {}
        """{name in the reference: name in the run}."""
        self.twice: dict[str, str] = {}
        """{name in the run: the earlier one that is the same experiment}: the first is judged."""
        self.differ: dict[str, list[str]] = {}
        """{name in the run: [the nearest experiment of the reference, what differs...]}, of the others."""
        for name, trained in observed.items():
            distances = {other: differing(trained, known) for other, known in reference.experiments.items()}
            nearest = min(distances, key=lambda other: (len(distances[other]), other != name))
            if distances[nearest]:
                self.differ[name] = [nearest, *distances[nearest]]
            elif (first := self.names.setdefault(nearest, name)) != name:
                self.twice[name] = first


def differing(ours: Trained, theirs: Trained) -> list[str]:
    """ "optimizer.learning_rate 0.001, not 0.0005" for each setting; then data, where settings are equal."""
    flat, other = dict(_flat(ours.settings)), dict(_flat(theirs.settings))
    keys = [key for key in dict.fromkeys([*flat, *other]) if flat.get(key) != other.get(key)]
    if keys:
        return [_said(key, flat.get(key), other.get(key)) for key in keys]
    if ours.test is None:  # nothing completed: what it would have been trained on is not known
        return []
    if ours.data != theirs.data:
        return ["the images it was trained on"]
    return [] if ours.test == theirs.test else ["the images or labels it was tested on"]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _said(key: str, ours: Any, theirs: Any) -> str:
    return key if isinstance(ours, list) or isinstance(theirs, list) else f"{key} {ours}, not {theirs}"
