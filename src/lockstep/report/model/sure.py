"""Whether this backend's confidence can be believed."""

from __future__ import annotations

import numpy as np

from lockstep.evaluation import BINS, probabilities
from lockstep.report import text
from lockstep.report.effects.metrics import METRICS
from lockstep.report.model.subject import Model
from lockstep.report.robustness import calibration
from lockstep.report.runs import Run
from lockstep.report.style import GREY, Figure, canvas, finish, space
from lockstep.statistics import Estimate, estimate

METRIC = METRICS["calibration_error"]


def figure(model: Model, run: Run) -> Figure:
    with canvas(5.0, 4.4) as drawn:
        above, below = drawn.subplots(2, 1, height_ratios=[3.2, 1], sharex=True)
        calibration.panel(above, below, run)
        above.set_ylabel("accuracy")
        below.set(xlabel="confidence", ylabel="images")
        (bars,) = below.containers
        below.bar_label(bars, fontsize=7, color=GREY)
        space(drawn, h_pad=0.07)
        return finish(
            drawn,
            f"reliability-{model.key}",
            f"Accuracy by confidence of {model.label}, above how many images have each confidence.",
            f"{model.about}: test images in {BINS} bins of confidence. On the dashed line "
            "confidence and accuracy are the same; below it the network is too sure, above it not sure "
            "enough. Bars, on a logarithmic scale: images in the bin; few images say little.",
        )


def sentences(model: Model) -> list[str]:
    """Calibration error, and to which side the network errs, over seeds."""
    error = estimate([METRIC.value(run) for run in model.runs])
    excess = estimate([100 * _excess(run) for run in model.runs])
    said = (
        f"Mean confidence minus accuracy is {text.points(excess.mean)} points{_known(excess, signed=True)}: "
        + _SIDES[text.verdict(excess)]
    )
    return [
        f"Expected calibration error: {text.number(error.mean, '.2f')} points{_known(error, signed=False)}. "
        "That is how far confidence is from the share of right answers, on average over the test images.",
        said,
    ]


_SIDES = {
    "higher": "it is surer than it should be.",
    "lower": "it is less sure than it could be.",
    "cannot tell": "these seeds cannot tell whether it is too sure or not sure enough.",
}


def _known(value: Estimate, signed: bool) -> str:
    if not value.has_interval:
        return f" ({value.why_no_interval})"
    return f" (95 % interval {text.interval(value, signed=signed)}, {text.count(value.n, 'seed')})"


def _excess(run: Run) -> float:
    right = run.predictions.predicted == run.predictions.labels
    return float(probabilities(run.logits).max(axis=1).mean() - np.mean(right))
