"""The page in a sentence: how far accuracy falls, beside noise of the same size."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from lockstep.report import text
from lockstep.report.effects import replication
from lockstep.report.robustness import bounds, checks
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.checks import Judged
from lockstep.report.robustness.names import condition
from lockstep.report.robustness.replicated import verdicts
from lockstep.report.runs import by_seed
from lockstep.statistics import Estimate, paired

QUESTION = "Can the network be fooled?"


def answer(robustness: Robustness) -> tuple[str, tuple[str, ...]]:
    """The answer, and what is to be added."""
    name, eps, judged = robustness.baseline, robustness.settings.shown, checks.judge(robustness)
    before, after, noise = (
        bounds.kept(robustness, judged, name, attack, eps) for attack in ("clean", "worst", "uniform_noise")
    )
    if not after.value.n:
        return "Not measured yet.", (_unfinished(robustness),)
    under = condition("worst", eps)
    fall = _fall(robustness, "clean", under)
    beyond = _fall(robustness, condition("uniform_noise", eps), under)
    details = (
        f"It falls by {_points(fall)}, and to {_points(beyond)} below what noise leaves; the worst case of "
        f"{text.listed(bounds.counted(robustness, eps))} on {text.count(after.images, 'test image')}.",
        Markup("95 % intervals of the {} %: {}; each leaves out what the other covers.").format(
            after.shown, _intervals(after)
        ),
        _defended(robustness, judged),
        _warned(judged),
        _unfinished(robustness),
    )
    word = "Yes" if beyond.low > 0 else "It looks so" if beyond.mean > 0 else "Not by these attacks"
    return Markup(
        "{}: attacks of eps {} take the accuracy of {} from {} % to {} %; noise of the same size leaves {} %."
    ).format(word, f"{eps:g}", name, before.shown, after.shown, noise.shown), details


def _intervals(kept: bounds.Kept) -> str:
    """What another draw of images, and one of seeds, would give."""
    seeds = text.count(kept.value.n, "seed")
    return (
        f"over images {kept.over_images} ({kept.images:,} attacked), over seeds {kept.over_seeds} ({seeds})"
    )


def _fall(robustness: Robustness, first: str, second: str) -> Estimate:
    """How much lower the baseline's accuracy is under the second condition, in points, paired by seed."""
    pair = (
        {seed: 100 * value for seed, value in by_seed(robustness.values(robustness.baseline, each)).items()}
        for each in (second, first)
    )
    return paired(*pair)


def _points(value: Estimate) -> str:
    return f"{text.number(value.mean, '.1f')} points ({text.interval(value, signed=False, digits=1)})"


def _defended(robustness: Robustness, judged: Sequence[Judged]) -> str:
    """Which experiments keep more in the worst case, where intervals tell; a sign at upper bounds."""
    eps = robustness.settings.shown
    others = [name for name in robustness.experiments if name != robustness.baseline]
    changes = {name: robustness.change(name, condition("worst", eps)) for name in others}
    verdict = verdicts(robustness)
    marked = {}
    for name, change in changes.items():
        again = verdict(name, condition("worst", eps), change).endswith(replication.NO)
        known = escape(name + f" ({replication.NO})" * again)
        marked[name] = bounds.signed(known, checks.upper_bound(judged, name, "worst", eps))
    words = {
        word: [marked[name] for name, change in changes.items() if text.verdict(change) == word]
        for word in ("higher", "lower", "cannot tell")
    }
    said = [f"{word} with {text.listed(words[word])}" for word in ("higher", "lower") if words[word]]
    unsure = words["cannot tell"]
    if said:
        rest = f"; cannot tell for {text.listed(unsure)}" if unsure else ""
        return Markup(f"Accuracy in the worst case of eps {eps:g} is {'; '.join(said)}{rest}.")
    if unsure:
        return Markup(
            f"Cannot tell yet whether {text.listed(unsure)} {'helps' if len(unsure) == 1 else 'help'}."
        )
    return ""


def _warned(judged: Sequence[Judged]) -> str:
    asked = [each for each in judged if not each.of_float32]
    failed = sum(not each.check.passed for each in asked)
    said = "what they speak of (⚠) is an upper bound: a stronger attack may leave less"
    return f"{failed} of {text.count(len(asked), 'check')} of the attacks failed; {said}." if failed else ""


def _unfinished(robustness: Robustness) -> str:
    absent = sum(not each.usable for each in robustness.runs)
    return (
        f"{absent} of {text.count(len(robustness.runs), 'run')} to attack {'has' if absent == 1 else 'have'} "
        "no result."
        if absent
        else ""
    )
