"""Which classes are taken for which, and how well each is found."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle
from sklearn.metrics import confusion_matrix

from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.model.subject import Model
from lockstep.report.pictures import cells_of
from lockstep.report.runs import Run
from lockstep.report.style import Figure, canvas, finish
from lockstep.statistics import Estimate, estimate


def counts(run: Run) -> np.ndarray:
    """Test images by (label, predicted): int [classes, classes]."""
    classes = run.cell.experiment.spec.output_shape[-1]
    return np.asarray(
        confusion_matrix(run.predictions.labels, run.predictions.predicted, labels=range(classes))
    )


def figure(model: Model) -> Figure:
    """Pooled over the seeds of the model's experiment."""
    pooled = np.sum([counts(run) for run in model.runs], axis=0)
    classes = len(pooled)
    wrong = np.where(np.eye(classes, dtype=bool), 0, pooled)
    with canvas(5.4, 5.0) as drawn:
        axes = drawn.subplots()
        axes.imshow(wrong, cmap="Oranges", vmin=0, vmax=1.4 * max(wrong.max(), 1))
        for row, column in np.ndindex(pooled.shape):
            right = row == column
            if right:
                axes.add_patch(
                    Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="#eeeeee", edgecolor="none")
                )
            shown = f"{pooled[row, column]:,}" if right or pooled[row, column] else ""
            weight = "normal" if right else "bold"
            axes.text(column, row, shown, ha="center", va="center", fontsize=8, weight=weight)
        cells_of(axes, classes, classes)
        axes.set_xticks(range(classes))
        axes.set_yticks(range(classes))
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")
        which = f"{model.experiment}, {model.label}, {text.count(len(model.runs), 'seed')} pooled"
        return finish(
            drawn,
            f"confusion-{model.key}",
            f"Confusion matrix of {which}: {wrong.sum()} of {pooled.sum()} test predictions are wrong.",
            f"{which}: {wrong.sum():,} wrong of {pooled.sum():,} predictions. The diagonal is grey; the "
            "more often two classes are confused, the darker their field.",
        )


def classes(model: Model) -> Grid:
    """Recall and precision of each class, mean over seeds."""
    recalls, precisions = zip(*(_shares(counts(run)) for run in model.runs), strict=True)
    images = counts(model.runs[0]).sum(axis=1)
    rows = []
    for label, count in enumerate(images):
        found = [_over_seeds(np.array(each)[:, label]) for each in (recalls, precisions)]
        cells = [cell for value in found for cell in _cells(value)]
        rows.append((str(label), f"{count:,}", *cells))
    columns = ("class", "images", "recall, %", "95 % interval", "n", "precision, %", "95 % interval", "n")
    return Grid(columns, 1, [Group(rows=rows)])


def _shares(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision of each class; NaN for one that has no image, or is never predicted."""
    with np.errstate(invalid="ignore"):
        return table.diagonal() / table.sum(axis=1), table.diagonal() / table.sum(axis=0)


def _over_seeds(values: np.ndarray) -> Estimate:
    return estimate(100 * values[np.isfinite(values)])


def _cells(value: Estimate) -> tuple[str, str, str]:
    return text.number(value.mean, ".2f"), text.interval(value, signed=False), str(value.n)
