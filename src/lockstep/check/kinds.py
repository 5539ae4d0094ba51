"""One function for each kind of claim: verdict, test and numbers of it for one run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from lockstep.check import claims, measures, reference
from lockstep.check.evidence import (
    NOTHING,
    Comparison,
    Interval,
    Word,
    compare,
    of_share,
    position,
    worst,
)
from lockstep.check.measures import Measure
from lockstep.check.reference import Match, Reference, Trained
from lockstep.data import store
from lockstep.discovery import find
from lockstep.evaluation import measure
from lockstep.report import text
from lockstep.report.certificates import NOT_MEASURED, Certified
from lockstep.report.runs import Results, Run
from lockstep.statistics import estimate

EXACT = 1e-9
"""What a metric may differ by when it is computed again: sums of float64 in another order."""
SIGNS = {"higher": Interval(0.0, math.inf), "lower": Interval(-math.inf, 0.0)}


class Found(NamedTuple):
    """What is to be said of a claim."""

    verdict: Word
    test: str
    numbers: str


class Pair(NamedTuple):
    """A run and a reference that share experiments."""

    observed: Mapping[str, Trained]
    reference: Reference
    match: Match

    def ours(self, name: str) -> Trained:
        """By the name that the reference has for it."""
        return self.observed[self.match.names[name]]

    def has(self, name: str, measured: str) -> bool:
        """Whether the run trains an experiment, and attacks it if that is what is asked."""
        if name not in self.match.names:
            return False
        return not measured.startswith(measures.UNDER) or self.ours(name).attacks is not None

    def unlike_attacks(self, name: str, measured: str) -> str:
        """Why accuracies under attack of an experiment cannot be compared with the reference's."""
        same = self.ours(name).attacks == self.reference.experiments[name].attacks
        attacked = measured.startswith(measures.UNDER)
        return "attacked with other settings than the reference's" if attacked and not same else ""


def consistent(results: Results) -> Found:
    runs = [run for run in results.runs if run.usable]
    test = "metrics computed again from the test logits; labels looked up in the data"
    if not runs:
        return Found("not run", test, "no run completed")
    labels = {run.cell.path: _labels(results, run) for run in runs}
    wrong = [f"{run.cell}: {what}" for run in runs if (what := _inconsistency(run, labels[run.cell.path]))]
    if wrong:
        return Found("does not hold", test, _some(wrong))
    numbers = f"{text.count(len(runs), 'run')}, every metric within {text.scientific(EXACT)}"
    blind = sum(found is None for found in labels.values())
    if blind:
        return Found("cannot tell", test, f"{numbers}; of {blind} the decoded data are not there")
    return Found("holds", test, numbers)


def _labels(results: Results, run: Run) -> np.ndarray | None:
    """Of its test images, from the data that it was trained on; None where those are not there."""
    folder = results.config.data_path(run.cell.experiment.data.source)
    about = store.about(folder)
    if not about or about["sha256"] != run.provenance["identity"]["data"]:
        return None
    decoded = np.load(folder / store.LABELS, mmap_mode="r", allow_pickle=False)
    index = run.array("predictions.npz", "index")
    return np.asarray(decoded[index[index < len(decoded)]])


def _inconsistency(run: Run, labels: np.ndarray | None) -> str:
    if labels is not None and not np.array_equal(labels, run.predictions.labels):
        return "its labels are not those of the data"
    rows = (row for row in run.metrics["measurements"] if row["split"] == "test")
    known = {(row["metric"], row["condition"]): row["value"] for row in rows}
    for row in measure(run.logits, run.predictions.labels, "test"):
        said = known.get((row["metric"], row["condition"]), math.nan)
        if not abs(said - row["value"]) <= EXACT:
            where = f" ({row['condition']})" if row["condition"] else ""
            return f"metrics.json says {row['metric']}{where} {said:.6g}, its logits {row['value']:.6g}"
    return ""


def in_step(claim: claims.InStep, results: Results, certified: Sequence[Certified]) -> Found | None:
    """None where the config asks for none of the tiers."""
    wanted = [tier for tier in claim.tiers if tier in results.config.conformance.tiers]
    if not wanted:
        return None
    words: set[Word] = set()
    alike: dict[str, list[str]] = {}
    for each in certified:
        word, what = _step(each, wanted)
        words.add(word)
        alike.setdefault(what, []).append(results.label(each.side))
    test = f"certificates against NumPy in float64, {text.tiers(wanted)}"
    said = [f"{text.listed(names)}: {what}" for what, names in alike.items()]
    return Found(worst(words), test, "; ".join(said))


def _step(each: Certified, wanted: Sequence[str]) -> tuple[Word, str]:
    short = [check for check in each.falls_short if check.tier in wanted]
    absent = [tier for tier in wanted if each.verdict(tier) == NOT_MEASURED]
    unsure = [tier for tier in wanted if each.verdict(tier) == "cannot tell"]
    if short:
        return "does not hold", f"{short[0].verdict} in {short[0].tier} ({short[0].quantity})"
    if absent and (reason := find(each.side.backend).unusable(each.side.device)):
        return "not run", reason
    if unsure := absent + unsure:
        return "cannot tell", f"no verdict in {text.tiers(unsure)}"
    if each.scope and {each.verdict(tier) for tier in wanted} == {"reported"}:
        return "not run", each.scope
    return "holds", "in step"


def reproduces(claim: claims.Reproduces, pair: Pair) -> Found | None:
    """None where the run trains, or attacks, nothing that the reference has."""
    shared = {name: t for name, t in pair.reference.experiments.items() if pair.has(name, claim.measure)}
    found, absent = [], []
    unknown: dict[str, list[str]] = {}
    for name, expected in shared.items():
        if why := pair.unlike_attacks(name, claim.measure):
            absent.append(f"{name}: {why}")
            continue
        trained, spread = pair.ours(name), pair.reference.rounding(name, claim.measure)
        for side in trained.runs:
            theirs, ours = (each.values(side, claim.measure) for each in (expected, trained))
            if ours and not theirs:
                unknown.setdefault(_short(side), []).append(name)
            elif ours:
                label = f"{name} on {_short(side)}"
                found.append(compare(label, theirs, ours, spread, claim.margin, claim.seed))
    absent += [
        f"the reference has no such runs of {on} ({text.listed(names)})" for on, names in unknown.items()
    ]
    return _compared(claim, found, absent) if shared else None


def equal_backends(claim: claims.EqualBackends, pair: Pair) -> Found | None:
    """None where the run wants one backend alone."""
    if len(pair.ours(claim.experiment).runs) < 2:
        return None
    trained, spread = pair.ours(claim.experiment), pair.reference.rounding(claim.experiment, claim.measure)
    found = []
    for first, second in combinations(trained.runs, 2):
        theirs, ours = (trained.values(side, claim.measure) for side in (first, second))
        shared = {seed: value for seed, value in ours.items() if seed in theirs}
        if shared:
            label = f"{_short(second)} minus {_short(first)}"
            found.append(compare(label, theirs, shared, spread, claim.margin, claim.seed))
    return _compared(claim, found, [] if found else ["no two backends completed the same seed"])


def _compared(
    claim: claims.Reproduces | claims.EqualBackends, found: Sequence[Comparison], absent: Sequence[str]
) -> Found:
    """Several comparisons as one claim: it holds where all of them do."""
    unit = measures.find(claim.measure)
    test = (
        "two one-sided tests of each mean difference, paired by seed, against "
        f"±{claim.margin:g} {unit.unit}; no seed further off than {claim.seed:g}"
    )
    if not found:
        return Found("not run", test, "; ".join(absent) or "no run to compare")
    verdict = worst(each.verdict for each in found)
    pairs = [value for each in found for value in each.differences.values()]
    about = text.count(len(pairs), "pair") + f" of runs in {text.count(len(found), 'comparison')}"
    if pairs and not any(pairs) and verdict == "holds":
        return Found(verdict, test, "; ".join([f"{about}: equal to the last digit", *absent]))
    alone = [each for each in found if not each.differences and not each.strange]
    bad = [_said(each, unit) for each in found if each.verdict != "holds" and each not in alone]
    if alone:
        bad.append(f"{text.count(len(alone), 'comparison')} without a seed that the reference has")
    shared = [each for each in found if each.differences]
    if shared and not bad:
        widest = max(shared, key=lambda each: abs(each.mean))
        bad = [f"{about}; largest mean {_said(widest, unit)}"]
        bad.append(f"largest of a seed {unit.signed(max(pairs, key=abs))}")
    return Found(verdict, test, "; ".join([*bad, *absent]))


def _said(each: Comparison, unit: Measure) -> str:
    """ "tanh on torch: seed 3 differs by −1.20 points" """
    if each.far:
        seed, value = max(each.far.items(), key=lambda item: abs(item[1]))
        return f"{each.label}: seed {seed} differs by {unit.signed(value)}"
    if each.strange:
        seed, value = next(iter(each.strange.items()))
        return f"{each.label}: seed {seed}, {unit.size(value)}, is outside what the reference's seeds predict"
    n = text.count(len(each.differences), "seed")
    known = each.interval != NOTHING
    interval = f"90 % interval {unit.interval(*each.interval)}" if known else "spread of rounding not known"
    return f"{each.label}: {unit.signed(each.mean)} ({interval}, {n})"


def effect(claim: claims.Effect, pair: Pair) -> Found:
    """Equal values with every seed are no small effect: the setting did nothing, and the claim is wrong."""
    unit = measures.find(claim.measure)
    known = pair.reference.experiments
    both = pair.ours(claim.experiment), pair.ours(claim.baseline)
    ours = list(reference.effect(*both, claim.measure).values())
    theirs = reference.effect(known[claim.experiment], known[claim.baseline], claim.measure)
    test = f"95 % interval of the difference to {claim.baseline}, paired by seed: {claim.sign} than 0"
    if not ours:
        return Found("not run", test, "no seed completed with both")
    found, seeds = estimate(ours), text.count(len(ours), "seed")
    if len(ours) > 1 and not any(ours):
        return Found("does not hold", test, f"no difference at all ({seeds}): the setting does nothing")
    # NaN without a spread, which lies neither inside nor outside.
    interval = Interval(found.low, found.high)
    shown = f"95 % interval {unit.interval(*interval)}" if found.has_interval else "no interval"
    expected = f"; reference {unit.signed(float(np.mean(list(theirs.values()))))}" if theirs else ""
    numbers = f"{unit.signed(found.mean)} ({shown}, {seeds}){expected}"
    return Found(position(interval, SIGNS[claim.sign]), test, numbers)


def bound(claim: claims.Bound, pair: Pair) -> Found:
    said = [f"at least {claim.at_least:g}"] if claim.at_least > 0 else []
    said += [f"at most {claim.at_most:g}"] if claim.at_most < 100 else []
    return _accuracies(claim, pair, Interval(claim.at_least, claim.at_most), f"{' and '.join(said)} %")


def published(claim: claims.Published, pair: Pair) -> Found:
    region = Interval(claim.figure - claim.tolerance, claim.figure + claim.tolerance)
    return _accuracies(claim, pair, region, f"{claim.figure:g} ± {claim.tolerance:g} % ({claim.source})")


def _accuracies(claim: claims.Accuracy, pair: Pair, region: Interval, said: str) -> Found:
    trained, unit = pair.ours(claim.experiment), measures.find(claim.measure)
    n = trained.images(claim.measure)
    test = f"each run's 90 % interval over test images: {said}"
    values = [v for side in trained.runs for v in trained.values(side, claim.measure).values()]
    if not values:
        return Found("not run", test, f"no run has {claim.measure}")
    intervals = [Interval(*(100 * end for end in of_share(value / 100, n))) for value in values]
    low, high = min(each.low for each in intervals), max(each.high for each in intervals)
    extent = sorted({unit.size(min(values)), unit.size(max(values))}, key=lambda size: float(size.split()[0]))
    numbers = (
        f"{' to '.join(extent)} in {text.count(len(values), 'run')} on {n:,} images "
        f"({'intervals' if len(values) > 1 else 'interval'} {low:.1f} to {high:.1f} %)"
    )
    return Found(worst(position(each, region) for each in intervals), test, numbers)


def _short(side: str) -> str:
    return side.removesuffix("/cpu")


def _some(said: Sequence[str]) -> str:
    return "; ".join(said[:3]) + (f"; and {len(said) - 3} more" if len(said) > 3 else "")
