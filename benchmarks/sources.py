"""What images on disk cost: decoding them once, and reading batches from the decoded file.

    python benchmarks/sources.py [--images 20000] [--rounds 7]

Decoding is compared with a bare loop of Pillow over the same PNG files, an epoch of batches from the mapped
file with one from an array in memory.  Both run in one process, in turn, and the figure is the ratio within a
round.  A ratio of 1 means that checking files, or reading from disk, costs nothing.  The files are in the
system's cache: what is measured is the processor, not the disk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lockstep import process


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    process.prepare()
    with tempfile.TemporaryDirectory(prefix="lockstep-") as folder:
        measure(Path(folder), arguments.images, arguments.rounds)


def measure(folder: Path, images: int, rounds: int) -> None:
    import numpy as np
    from PIL import Image

    from lockstep import config
    from lockstep.data import dataset, sources
    from lockstep.data.batches import epoch_chunks
    from lockstep.data.files import Directory, Files

    setting = Directory(directory=str(folder / "png"))
    write_digits(folder, images)
    start = time.perf_counter()
    Files(setting).sha256  # noqa: B018
    print(f"list and checksum {images:,} files: {time.perf_counter() - start:.2f} s")
    source = Files(setting)
    paths = [str(folder / "png" / name) for name in source.listing.names]

    def bare() -> None:
        for path in paths:
            np.asarray(Image.open(path))

    def decode() -> None:
        sources.prepare(setting, folder / "decoded")

    compare("decode / a bare loop of Pillow", decode, bare, images, rounds)

    base = config.load(Path("config/config.yaml")).experiments["baseline"]
    experiment = base.model_copy(update={"data": base.data.model_copy(update={"source": setting})})
    spec = experiment.spec
    mapped = dataset.load(folder / "decoded", setting, "centred", 0, None)
    whole = np.array(mapped.train.images.source)
    held = replace(mapped, train=replace(mapped.train, images=replace(mapped.train.images, source=whole)))

    def epoch(data: dataset.Dataset) -> None:
        for _ in epoch_chunks(data, experiment, spec, 0, 0):
            pass

    what, count = "epoch from the map / from memory", len(mapped.train)
    compare(what, lambda: epoch(mapped), lambda: epoch(held), count, rounds)


def write_digits(folder: Path, images: int) -> None:
    """folder/png/class/n.png, the digits of mnist-5k over and over."""
    from PIL import Image

    from lockstep.data import sources, store

    sources.prepare("mnist-5k", folder / "digits")
    digits = store.read(folder / "digits")
    for label in range(10):
        (folder / "png" / str(label)).mkdir(parents=True)
    for n in range(images):
        place = n % len(digits.labels)
        name = folder / "png" / str(digits.labels[place]) / f"{n:06}.png"
        Image.fromarray(digits.images[place, ..., 0]).save(name)


def compare(
    what: str, ours: Callable[[], None], theirs: Callable[[], None], images: int, rounds: int
) -> None:
    def images_per_second(run: Callable[[], None]) -> float:
        start = time.perf_counter()
        run()
        return images / (time.perf_counter() - start)

    ours(), theirs()  # caches
    pairs = [(images_per_second(theirs), images_per_second(ours)) for _ in range(rounds)]
    ratios = sorted(mine / bare for bare, mine in pairs)
    print(
        f"{what}: median {statistics.median(ratios):.3f} "
        f"(min {ratios[0]:.3f}, max {ratios[-1]:.3f}, {rounds} rounds); "
        f"median {statistics.median(mine for _, mine in pairs):,.0f} images/s on this machine",
        flush=True,
    )


if __name__ == "__main__":
    main()
