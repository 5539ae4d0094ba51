"""A request -> what `lockstep time` writes: nothing else is timed on this machine meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from lockstep import gpu
from lockstep.data import dataset, sources
from lockstep.errors import LockstepError
from lockstep.provenance import machine
from lockstep.results import json_text, write_npz, write_text
from lockstep.speed import child, load, peers, summary
from lockstep.speed.request import Request
from lockstep.speed.rounds import Run, Timed, interleaved

LOCK = "lockstep-time.lock"

Bar = Callable[[int], AbstractContextManager[Callable[[str], None]]]
"""So many processes to time -> what is told each of them before it starts."""


def time(request: Request, keep: Path | None, bar: Bar, say: Callable[[str], None]) -> dict[str, Any]:
    """Time all of it; keep: a folder for the JSON of each process.

    Raises LockstepError where nothing could be timed; of several, one that fails is left out and named.
    """
    everyone, _ = [Timed(name) for name in request.backends], request.hash
    if request.peers:
        pairs = [(timed, Timed(timed.backend, peers.SCRIPTS.get(timed.backend))) for timed in everyone]
        everyone = [each for pair in pairs for each in dict.fromkeys(pair)]
    data = request.config.data_path(request.experiment.data.source)
    sources.ensure(request.experiment.data.source, data)
    with (
        alone(say),
        gpu.held(request.device) as its_gpu,  # for all processes of all rounds
        tempfile.TemporaryDirectory(prefix="lockstep-") as folder,
    ):
        digits = Path(folder, "digits.npz")
        if request.peers:
            settings = request.experiment.data
            train = dataset.load(
                data, settings.source, settings.preprocessing, settings.split_seed, settings.train_size
            ).train
            write_npz(digits, {"images": train.images[np.arange(len(train))], "labels": train.labels})

        def measure(timed: Timed, number: int) -> child.Raw:
            result = Path(folder, "result.json")
            if timed.peer:
                options = ["--peer", str(peers.folder() / f"{timed.peer}.py"), "--images", str(digits)]
                return child.run("peer_epoch.py", [*options, "--threads", str(request.threads)], result)
            options = _options(request, timed.backend, data)
            # As long as a whole run: in one round alone.
            return child.run("phases.py", [*options, "--accuracy"] if number == 1 else options, result)

        with bar(request.rounds * len(everyone)) as advance:
            runs, failed = interleaved(everyone, request.rounds, measure, advance)
    if not any(run.timed.peer is None for run in runs):
        raise LockstepError("; ".join(f"{timed}: {reason}" for timed, reason in failed.items()))
    for run in runs if keep else ():
        assert keep
        write_text(keep / f"{run.timed}-round-{run.round}.json", json_text(run.raw))
    return content(request, runs, failed, its_gpu)


@contextmanager
def alone(say: Callable[[str], None]) -> Iterator[None]:
    """Two timings on one machine would each be the other's disturbance: the second waits."""
    lock = FileLock(Path(tempfile.gettempdir(), LOCK), mode=0o666)  # whoever started the other
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("another timing runs on this machine; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _options(request: Request, backend: str, data: Path) -> list[str]:
    settings = request.experiment.training
    options = {
        "--backend": backend,
        "--config-of-runs": request.config.path,
        "--data": data,
        "--device": request.device,
        "--threads": settings.threads,
        "--batch-size": settings.batch_size,
    }
    return [text for option, value in options.items() for text in (option, str(value))]


def content(
    request: Request, runs: list[Run], failed: dict[Timed, str], its_gpu: gpu.Gpu | None = None
) -> dict[str, Any]:
    """What the JSON file holds; docs/speed.md explains it."""
    timed = {
        each: summary.by_round([run for run in runs if run.timed == each])
        for each in dict.fromkeys(run.timed for run in runs)
    }
    backends = {each.backend: found for each, found in timed.items() if each.peer is None}
    first = next(iter(backends))
    experiment = request.experiment
    flops = experiment.spec.flops
    return {
        "hash": request.hash,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "experiment": request.name,
        "device": request.device,
        "threads": request.threads,
        "batch_size": experiment.training.batch_size,
        "rounds": request.rounds,
        "images": experiment.train_size,
        "flops_per_image": {"forward": flops, "training": 3 * flops},
        "machine": machine(its_gpu),
        "environment": {
            run.timed.backend: run.raw["lockstep"]["environment"] for run in runs if not run.timed.peer
        },
        "switches": request.switches,
        "first": first,
        "backends": {name: summary.spreads(found) for name, found in backends.items()},
        "ratios": {
            name: summary.ratios(backends[first], found) for name, found in backends.items() if name != first
        },
        "peers": {
            each.backend: {
                "peer": each.peer,
                **summary.spreads(found),
                "ratio": summary.ratio(
                    found["epoch"]["images_per_second"],
                    backends.get(each.backend, {}).get("epoch", {}).get("images_per_second", {}),
                ),
            }
            for each, found in timed.items()
            if each.peer
        },
        "limits": {"steal": load.STEAL, "others": load.OTHERS},
        "load": [
            {
                "timed": str(run.timed),
                "round": run.round,
                "kept": run.kept,
                "tries": [t.json() for t in run.tries],
            }
            for run in runs
        ],
        "disturbed": sorted({run.round for run in runs if run.disturbance.disturbed}),
        "failed": {str(each): reason for each, reason in failed.items()},
    }
