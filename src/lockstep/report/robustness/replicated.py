"""Whether what an experiment keeps under attack, or pays without, is there with other seeds too."""

from __future__ import annotations

from collections.abc import Callable

from lockstep.report import text
from lockstep.report.effects import replication
from lockstep.report.robustness.attacked import Robustness
from lockstep.statistics import Estimate

Verdict = Callable[[str, str, Estimate], str]
"""(experiment, condition, change) -> "higher, not with other seeds"; condition "": of test accuracy."""


def verdicts(robustness: Robustness) -> Verdict:
    filed, seeds = replication.on_file(robustness.results), robustness.results.config.seeds

    def verdict(name: str, condition: str, change: Estimate) -> str:
        measure = f"accuracy under {condition}" if condition else "accuracy"
        again = replication.again(filed, name, robustness.baseline, measure, change, seeds)
        return ", ".join(filter(None, (text.verdict(change), again.word)))

    return verdict
