"""Whether the attacks were strong enough to be believed, as tables, lists and signs beside numbers."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from lockstep.attacks import honesty
from lockstep.attacks.honesty import Check
from lockstep.report import text
from lockstep.report.grids import Grid, Group, chip
from lockstep.report.robustness.attacked import Attacked, Robustness
from lockstep.report.robustness.bounds import signed
from lockstep.report.robustness.checks import Judged, judge, readable
from lockstep.report.runs import Side


def grid(robustness: Robustness) -> Grid:
    """A row for each attacked run, whether or not there is anything to check."""
    found = judge(robustness)
    groups = []
    for name in robustness.experiments:
        rows: list[Sequence[str]] = []
        for each in robustness.runs:
            if each.run.cell.name == name:
                mine = [judged for judged in found if judged.attacked is each]
                shown = (chip(robustness.results, each.run.side), str(each.run.cell.seed))
                rows.append((*shown, *_row(each, mine)))
        groups.append(Group(name, rows=rows))
    return Grid(("backend", "seed", "the attacks", "float32", "what failed"), 5, groups)


def _row(attacked: Attacked, checks: Sequence[Judged]) -> tuple[str | Markup, ...]:
    if not attacked.usable:
        return text.NONE, text.NONE, f"{attacked.outcome}: {attacked.reason}"
    halves = [[each for each in checks if each.of_float32 is of] for of in (False, True)]
    counts = [f"{sum(each.check.passed for each in half)} of {len(half)} passed" for half in halves]
    failed = [each.check.name for each in halves[0] if not each.check.passed]
    names = "; ".join(f"{name} (×{failed.count(name)})" for name in dict.fromkeys(failed))
    names = names.replace(" (×1)", "")
    said = "; ".join(part for part in (names, attacked.reason) if part)
    return counts[0], counts[1], signed(said, failed)


def failures(robustness: Robustness) -> list[str]:
    """Of the attacks: each kind of failure once for a backend, with its seeds."""
    alike: dict[tuple[str, Side, str], list[tuple[int, Check]]] = {}
    for each in judge(robustness):
        if not each.check.passed and not each.of_float32:
            key = (each.attacked.run.cell.name, each.attacked.run.side, each.check.name)
            alike.setdefault(key, []).append((each.attacked.run.cell.seed, each.check))
    return [
        f"{name}, {robustness.results.label(side)}: not true that {check}. "
        + " ".join(f"Seed {seed}, {readable(detail)}." for seed, detail in details)
        for (name, side, check), details in alike.items()
    ]


def sentences(robustness: Robustness) -> list[str]:
    """How many checks passed, and what float32 would have done."""
    found = judge(robustness)
    attacks = [each for each in found if not each.of_float32]
    if not attacks:
        return ["Nothing to check yet."]
    failed = sum(not each.check.passed for each in attacks)
    models = len({each.attacked.run.cell.path for each in attacks})
    said = [
        f"{len(attacks) - failed:,} of {text.count(len(attacks), 'check')} of the attacks on "
        f"{text.count(models, 'network')} passed. With {text.count(robustness.images, 'image')} one of them "
        f"is {100 / robustness.images:.2g} % of accuracy. A check allows {100 * honesty.SLACK:g} % to "
        f"{100 * honesty.BEHIND:g} %, so among many some fail by an image or two."
    ]
    overstated = [each for each in found if each.check.name == honesty.float32_suffices(0, 0).name]
    wrong = [each for each in overstated if not each.check.passed]
    shares = [each.attacked.numbers["clean", "saturated"][0] for each in found if _is_saturation(each)]
    if overstated:
        said.append(
            f"In float32, FGSM would have looked weaker than it is in {len(wrong)} of {len(overstated)} "
            f"measurements. The gradient of the loss in float32 is mostly rounding for "
            f"{100 * min(shares):.0f} % to {100 * max(shares):.0f} % of the clean images, depending on the "
            "network. No number of this page but this comparison uses it."
        )
    return said


def _is_saturation(judged: Judged) -> bool:
    return judged.check.name == honesty.gradients_exist(0).name
