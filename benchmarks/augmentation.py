"""Augmented images per second on one core: ours against Keras's ImageDataGenerator.flow, in turn.

    python benchmarks/augmentation.py [--rounds 15]

Both give float32 batches of 64 of the digits with the classroom's ranges; ours includes its random draws.
The figure is the ratio within a round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

from lockstep import process

ROUNDS, BATCH, BATCHES = 15, 64, 40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    process.prepare()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core, whoever starts threads
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import numpy as np
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    from lockstep.data import draws
    from lockstep.data.augmentation import Augmentation, augment
    from lockstep.data.mnist import read_mnist_5k

    images, _ = read_mnist_5k()
    images, ranges = images[: BATCH * BATCHES], Augmentation()
    keras = ImageDataGenerator(
        height_shift_range=0.2, width_shift_range=0.2, zoom_range=0.2, rotation_range=30, rescale=1 / 255
    ).flow(images.astype(np.float32), batch_size=BATCH, seed=0)

    def theirs() -> None:
        for _ in range(BATCHES):
            next(keras)

    def ours() -> None:
        for step, batch in enumerate(images.reshape(BATCHES, BATCH, 28, 28, 1)):
            augment(ranges, batch, draws.augmentation(0, step, BATCH))

    def images_per_second(run) -> float:  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        run()
        return len(images) / (time.perf_counter() - start)

    theirs(), ours()
    pairs = [(images_per_second(theirs), images_per_second(ours)) for _ in range(rounds)]
    ratios = sorted(own / other for other, own in pairs)
    print(
        f"augmentation / Keras flow: median {statistics.median(ratios):.1f} "
        f"(min {ratios[0]:.1f}, max {ratios[-1]:.1f}, {rounds} rounds); medians on this machine: "
        f"{statistics.median(own for _, own in pairs):,.0f} and "
        f"{statistics.median(other for other, _ in pairs):,.0f} images/s"
    )


if __name__ == "__main__":
    main()
