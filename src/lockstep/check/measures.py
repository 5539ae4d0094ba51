"""What is compared of a training run: accuracies in percent, losses in nats, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lockstep.report import text
from lockstep.report.robustness.attacked import Attacked
from lockstep.report.robustness.names import FAST, STRONG
from lockstep.report.runs import METRICS, Run

UNDER = "accuracy under "
"""How the name of an accuracy under attack starts: "accuracy under pgd=0.3"."""
KEPT = ("clean", "uniform_noise", "worst", *FAST, *STRONG)
"""Conditions that are kept beside the attacks of the config."""


@dataclass(frozen=True)
class Measure:
    name: str
    unit: str
    """Of differences: points or nats."""
    scale: float
    """From what the files hold to the unit."""
    digits: int

    def signed(self, value: float) -> str:
        return f"{text.points(value, self.digits)} {self.unit}"

    def size(self, value: float) -> str:
        """A number without a sign, in percent or nats."""
        return f"{value:.{self.digits}f} {'%' if self.unit == 'points' else self.unit}"

    def interval(self, low: float, high: float) -> str:
        return f"{text.points(low, self.digits)} to {text.points(high, self.digits)}"


KNOWN = {
    measure.name: measure
    for measure in (
        Measure("accuracy", "points", 100, 2),
        Measure("cross_entropy", "nats", 1, 4),
        Measure("calibration_error", "points", 100, 2),
        Measure("first_epoch_accuracy", "points", 100, 2),
        Measure("first_epoch_loss", "nats", 1, 5),
    )
}
"""Of the test images after the last epoch; of the first epoch, validation accuracy and training loss."""


def find(name: str) -> Measure:
    """Raises ValueError where nothing is measured under that name."""
    if name.startswith(UNDER) and name != UNDER:
        return Measure(name, "points", 100, 1)
    if name not in KNOWN:
        raise ValueError(f"no measure {name!r}; known: {', '.join(KNOWN)}, {UNDER}ATTACK=EPS")
    return KNOWN[name]


def attack(name: str) -> tuple[str, float] | None:
    """("pgd", 0.3) of "accuracy under pgd=0.3"; None of what is measured without one."""
    attack, _, eps = name.removeprefix(UNDER).partition("=")
    return (attack, float(eps)) if name.startswith(UNDER) and eps else None


def of_run(run: Run, attacked: Attacked | None, attacks: Sequence[str]) -> dict[str, float]:
    """{measure: value as the files have it} of a completed run; attacked: if it was, and by which attacks."""
    first = run.history.iloc[0]
    values = {metric: run.test(metric) for metric in METRICS}
    values["first_epoch_accuracy"] = float(first["validation_accuracy"])
    values["first_epoch_loss"] = float(first["train_loss"])
    if attacked is None or not attacked.usable:
        return values
    kept = (*attacks, *KEPT)
    return values | {
        f"{UNDER}{condition}": value
        for (condition, metric), (value, _) in attacked.numbers.items()
        if metric == "accuracy" and condition.partition("=")[0] in kept
    }
