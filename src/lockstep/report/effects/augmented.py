"""A contact sheet of augmentation: one digit, and what training would make of it."""

from __future__ import annotations

import numpy as np

from lockstep.data.augmentation import Augmentation, augment
from lockstep.data.draws import augmentation
from lockstep.data.sources import find
from lockstep.report import text
from lockstep.report.runs import Results, Run
from lockstep.report.style import WIDTH, Figure, canvas, finish

SHOWN, ACROSS, SEED = 31, 8, 0


def experiment_of(results: Results) -> str | None:
    """The first experiment with augmentation."""
    return next((name for name, each in results.experiments.items() if each.augmentation), None)


def run_of(results: Results) -> Run | None:
    """The first completed run with augmentation; it knows its images."""
    return next((run for run in results.runs if run.usable and run.cell.experiment.augmentation), None)


def sheet(run: Run, images: np.ndarray) -> Figure:
    """The first image of the source that is no test image, and augmented versions of it."""
    experiment = run.cell.experiment
    assert experiment.augmentation is not None
    tested = set(run.array("predictions.npz", "index").tolist())
    place = next(place for place in range(len(images)) if place not in tested)
    original = images[place]
    copies = np.repeat(original[np.newaxis], SHOWN, axis=0)
    drawn = augment(experiment.augmentation, copies, draws(experiment.training.batch_size))
    versions = np.rint(drawn).astype(np.uint8)  # of colours, matplotlib takes bytes
    with canvas(0.8 * WIDTH, 0.8 * WIDTH / ACROSS * 4 + 0.3) as figure:
        grid = figure.subplots(4, ACROSS)
        for axes, image in zip(grid.flat, [original, *versions], strict=True):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            axes.set_xticks([])
            axes.set_yticks([])
        grid.flat[0].set_title("original", fontsize=8.5)
        grid.flat[0].spines[:].set(color="#D55E00", linewidth=2.5, visible=True)
        return finish(
            figure,
            "augmentation",
            f"A digit, and {SHOWN} versions of it that augmentation makes.",
            f"Image {place} of {find(experiment.data.source).name}, the first that is no test image, and "
            f"{SHOWN} augmented versions, drawn as {run.cell.name} draws for the first {SHOWN} images of "
            f"training with seed {SEED} (there for another image each). {_settings(experiment.augmentation)} "
            "In training every image is drawn anew each time that it is seen.",
        )


def draws(batch_size: int) -> np.ndarray:
    """Those of the first steps, as many as are shown."""
    steps = range(1, 2 + (SHOWN - 1) // batch_size)
    return np.concatenate([augmentation(SEED, step, batch_size) for step in steps])[:SHOWN]


def _settings(settings: Augmentation) -> str:
    ranges = {
        f"moved by up to {100 * settings.height_shift:g} % of the height": settings.height_shift,
        f"moved by up to {100 * settings.width_shift:g} % of the width": settings.width_shift,
        f"zoomed by up to {100 * settings.zoom:g} % along each axis": settings.zoom,
        f"rotated by up to {settings.rotation:g}°": settings.rotation,
        f"sheared by up to {settings.shear:g}°": settings.shear,
        "flipped left to right or not": settings.horizontal_flip,
        "flipped upside down or not": settings.vertical_flip,
    }
    edge = "the nearest pixel" if settings.fill == "nearest" else f"the value {settings.fill_value:g}"
    return f"Each is {text.listed([what for what, on in ranges.items() if on])}; beyond the edge: {edge}."
