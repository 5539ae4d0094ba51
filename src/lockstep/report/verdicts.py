"""The tables of the page on conformance: verdicts, checks, differences, bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from markupsafe import Markup

from lockstep.config_file import TIERS
from lockstep.conformance.certificate import Certificate, Check
from lockstep.report import text
from lockstep.report.certificates import NOT_ASKED, NOT_MEASURED, Certified
from lockstep.report.grids import Grid, Group, chip
from lockstep.report.runs import Results

MEASURES = {
    "T0": "float32: a second process ends in the same bits, and `synchronize` waits until the work is done",
    "T1": "float64, before training: logits, loss, gradients by weights and by the input",
    "T2": "float64, some training steps: loss, Adam's moments, weights; then all of T1 again",
    "T3": "float32, before training: as T1",
    "T4": "float32, a network without kinks (swish, average pools): training loss",
    "T5": "float64, hundreds of training steps of the classroom's network: weights",
    "T6": "whole runs, paired by seed: accuracy and cross-entropy on average",
    "T7": "float32, one trained network attacked: signs of its gradients, adversarial images, and how many "
    "digits survive them in either",
    "T8": "float32, as T5: weights, against what a single bit does to the reference; and a network without "
    "kinks",
}
TONES = {
    "in step": "good",
    "out of step": "bad",
    "not yet": "bad",
    "cannot tell": "unsure",
    NOT_MEASURED: "unsure",
    "holds": "good",
    "does not hold": "bad",
}
"""{verdict: how it is coloured}; the others are grey."""


def mark(verdict: str) -> Markup:
    """A verdict in words, its colour, and a sign of its own for those who see no colour."""
    return Markup('<span class="verdict {}">{}</span>').format(TONES.get(verdict, "none"), verdict)


def overview(results: Results, certified: Sequence[Certified]) -> Grid:
    rows = [
        (
            chip(results, each.side) + (f" ({each.scope})" if each.scope else ""),
            *(mark(_word(each, tier)) for tier in TIERS),
        )
        for each in certified
    ]
    return Grid(("backend", *TIERS), len(TIERS) + 1, [Group(rows=rows)])


def _word(each: Certified, tier: str) -> str:
    """A tier without a limit has a reason for it."""
    verdict = each.verdict(tier)
    if verdict != "reported":
        return verdict
    return "the reference" if each.is_reference else each.scope or verdict


def tiers(certified: Sequence[Certified]) -> Grid:
    # Of less precise arithmetic the limits are wider.
    checks = [check for each in certified if each.full_precision for check in each.checks]
    rows = [
        (tier, what.replace("`", ""), _limits([check for check in checks if check.tier == tier]))
        for tier, what in MEASURES.items()
    ]
    return Grid(("tier", "what it compares with the reference", "limit"), 3, [Group(rows=rows)])


def _limits(checks: Sequence[Check]) -> str:
    """The limit that most of the quantities share, if any, then those with one of their own."""
    limits = {check.quantity: check.limit for check in checks if check.limit is not None}
    counts = Counter(limits.values()).most_common()
    if not counts:
        return text.NONE
    (common, n), *_ = counts
    shared = [text.scientific(common)] if 2 * n > len({check.quantity for check in checks}) else []
    own = [f"{name}: {text.scientific(x)}" for name, x in limits.items() if not shared or x != common]
    return "; ".join(shared + own)


def checks(each: Certified) -> Grid:
    """Every line of a backend's certificate, and one for each tier that is absent."""
    rows = []
    for tier in TIERS:
        for check in (check for check in each.checks if check.tier == tier):
            numbers = text.scientific(check.measured), text.scientific(check.limit)
            rows.append((tier, check.quantity, *numbers, mark(check.verdict), check.note))
        if tier in each.absent:
            rows.append((tier, text.NONE, text.NONE, text.NONE, mark(NOT_MEASURED), each.absent[tier]))
    return Grid(("tier", "quantity", "measured", "limit", "verdict", "note"), 6, [Group(rows=rows)])


def files(results: Results, each: Certified) -> list[tuple[str, str]]:
    """(path, when it was made) of a backend's certificates."""
    return [
        (
            str(results.config.certificate(*each.side, name)),
            f"{made.made.replace('T', ' ')[:16]}, {made.seconds:.0f} s",
        )
        for name, made in each.certificates.items()
    ]


def means(results: Results, certified: Sequence[Certified]) -> Grid:
    """T6: what was found on average."""
    rows = []
    for each in certified:
        backend = chip(results, each.side)
        if each.verdict("T6") in (NOT_MEASURED, NOT_ASKED):
            absent = each.absent.get("T6", NOT_ASKED)
            rows.append((backend, text.NONE, text.NONE, text.NONE, mark(each.verdict("T6")), absent))
        for check in (check for check in each.checks if check.tier == "T6"):
            mean = text.scientific(check.measured, signed=True)
            margin = text.NONE if check.limit is None else f"±{text.scientific(check.limit)}"
            verdict = mark("the reference" if each.is_reference else check.verdict)
            rows.append((backend, check.quantity, mean, margin, verdict, check.note))
    columns = ("backend", "quantity", "backend − reference", "margin", "verdict", "pairs, interval, p")
    return Grid(columns, 6, [Group(rows=rows)])


def bits(results: Results, certified: Sequence[Certified]) -> Grid:
    """T0: a column for each of its quantities."""
    quantities = list(dict.fromkeys(c.quantity for e in certified for c in e.checks if c.tier == "T0"))
    rows = []
    for each in certified:
        found = {check.quantity: _bits(check) for check in each.checks if check.tier == "T0"}
        absent = each.absent.get("T0", "")
        rows.append((chip(results, each.side), *(found.get(q, text.NONE) for q in quantities), absent))
    return Grid(("backend", *quantities, ""), len(quantities) + 2, [Group(rows=rows)])


def _bits(check: Check) -> Markup:
    """What is measured in T0 is a share of the work."""
    share = [] if check.measured is None else [f"{text.percent(check.measured)} %"]
    verdict = [] if check.verdict == "reported" else [mark(check.verdict)]
    return Markup("<br>").join([*verdict, *share, *([check.note] if check.note else [])])


def environments(results: Results, certified: Sequence[Certified]) -> Grid:
    """Whatever may change bits; files that were made alike share a row."""
    rows = []
    for each in certified:
        alike: dict[str, list[str]] = {}
        for made in each.certificates.values():
            alike.setdefault(_environment(made), []).extend(made.tiers)
        for seen, names in alike.items():
            rows.append((chip(results, each.side), text.tiers(names), seen))
    return Grid(("backend", "tiers", "threads, versions, switches"), 3, [Group(rows=rows)])


def _environment(made: Certificate) -> str:
    seen = {**made.versions, **made.environment}
    listed = (f"{name} {value or 'none'}" for name, value in seen.items())
    return ", ".join([text.count(made.threads, "thread"), *listed])
