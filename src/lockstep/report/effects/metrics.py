"""What an experiment may change: the quantities that effects are given for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lockstep.report import text
from lockstep.report.runs import Run
from lockstep.statistics import Estimate


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    unit: str
    value: Callable[[Run], float]
    """Of one run, in `unit`."""
    precision: float
    """Half the width of an interval that would be narrow enough; what `seeds_needed` is counted for."""
    explained: str

    @property
    def digits(self) -> int:
        return 2 if self.unit == "points" else 4

    def signed(self, value: float) -> str:
        return text.points(value, self.digits)

    def interval(self, value: Estimate) -> str:
        return text.interval(value, digits=self.digits)


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy",
            "Test accuracy",
            "points",
            lambda run: 100 * run.test("accuracy"),
            0.25,
            "Share of test images classified rightly after the last epoch, in percentage points.",
        ),
        Metric(
            "cross_entropy",
            "Test cross-entropy",
            "nats",
            lambda run: run.test("cross_entropy"),
            0.01,
            "The loss on test images, in nats: how surprised the network is by the right answer; lower is "
            "better.",
        ),
        Metric(
            "calibration_error",
            "Calibration error",
            "points",
            lambda run: 100 * run.test("calibration_error"),
            0.5,
            "How far confidence is from the share of right answers among images of like confidence (15 "
            "bins), in percentage points; lower is better.",
        ),
        Metric(
            "convergence",
            "Convergence",
            "points",
            lambda run: 100 * float(run.history["validation_accuracy"].iloc[0]),
            1.0,
            "How fast it learns: validation accuracy after the first epoch, in percentage points.",
        ),
    )
}
