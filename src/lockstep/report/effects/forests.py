"""Forest plots of effects."""

from __future__ import annotations

from collections.abc import Iterable

from lockstep.report.effects.compare import compared_sides, effects_by_seed
from lockstep.report.effects.metrics import METRICS, Metric
from lockstep.report.figures import Row, forest
from lockstep.report.runs import Results, Side
from lockstep.report.style import INK, Figure, colour, marker

READ = (
    "Small marks are single seeds, the large mark is their mean, the line its 95 % interval over seeds. A "
    "line that crosses 0 cannot tell; an arrow says that it goes on; without a line there is no interval."
)


def figures(results: Results) -> Iterable[Figure]:
    names = [name for name in results.experiments if name != results.baseline]
    if not names:
        return
    panels = {
        f"{metric.title}, {metric.unit}": [Row(name, _values(results, name, metric)) for name in names]
        for metric in METRICS.values()
    }
    if not any(row.values for rows in panels.values() for row in rows):
        return
    yield forest(
        "effects",
        panels,
        f"experiment − {results.baseline}",
        f"Forest plot of what {len(names)} experiments change in accuracy, cross-entropy, calibration and "
        "convergence.",
        f"Each experiment minus {results.baseline}, paired by backend and seed, mean over backends. {READ} "
        "Panels have scales of their own.",
        shared=False,
    )
    several = [name for name in names if len(compared_sides(results, name)) > 1]
    if several:
        yield forest(
            "effects_by_backend",
            {f"{name} − {results.baseline}": list(_by_backend(results, name)) for name in several},
            "difference in test accuracy, percentage points",
            f"Forest plot of the effect of {len(several)} experiments on accuracy, by backend.",
            f"{READ} The last line of a panel averages backends within a seed first: backends that share a "
            "seed are no independent evidence.",
        )


def _by_backend(results: Results, name: str) -> Iterable[Row]:
    metric = METRICS["accuracy"]
    for side in compared_sides(results, name):
        values = _values(results, name, metric, [side])
        yield Row(results.label(side), values, colour(side), marker(side))
    yield Row("all backends", _values(results, name, metric), INK, "D")


def _values(results: Results, name: str, metric: Metric, sides: list[Side] | None = None) -> list[float]:
    of = compared_sides(results, name) if sides is None else sides
    return list(effects_by_seed(results, name, metric, of).values())
