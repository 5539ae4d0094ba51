"""What the harness costs: images per second of its training loop over the bare backend's train_steps,
and of the loop with augmentation over the loop without.

    python benchmarks/overhead.py [BACKEND ...] [--rounds 7] [--threads 1]

All run in one process in turn (bare, harness, augmented, bare, ...), and the figures are ratios within a
round.  A ratio of 1 means that making batches and reading losses costs nothing.  Batches are made by a
thread, so a machine with one core more than `--threads` is measured as it is meant to be used.
Every backend has a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lockstep import process


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backends", nargs="*")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    process.prepare()
    if len(arguments.backends) == 1:
        measure(arguments.backends[0], arguments.rounds, arguments.threads)
        return
    from lockstep.discovery import plugins

    for name in arguments.backends or plugins():
        options = ["--rounds", str(arguments.rounds), "--threads", str(arguments.threads)]
        subprocess.run([sys.executable, __file__, name, *options], check=True)


def measure(name: str, rounds: int, threads: int) -> None:
    import numpy as np

    from lockstep import cell as cells
    from lockstep import config, training
    from lockstep.data import sources
    from lockstep.data.augmentation import Augmentation
    from lockstep.data.batches import epoch_chunks
    from lockstep.data.draws import initial_weights
    from lockstep.discovery import find, load
    from lockstep.experiment import Experiment

    experiment = config.load(Path("config/config.yaml")).experiments["dropout"]
    settings = experiment.training.model_copy(update={"threads": threads})
    experiment = experiment.model_copy(update={"training": settings})
    cell = config.Cell("dropout", experiment, name, "cpu", 0)
    with tempfile.TemporaryDirectory() as folder:
        sources.prepare("mnist-5k", Path(folder))
        data = cells.load_data(cell, Path(folder))
    spec, backend = experiment.spec, cells.build(load(find(name)), cell)
    backend.load(initial_weights(spec, 0, experiment.training.dtype))
    chunks = [chunk.arguments for chunk in epoch_chunks(data, experiment, spec, 0, 0)]

    def bare() -> None:
        for arguments in chunks:
            logits = backend.train_steps(*arguments)
        np.asarray(logits)
        backend.synchronize()

    def harness(run: Experiment = experiment) -> None:
        training.train_epoch(backend, spec, run, data, 0, 0, training.Watcher())
        backend.synchronize()

    def augmented() -> None:
        harness(experiment.model_copy(update={"augmentation": Augmentation()}))

    def images_per_second(run) -> float:  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        run()
        return len(data.train) / (time.perf_counter() - start)

    bare(), harness(), augmented()  # compile
    found = [tuple(map(images_per_second, (bare, harness, augmented))) for _ in range(rounds)]
    for what, ratios in (
        ("harness / bare", sorted(loop / alone for alone, loop, _ in found)),
        ("augmented / harness", sorted(more / loop for _, loop, more in found)),
    ):
        print(
            f"{name:8} {what:20} median {statistics.median(ratios):.3f} "
            f"(min {ratios[0]:.3f}, max {ratios[-1]:.3f}, {rounds} rounds, {threads} threads)"
        )
    alone = statistics.median(each[0] for each in found)
    print(f"{name:8} bare: median {alone:,.0f} images/s on this machine", flush=True)


if __name__ == "__main__":
    main()
