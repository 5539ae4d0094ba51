"""Why two accuracies may differ and yet be equal, in sentences whose every figure is in the certificates."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from lockstep.report import text
from lockstep.report.certificates import Certified, band, largest
from lockstep.report.runs import Results


class Paragraph(NamedTuple):
    """What it says in short, and in full."""

    lead: str
    rest: str


def paragraphs(results: Results, certified: Sequence[Certified]) -> list[Paragraph]:
    """From the last bit to the accuracy; what was not measured is left out or says so."""
    # What less precise arithmetic does is another matter.
    certified = [each for each in certified if each.full_precision]
    return [
        _float64(results, certified),
        _float32(certified),
        _kinks(results, certified),
        _smooth(certified),
        _single_runs(results, certified),
        _averages(results, certified),
        _conclusion(results, certified),
    ]


def _float64(results: Results, certified: Sequence[Certified]) -> Paragraph:
    judged = [each for each in certified if each.float64]
    if not judged:
        return Paragraph(
            "In float64", "no backend was measured, so whether they compute the same run is open."
        )
    right = [each for each in judged if not set(each.float64) & set(each.falls_short)]
    wrong = [results.label(each.side) for each in judged if each not in right]
    lead = f"In float64, which carries 16 digits, {_of(len(right), len(judged))} compute the same run"
    lead += f"; {text.listed(wrong)} {'does' if len(wrong) == 1 else 'do'} not." if wrong else "."
    checks = [check for each in right if not each.is_reference for check in each.float64 if check.limit]
    trained = any(check.tier == "T2" for check in checks)
    early = largest(check for check in checks if check.tier != "T5")
    late = largest(check for check in checks if check.tier == "T5")
    rest = []
    if early is not None:
        what = "Outputs, gradients and first training steps" if trained else "Outputs and gradients"
        rest.append(
            f"{what} are at most {text.scientific(early)} from the reference's, relative to their size"
            f" (limit {text.scientific(max(check.limit or 0.0 for check in checks))})."
        )
    if late is not None:
        steps = max((c.steps[-1] for each in right if (c := each.curve("float64"))), default=0)
        rest.append(
            f"After {steps} training steps the weights are still within {text.scientific(late)}, relative to "
            "the way that they have come."
        )
    return Paragraph(lead, " ".join(rest))


def _float32(certified: Sequence[Certified]) -> Paragraph:
    lead = "In float32, which carries 7 digits, each backend rounds differently in the last bit,"
    rest = "because each adds the same products in another order."
    checks = [c for each in certified for c in each.checks if c.tier == "T3" and c.verdict == "in step"]
    if (far := largest(checks)) is not None:
        limit = text.scientific(max(check.limit or 0.0 for check in checks))
        rest += f" Before training that is all: at most {text.scientific(far)} (limit {limit})."
    return Paragraph(lead, rest)


def _kinks(results: Results, certified: Sequence[Certified]) -> Paragraph:
    lead = "Training can make much of a bit, because the network has kinks."
    rest = (
        "ReLU has one at 0, a max-pool where two pixels are equal. Near a kink the last bit decides which "
        "path a gradient takes; that happens now and then, and the difference grows over hundreds of steps. "
    )
    ends = {each.side: curve for each in certified if (curve := each.curve("float32"))}
    ulp = [curve.travel[-1] for curve in band(certified)]
    if not ends or not ulp:
        return Paragraph(lead, rest + "How far it grows was not measured (T8).")
    steps = max(curve.steps[-1] for curve in ends.values())
    far = {side: curve.travel[-1] for side, curve in ends.items()}
    rest += (
        f"After {steps} steps the backends' weights are {text.extent(list(far.values()))} from the "
        f"reference's, relative to the way that they have come; the reference is {text.extent(ulp)} from "
        "itself if one single weight is moved by one unit in the last place (one ulp) at the start. "
    )
    side, most = max(far.items(), key=lambda item: item[1])
    ratio = most / max(ulp)
    if ratio <= 1:
        rest += "So no backend is farther from the reference than one bit takes it from itself."
    else:
        rest += f"So {results.label(side)}, the farthest, is {ratio:.1f} times as far as one bit takes it."
    return Paragraph(lead, rest)


def _smooth(certified: Sequence[Certified]) -> Paragraph:
    lead = "Without kinks the difference stays small:"
    curves = [curve for each in certified if (curve := each.curve("float32, smooth network"))]
    rough = [curve.travel[-1] for each in certified if (curve := each.curve("float32"))]
    if not curves:
        return Paragraph("A network without kinks", "was not trained for comparison (T8).")
    most = max(curve.travel[-1] for curve in curves)
    if rough and most > min(rough):
        lead = "Without kinks the difference is not smaller here:"
    return Paragraph(
        lead,
        "with swish for ReLU and average pools for max-pools, float32 runs are at most "
        f"{text.scientific(most)} from the reference's after {curves[0].steps[-1]} steps.",
    )


def _single_runs(results: Results, certified: Sequence[Certified]) -> Paragraph:
    values = _differences(certified)
    if not values:
        return Paragraph("Accuracies of single runs", "were not compared (T6).")
    lead = "So the accuracies of single runs differ by a few images, in either direction."
    most = max(map(abs, values))
    ahead, behind = sum(value > 0 for value in values), sum(value < 0 for value in values)
    rest = (
        f"In {text.count(len(values), 'pair')} of runs from one seed, the backend is ahead of the reference "
        f"{_times(ahead)} and behind it {_times(behind)}; {len(values) - ahead - behind} are equal. "
        f"The largest difference is {most:.1f} points, which is {10 * most:.0f} of 1,000 images."
    )
    return Paragraph(lead, rest)


def _averages(results: Results, certified: Sequence[Certified]) -> Paragraph:
    """Two one-sided tests: equal but for a margin, different, or nobody can tell."""
    tested = [(each, check) for each in certified if (check := each.accuracy)]
    if not tested:
        return Paragraph("Whether accuracies are equal on average", "was not measured (T6).")
    names: dict[str, list[str]] = {}
    for each, check in tested:
        names.setdefault(check.verdict, []).append(results.label(each.side))
    margin = max(check.limit or 0.0 for _, check in tested)
    said = {
        "in step": f"is within {margin:g} points of zero for {{}} (two one-sided tests)",
        "cannot tell": "is not known well enough for {}: we cannot tell",
        "out of step": f"is beyond {margin:g} points for {{}}",
    }
    parts = [said[verdict].format(text.listed(names[verdict])) for verdict in said if verdict in names]
    return Paragraph("Averaged over seeds, the difference", "; it ".join(parts) + ".")


def _conclusion(results: Results, certified: Sequence[Certified]) -> Paragraph:
    apart = [abs(value) for value in _differences(certified) if value]
    size = f"by {median(apart):.1f} points, as is typical here," if apart else "a little"
    lead = f"That is why two frameworks' accuracies may differ {size} and yet be equal:"
    rest = "where two backends compute the same run, rounding alone decides which way a few images fall."
    if failing := [results.label(each.side) for each in certified if each.falls_short]:
        rest += f" That is no excuse for {text.listed(failing)}: what is out of step is not rounding."
    return Paragraph(lead, rest)


def _differences(certified: Sequence[Certified]) -> list[float]:
    """Of all pairs of runs: accuracy of the backend minus that of the reference, in points."""
    return [
        round(100 * (pair.accuracy[1] - pair.accuracy[0]), 9) for each in certified for pair in each.pairs
    ]


def _of(n: int, total: int) -> str:
    return f"all {total} backends" if 1 < n == total else f"{n} of {text.count(total, 'backend')}"


def _times(n: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(n, f"{n} times")
