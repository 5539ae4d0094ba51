"""Can I trust this run?  Whether it is whole, from one place, in step, and honestly attacked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lockstep.check.judge import Judgement
from lockstep.discovery import REFERENCE
from lockstep.freshness import OUTDATED
from lockstep.report import text
from lockstep.report.certificates import Certified
from lockstep.report.environment import changed_images, doubts, one_origin, sameness
from lockstep.report.overview.cards import Card, Checked, Link, Tone, worst
from lockstep.report.robustness import checks
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import COMPLETED, Results

LINKS = (Link("environment.html", "Environment"), Link("#unfinished", "Not completed"))
ANSWERS = {
    "good": "Yes: nothing that was checked speaks against it.",
    "unsure": "Mostly: look at what is marked “?”.",
    "bad": "Not all of it: something that was checked failed.",
    "none": "Nothing to check yet.",
}


def card(
    results: Results,
    certified: Sequence[Certified],
    under_attack: Robustness | None,
    judgement: Judgement | None,
) -> Card:
    found = (
        _completed(results),
        *_origin(results),
        _in_step(certified),
        *_attacks(under_attack),
        *_claims(judgement),
    )
    tone = worst(found)
    attacks = Link("robustness.html#trust", "Checks of the attacks")
    links = (
        *LINKS,
        *([attacks] if under_attack else []),
        *([Link("#claims", "Claims")] if judgement else []),
    )
    return Card("Can I trust this run?", tone, ANSWERS[tone], links, checks=found)


def _completed(results: Results) -> Checked:
    """A run that failed, or is of another configuration, may be a mistake; the others have a reason."""
    outcomes = Counter(run.outcome for run in results.runs)
    done, total = outcomes.pop(COMPLETED, 0), len(results.runs)
    rest = text.listed([f"{n} {outcome}" for outcome, n in outcomes.items()])
    outdated = sum(run.outdated for run in results.runs)
    seen = f" {text.count(outdated, 'run')} of {total} {OUTDATED}." if outdated else ""
    doubt = +outcomes or outdated
    tone: Tone = "bad" if outcomes["failed"] or outcomes["stale"] else "unsure" if doubt else "good"
    return Checked(
        tone, f"{done} of {total} training runs completed{f': {rest}' if +outcomes else ''}.{seen}"
    )


def _origin(results: Results) -> Iterator[Checked]:
    """Where results and data come from."""
    if said := sameness(results):
        tone: Tone = "bad" if changed_images(results) else "good" if one_origin(results) else "unsure"
        yield Checked(tone, said)
    for _, line in doubts(results):
        yield Checked("unsure", f"{line.partition(':')[0]}.")


def _in_step(certified: Sequence[Certified]) -> Checked:
    others = [each for each in certified if not each.is_reference]
    good = sum(each.same_run for each in others)
    sure = good == len(others) > 0 and not any(each.worst == "cannot tell" for each in others)
    tone: Tone = "bad" if any(each.falls_short for each in certified) else "good" if sure else "unsure"
    said = f"{good} of {text.count(len(others), 'backend')} proved in step with {REFERENCE}."
    return Checked(tone, said if others else f"Only {REFERENCE} is here, which the others are compared with.")


def _attacks(under_attack: Robustness | None) -> Iterator[Checked]:
    """A failed check names numbers that are not to be trusted; the others stand."""
    if under_attack is None:
        return
    judged = [each for each in checks.judge(under_attack) if not each.of_float32]
    failed = sum(not each.check.passed for each in judged)
    done, total = sum(each.usable for each in under_attack.runs), len(under_attack.runs)
    tone: Tone = "good" if done == total and not failed else "unsure"
    checked = f"{failed} of {text.count(len(judged), 'check')} of the attacks failed"
    eps = under_attack.settings.shown
    names = [name for name in under_attack.experiments if checks.upper_bound(judged, name, "worst", eps)]
    bounds = f" Upper bounds (⚠ ≤) of accuracy under attack: {text.listed(names)}." if names else ""
    yield Checked(tone, f"{done} of {text.count(total, 'run')} attacked; {checked}.{bounds}")


def _claims(judgement: Judgement | None) -> Iterator[Checked]:
    """What the project claims of such runs, if anything."""
    if judgement and not judgement.verdicts:
        yield Checked("unsure", "The claims could not be judged.")
    elif judgement and judgement.applies:
        late, whole = judgement.count("does not hold"), len(judgement.verdicts)
        tone: Tone = "bad" if late else "good" if judgement.count("holds") == whole else "unsure"
        yield Checked(tone, f"{judgement.summary}.{judgement.drawn}")
