"""What a config will do: its cells, which are done, and a rough estimate of minutes and disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from lockstep import freshness
from lockstep.attacks.suite import gradients
from lockstep.config import Cell, Config
from lockstep.discovery import find
from lockstep.experiment import Experiment

GUESS_FLOPS_PER_SECOND = 50e9
"""Of one thread, while nothing has been measured here."""
GUESS_START_SECONDS = 8.0
"""Import, compilation and evaluation of one cell."""
GUESS_DATA_MINUTES = 0.1
GUESS_CERTIFICATE_MINUTES = {"quick": 0.8, "travel": 0.5, "seeds": 1.0, "attacks": 0.3, "band": 1.0}
"""Of a job on two cores."""
GUESS_TIMING_MINUTES = 0.7
"""Of one process that is timed."""


@dataclass(frozen=True)
class Planned:
    cell: Cell
    state: str
    """done, stale (its results are of other settings, code or versions), to do, or why not."""
    minutes: float
    """Of one process; 0 unless there is something to do."""
    megabytes: float


class Stage(NamedTuple):
    """A part of the pipeline: how many jobs are up to date, how many wait, and how long those take."""

    name: str
    done: int
    waiting: int
    minutes: float
    """Of wall time, when all cores work on it."""


def stages(config: Config, planned: Sequence[Planned], cores: int) -> list[Stage]:
    """What the pipeline will spend its time on; jobs that cannot run here are not counted."""
    main = [row for row in planned if row.cell.name in config.experiments]
    smaller = [row for row in planned if row.cell.name in config.smaller]
    training = [
        Stage(
            name,
            sum(row.state == "done" for row in rows),
            sum(row.minutes > 0 for row in rows),
            _wall_minutes(rows, cores),
        )
        for name, rows in (("training", main), ("learning curves", smaller))
        if rows
    ]
    attacks, speed = _attacks(config, planned, cores), _speed(config)
    return [_data(config), *training, *attacks, _proof(config), *speed]


def _data(config: Config) -> Stage:
    done = sum(freshness.of_source(config, name).state == "done" for name in config.sources)
    waiting = len(config.sources) - done
    return Stage("data", done, waiting, GUESS_DATA_MINUTES * waiting)


def _proof(config: Config) -> Stage:
    wanted = freshness.certificates(config)
    waiting = [key for key in wanted if freshness.of_certificate(config, *key).state != "done"]
    minutes = sum(GUESS_CERTIFICATE_MINUTES[name] for *_, name in waiting)
    return Stage("conformance", len(wanted) - len(waiting), len(waiting), minutes)


def _attacks(config: Config, planned: Sequence[Planned], cores: int) -> list[Stage]:
    wanted = freshness.attacked(config)
    if not wanted or config.attacks is None:
        return []
    waiting = [cell for cell in wanted if freshness.of_attack(config, cell).state != "done"]
    sides = freshness.transfers(config)
    unshown = sum(freshness.of_transfer(config, *side).state != "done" for side in sides)
    speeds = _measured(config, [row.cell for row in planned])
    seconds = GUESS_START_SECONDS * unshown
    for cell in waiting:
        spec, threads = cell.experiment.spec, cell.experiment.training.threads
        strong = config.attacks.strong_of(cell.key)
        count = gradients(config.attacks, strong, spec.output_shape[-1])
        rate = speeds.get(cell.backend, GUESS_FLOPS_PER_SECOND * threads)
        seconds += (GUESS_START_SECONDS + 2 * spec.flops * count / rate) * min(threads, cores) / cores
    to_do = len(waiting) + unshown
    return [Stage("attacks", len(wanted) + len(sides) - to_do, to_do, seconds / 60)]


def _speed(config: Config) -> list[Stage]:
    wanted = freshness.timings(config)
    waiting = [each for each in wanted if freshness.of_speed(config, each).state != "done"]
    processes = sum(each.rounds * len(each.backends) * (1 + each.peers) for each in waiting)
    done = len(wanted) - len(waiting)
    return [Stage("speed", done, len(waiting), GUESS_TIMING_MINUTES * processes)] if wanted else []


def plan(config: Config) -> list[Planned]:
    cells = list(config.cells())
    speeds = _measured(config, cells)
    return [_planned(config, cell, speeds) for cell in cells]


def _wall_minutes(planned: Iterable[Planned], cores: int) -> float:
    return sum(row.minutes * min(row.cell.experiment.training.threads, cores) for row in planned) / cores


def _planned(config: Config, cell: Cell, speeds: dict[str, float]) -> Planned:
    experiment, spec = cell.experiment, cell.experiment.spec
    # Of a result, the last and the best weights are nearly all.
    size = spec.parameters * (8 if experiment.training.dtype == "float64" else 4)
    state = _state(config, cell)
    if state not in ("to do", "stale"):
        return Planned(cell, state, 0.0, 2 * size / 1e6 if state == "done" else 0.0)
    operations = _operations(experiment) * experiment.training.epochs * experiment.train_size
    rate = speeds.get(cell.backend, GUESS_FLOPS_PER_SECOND * experiment.training.threads)
    return Planned(cell, state, (GUESS_START_SECONDS + operations / rate) / 60, 2 * size / 1e6)


def _state(config: Config, cell: Cell) -> str:
    if reason := find(cell.backend).unusable(cell.device):
        return reason
    return freshness.of_cell(config, cell).state


def _operations(experiment: Experiment) -> float:
    """FLOPs of a training step for each image: forward, by weights and values, and to attack it first."""
    adversarial = experiment.regularisation.adversarial
    gradients = 0 if not adversarial else 1 if adversarial.attack == "fgsm" else adversarial.steps
    return (3 + 2 * gradients) * experiment.spec.flops


def _measured(config: Config, cells: list[Cell]) -> dict[str, float]:
    """{backend: FLOPs per second} of the training runs that are there."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        try:
            provenance = json.loads((config.folder(cell) / "provenance.json").read_text())
            speed = provenance["times"]["images_per_second"] * _operations(cell.experiment)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.setdefault(cell.backend, []).append(speed)
    return {backend: median(speeds) for backend, speeds in found.items()}
