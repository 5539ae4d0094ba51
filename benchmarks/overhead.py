"""What the harness costs: images per second of its training loop over the bare backend's train_steps.

    python benchmarks/overhead.py [BACKEND ...] [--rounds 7] [--threads 1]

Both run in one process on the same chunks, in turn (bare, harness, bare, harness, ...), and the figure
is the ratio within a round.  A ratio of 1 means that making batches and reading losses costs nothing.
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
    from lockstep.data.batches import epoch_chunks
    from lockstep.data.draws import initial_weights
    from lockstep.discovery import find, load

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

    def harness() -> None:
        training.train_epoch(backend, spec, experiment, data, 0, 0, training.Watcher())
        backend.synchronize()

    def images_per_second(run) -> float:  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        run()
        return len(data.train) / (time.perf_counter() - start)

    bare(), harness()  # compile
    pairs = [(images_per_second(bare), images_per_second(harness)) for _ in range(rounds)]
    ratios = sorted(with_harness / without for without, with_harness in pairs)
    print(
        f"{name:8} harness / bare: median {statistics.median(ratios):.3f} "
        f"(min {ratios[0]:.3f}, max {ratios[-1]:.3f}, {rounds} rounds, {threads} threads); "
        f"bare median {statistics.median(pair[0] for pair in pairs):,.0f} images/s on this machine",
        flush=True,
    )


if __name__ == "__main__":
    main()
