"""What is timed: which backends, and the experiment that they all run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lockstep.config import Config
from lockstep.discovery import find
from lockstep.errors import LockstepError
from lockstep.experiment import Experiment
from lockstep.identity import speed_hash
from lockstep.speed import peers

IMAGES = 4_000
"""Training images, at most: an epoch takes seconds, and the peers learn as many.  Only the run to an accuracy
has all."""


@dataclass(frozen=True)
class Request:
    config: Config
    backends: tuple[str, ...]
    """Installed, one or more; the first is what the others are compared with."""
    device: str
    threads: int
    batch_size: int | None
    """None: the experiment's."""
    rounds: int
    peers: bool

    def __post_init__(self) -> None:
        if self.peers:
            peers.check(self.experiment, self.device)

    @property
    def experiment(self) -> Experiment:
        return timed(self.config, self.threads, self.batch_size)

    @property
    def name(self) -> str:
        return self.config.baseline

    @property
    def switches(self) -> dict[str, str]:
        """{variable: value} of those set here that change how fast a backend is."""
        return {name: value for backend in self.backends for name, value in find(backend).switches.items()}

    @cached_property
    def hash(self) -> str:
        """Of the source as it was when this was asked first: files may change while backends are timed."""
        scripts = peers.folder() if self.peers else None
        images = self.config.experiments[self.name].train_size
        timed = self.name, self.experiment
        return speed_hash(*timed, images, self.backends, self.device, self.rounds, scripts)


def timed(config: Config, threads: int, batch_size: int | None) -> Experiment:
    """A config's baseline as it is timed.  Raises LockstepError."""
    experiment = config.experiments[config.baseline]
    images = min(experiment.train_size, IMAGES)
    size = batch_size or experiment.training.batch_size
    if size > images:
        raise LockstepError(f"batches of {size:,}: there are {images:,} training images; time smaller ones")
    changes = {
        "data": experiment.data.model_copy(update={"train_size": images}),
        "training": experiment.training.model_copy(update={"threads": threads, "batch_size": size}),
    }
    return experiment.model_copy(update=changes)


def of_config(config: Config, threads: int, device: str = "cpu") -> Request | None:
    """What the pipeline times on a device with so many threads; None: nothing.  Peers are for CPUs."""
    settings = config.speed
    if settings is None:
        return None
    named = config.backends if settings.backends == "all" else settings.backends
    usable = [name for name in named if name in config.backends and not find(name).unusable(device)]
    if not usable:
        return None
    with_peers = settings.peers and device == "cpu"
    return Request(config, tuple(usable), device, threads, settings.batch_size, settings.rounds, with_peers)


def made_by(path: Path) -> str | None:
    """The hash that a file of `lockstep time` was made by; None if there is none."""
    try:
        return str(json.loads(path.read_text())["hash"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
