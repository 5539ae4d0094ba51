"""The picture of T6: accuracies of backend and reference, paired by seed, against the margin of equality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lockstep.report import text
from lockstep.report.certificates import Certified
from lockstep.report.runs import Results
from lockstep.report.style import GREY, WIDTH, Figure, canvas, colour, face, few_ticks, finish, marker
from lockstep.statistics import equivalence


def margins(results: Results, certified: Sequence[Certified]) -> Figure | None:
    """One mark per seed; large, the mean with its 90 % interval: equal where that lies in the shade."""
    rows = [(each, check) for each in certified if each.pairs and (check := each.accuracy) and check.limit]
    if not rows:
        return None
    margin = max(check.limit or 0.0 for _, check in rows)
    inside = [results.label(each.side) for each, check in rows if check.verdict == "in step"]
    with canvas(0.72 * WIDTH, 1.0 + 0.7 * len(rows)) as figure:
        axes = figure.subplots()
        axes.axvspan(-margin, margin, color="#e9eef4", linewidth=0)
        axes.axvline(0, color=GREY, linewidth=0.9)
        for y, (each, _) in enumerate(rows):
            values = [100 * (second - first) for first, second in (pair.accuracy for pair in each.pairs)]
            style: dict[str, Any] = {"color": colour(each.side), "markerfacecolor": face(each.side)}
            # Each seed has a height of its own, so that equal differences do not hide each other.
            heights = np.linspace(-y + 0.4, -y - 0.02, len(values))
            axes.plot(values, heights, marker(each.side), markersize=4, alpha=0.7, linestyle="none", **style)
            test = equivalence(values, margin)
            if test.needed is not None:
                axes.plot([test.low, test.high], [-y - 0.16] * 2, color=colour(each.side), linewidth=2)
            axes.plot(test.difference.mean, -y - 0.16, marker(each.side), markersize=7, **style)
        axes.set_yticks(range(0, -len(rows), -1), [results.label(each.side) for each, _ in rows])
        axes.set_ylim(0.6 - len(rows), 0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        few_ticks(axes, 5)
        axes.set_xlabel("backend − reference: difference in test accuracy, percentage points")
        which = f"The mean is shown to lie within it for {text.listed(inside)}." if inside else ""
        return finish(
            figure,
            "margins",
            f"Differences in accuracy by seed of {text.count(len(rows), 'backend')}, with a margin of "
            f"{margin:g} points. {which}".strip(),
            "Small marks are pairs of runs from one seed, the large mark is their mean, the line its 90 % "
            f"interval. The shade is the margin of ±{margin:g} points: where a line lies in it, the "
            f"accuracies are equal but for that margin. {which}".strip(),
        )
