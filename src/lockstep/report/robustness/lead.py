"""The page in a sentence: how far accuracy falls, beside noise of the same size."""

from __future__ import annotations

from lockstep.report import text
from lockstep.report.effects import replication
from lockstep.report.robustness import checks
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.names import condition, title
from lockstep.report.robustness.replicated import verdicts
from lockstep.report.runs import by_seed
from lockstep.statistics import Estimate, binomial_error, paired

QUESTION = "Can the network be fooled?"


def answer(robustness: Robustness) -> tuple[str, tuple[str, ...]]:
    """The answer, and what is to be added."""
    name, eps = robustness.baseline, robustness.settings.shown
    attack = "pgd" if "pgd" in robustness.settings.names else robustness.settings.names[0]
    before, after, noise = (
        robustness.estimate(name, each)
        for each in ("clean", condition(attack, eps), condition("uniform_noise", eps))
    )
    if not after.n:
        return "Not measured yet.", (_unfinished(robustness),)
    fall = _fall(robustness, "clean", condition(attack, eps))
    beyond = _fall(robustness, condition("uniform_noise", eps), condition(attack, eps))
    numbers = (
        f"{title(attack)} of eps {eps:g} takes the accuracy of {name} from {before.mean:.1f} % to "
        f"{after.mean:.1f} %; noise of the same size leaves {noise.mean:.1f} %."
    )
    few = text.count(after.n, "seed")
    few = f"95 % intervals over {few}" if fall.has_interval else few
    error = 100 * binomial_error(after.mean / 100, robustness.images)
    details = (
        f"It falls by {_points(fall)}, and to {_points(beyond)} below what noise leaves; on "
        f"{text.count(robustness.images, 'test image')}, {few}.",
        f"On other images every accuracy would move too: the standard error of {after.mean:.1f} % with "
        f"{text.count(robustness.images, 'image')} is {error:.1f} points.",
        _defended(robustness),
        _warned(robustness),
        _unfinished(robustness),
    )
    word = "Yes" if beyond.low > 0 else "It looks so" if beyond.mean > 0 else "Not by this attack"
    return f"{word}: {numbers}", details


def _fall(robustness: Robustness, first: str, second: str) -> Estimate:
    """How much lower the baseline's accuracy is under the second condition, in points, paired by seed."""
    pair = (
        {seed: 100 * value for seed, value in by_seed(robustness.values(robustness.baseline, each)).items()}
        for each in (second, first)
    )
    return paired(*pair)


def _points(value: Estimate) -> str:
    return f"{text.number(value.mean, '.1f')} points ({text.interval(value, signed=False, digits=1)})"


def _defended(robustness: Robustness) -> str:
    """Which experiments keep more in the worst case, where intervals tell."""
    eps = robustness.settings.shown
    others = [name for name in robustness.experiments if name != robustness.baseline]
    changes = {name: robustness.change(name, condition("worst", eps)) for name in others}
    verdict = verdicts(robustness)
    marked = {
        name: f"{name} ({replication.NO})"
        if verdict(name, condition("worst", eps), change).endswith(replication.NO)
        else name
        for name, change in changes.items()
    }
    words = {
        word: [marked[name] for name, change in changes.items() if text.verdict(change) == word]
        for word in ("higher", "lower", "cannot tell")
    }
    said = [f"{word} with {text.listed(words[word])}" for word in ("higher", "lower") if words[word]]
    unsure = words["cannot tell"]
    if said:
        rest = f"; for {text.listed(unsure)} nobody can tell" if unsure else ""
        return f"Accuracy in the worst case of eps {eps:g} is {'; '.join(said)}{rest}."
    if unsure:
        return (
            f"Whether {text.listed(unsure)} {'helps' if len(unsure) == 1 else 'help'}, nobody can tell yet."
        )
    return ""


def _warned(robustness: Robustness) -> str:
    judged = [each for each in checks.judge(robustness) if not each.of_float32]
    failed = sum(not each.check.passed for each in judged)
    return f"{failed} of {text.count(len(judged), 'check')} of the attacks failed." if failed else ""


def _unfinished(robustness: Robustness) -> str:
    absent = sum(not each.usable for each in robustness.runs)
    return (
        f"{absent} of {text.count(len(robustness.runs), 'run')} to attack {'has' if absent == 1 else 'have'} "
        "no result."
        if absent
        else ""
    )
