"""How a comparison is told, in a terminal as on a page."""

from __future__ import annotations

import math

from lockstep.compare.comparison import VERDICTS, Comparison, Pair
from lockstep.compare.contrast import CANNOT_TELL, DIFFERENT, SAME
from lockstep.compare.differences import few
from lockstep.compare.metrics import Row
from lockstep.report import text

METRICS = {
    "accuracy": "test accuracy, %",
    "cross_entropy": "test cross-entropy, nats",
    "calibration_error": "test calibration error, %",
}
NOTHING = "has the same environment, data, code, settings and cells"


def title(kind: str) -> str:
    return "attack settings" if kind == "attacks" else kind


def metric(name: str) -> str:
    return METRICS.get(name, f"accuracy under {name}, %")


def first(row: Row) -> str:
    """The mean of the first; "≤ 75.00" where checks say that it is an upper bound."""
    mean = text.percent(row.first) if row.in_points else text.number(row.first, ".4f")
    return text.at_most(mean) if row.bounds[0] else mean


def difference(row: Row) -> str:
    return _signed(row, row.contrast.mean)


def interval(row: Row) -> str:
    low, high = row.contrast.interval()
    if not math.isnan(low):
        return f"{_signed(row, low)} to {_signed(row, high)}"
    if row.contrast.identical:
        return text.NONE
    return "no interval: one seed" if min(row.contrast.n) < 2 else "no interval: all equal"


def seeds(row: Row) -> str:
    first, second = row.contrast.n
    return text.count(first, "pair") if row.contrast.paired else f"{first} and {second}, unpaired"


def verdict(pair: Pair, row: Row) -> str:
    found = pair.verdict(row)
    if found == SAME and row.contrast.identical:
        return "same, to the last digit"
    return f"{found}: {'higher' if row.contrast.mean > 0 else 'lower'}" if found == DIFFERENT else found


def headline(pair: Pair) -> str:
    """What differs, and what the verdicts on test accuracy are."""
    apart = [title(kind) for kind, found in pair.kinds().items() if found]
    said = f"differs from {pair.first.label} in {text.listed(apart)}" if apart else NOTHING
    counts = pair.counts.get("accuracy")
    accuracy = f" Test accuracy: {verdicts(counts)}." if counts else ""
    return f"{pair.second.label} {said}.{accuracy}"


def verdicts(counts: dict[str, int]) -> str:
    """ "13 same, 1 cannot tell" """
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts.get(verdict))


def warnings(pair: Pair) -> list[str]:
    """What a reader must know before a metric is read."""
    other = dict.fromkeys(
        f"{row.group.experiment} on {row.group.backend}"
        for row in pair.metrics
        if row.other_settings and not row.attack
    )
    bounded = dict.fromkeys(
        f"{row.group.experiment} on {row.group.backend}" for row in pair.metrics if any(row.bounds)
    )
    lines = []
    if bounded:
        lines.append(
            f"{pair.name}: {few(list(bounded))}: accuracies under attack that are upper bounds (⚠ ≤), as a "
            "check of the attack failed: a difference may be one of the attacks"
        )
    if other:
        lines.append(
            f"{pair.name}: {few(list(other))}: the same name, but other settings. They are compared, "
            "but like is not compared with like"
        )
    if pair.kinds()["data"]:
        lines.append(f"{pair.name}: the data are not the same, so the test images may be others")
    return lines


def chance(pair: Pair) -> str:
    """How many intervals would exclude 0 though nothing differs."""
    if pair.tested < 20:
        return ""
    return (
        f"{pair.name}: of {pair.tested} intervals, about {pair.tested / 20:.0f} would exclude 0 by chance "
        "alone, were there no difference anywhere."
    )


def rule(found: Comparison) -> str:
    nats = f"{found.margin / 100:g} nats"
    return (
        f"same: to the last digit, or the 90 % interval lies within ±{found.margin:g} points ({nats}); "
        f"different: not that, and the 95 % interval excludes 0; else {CANNOT_TELL}."
    )


def _signed(row: Row, value: float) -> str:
    return text.points(100 * value) if row.in_points else text.points(value, 4)
