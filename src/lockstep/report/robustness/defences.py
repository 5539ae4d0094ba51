"""Experiments side by side: what each keeps under attack, what it pays without, and what can be told."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from lockstep.report import text
from lockstep.report.effects.compare import effects_by_seed
from lockstep.report.effects.lines import colours
from lockstep.report.effects.metrics import METRICS
from lockstep.report.grids import Grid, Group
from lockstep.report.robustness import bounds, checks
from lockstep.report.robustness.attacked import Robustness, percent
from lockstep.report.robustness.curves import about
from lockstep.report.robustness.names import condition, title
from lockstep.report.robustness.replicated import verdicts
from lockstep.report.runs import by_seed
from lockstep.report.style import GREY, MARKERS, PALETTE, WIDTH, Figure, canvas, finish
from lockstep.statistics import Estimate, estimate


def clean(robustness: Robustness) -> Grid:
    """Without attack: on the images that are attacked; and on all, of every trained run."""
    verdict, rows = verdicts(robustness), []
    for name in robustness.experiments:
        own = robustness.estimate(name, "clean")
        seeds = {side: robustness.results.accuracies(name, side) for side in robustness.compared}
        runs = {(side, seed): value for side in seeds for seed, value in seeds[side].items()}
        whole, change = percent(by_seed(runs).values()), _clean_change(robustness, name)
        compared = (
            ("", "", "") if name == robustness.baseline else _compared(change, verdict(name, "", change))
        )
        rows.append((name, *_measured(own), *_measured(whole), *compared))
    columns = (
        "experiment", f"{text.count(robustness.images, 'attacked image')}, %", "95 % interval", "n seeds",
        "all test images, %", "95 % interval", "n seeds", f"− {robustness.baseline}, points",
        "95 % interval", "verdict",
    )  # fmt: skip
    return Grid(columns, 1, [Group(rows=rows)])


def _clean_change(robustness: Robustness, name: str) -> Estimate:
    """In test accuracy, on all runs that experiment and baseline trained; as the page of effects has it."""
    values = effects_by_seed(robustness.results, name, METRICS["accuracy"], robustness.compared)
    return estimate(list(values.values()))


def _measured(value: Estimate) -> tuple[str, str, str]:
    return text.number(value.mean, ".1f"), _interval(value), str(value.n)


def _compared(change: Estimate, verdict: str) -> tuple[str, str, str]:
    return text.points(change.mean, 1), text.interval(change, digits=1), verdict


def grid(robustness: Robustness) -> Grid:
    """A group for each eps; a sign beside each number that is an upper bound."""
    judged, verdict = checks.judge(robustness), verdicts(robustness)
    shown = list(dict.fromkeys(["uniform_noise", *robustness.settings.names, "worst"]))
    groups = []
    for eps in sorted(robustness.settings.eps):
        rows: list[Sequence[str]] = []
        for name in robustness.experiments:
            found = {attack: bounds.kept(robustness, judged, name, attack, eps) for attack in shown}
            under, worst = condition("worst", eps), found["worst"]
            change = robustness.change(name, under)
            told = verdict(name, under, change)
            compared = ("", "", "") if name == robustness.baseline else _compared(change, told)
            numbers = [each.shown for each in found.values()]
            spread = (worst.over_images, worst.over_seeds, str(worst.value.n))
            rows.append((name, *numbers, *spread, *compared))
        groups.append(Group(f"eps {eps:g}", rows=rows))
    columns = (
        "experiment", *(f"{title(attack)}, %" for attack in shown), *bounds.SPREAD[:2], "n seeds",
        f"− {robustness.baseline}, points", "95 % interval", "verdict",
    )  # fmt: skip
    return Grid(columns, 1, groups)


def sentences(robustness: Robustness) -> list[tuple[str, str | Markup]]:
    """(experiment, what it keeps and what it pays), paired by seed."""
    judged, verdict, said = checks.judge(robustness), verdicts(robustness), []
    eps, baseline = robustness.settings.shown, robustness.baseline
    for name in robustness.experiments:
        under, worst = condition("worst", eps), bounds.kept(robustness, judged, name, "worst", eps)
        if not worst.value.n:
            said.append((name, "no result under attack yet."))
            continue
        parts = []
        if name != baseline:
            change, cost = robustness.change(name, under), _clean_change(robustness, name)
            parts.append(f"against {baseline} {_points(change)}: {verdict(name, under, change)}")
            parts.append(f"test accuracy without attack {_points(cost)}: {verdict(name, '', cost)}")
        kept = Markup("{} % survive the attacks tried at eps {} (over images {}, over {} {})").format(
            worst.shown, f"{eps:g}", worst.over_images, text.count(worst.value.n, "seed"), worst.over_seeds
        )
        said.append((name, Markup("; ").join([kept, *parts]) + "."))
    return said


def noisy(robustness: Robustness) -> list[str]:
    """What noise at inference hides, of experiments that were trained with noise in their images."""
    eps, judged, said = robustness.settings.shown, checks.judge(robustness), list[str]()
    for name in robustness.experiments:
        clean = robustness.estimate(name, "noisy_clean")
        if not clean.n:
            continue
        kept = (
            bounds.kept(robustness, judged, name, each, eps)
            for each in ("noisy_pgd", "noisy_pgd_mean", "pgd")
        )
        one, mean, without = (Markup("{} % ({})").format(each.shown, each.over_seeds) for each in kept)
        said.append(
            Markup(
                "{}, with that noise at inference too: {} % without attack; PGD of eps {} leaves {} along "
                "the gradient of a single draw, and {} along the mean of several. Without noise at inference "
                "it leaves {}."
            ).format(name, f"{clean.mean:.1f}", f"{eps:g}", one, mean, without)
        )
    return said


def _interval(value: Estimate) -> str:
    return text.interval(value, signed=False, digits=1)


def _points(value: Estimate) -> str:
    """ "+12.3 points (+8.1 to +16.5, 3 seeds)" """
    few = f", {text.count(value.n, 'seed')}" if value.n > 1 else ""
    return f"{text.points(value.mean, 1)} points ({text.interval(value, digits=1)}{few})"


def scatter(robustness: Robustness) -> Figure | None:
    """Clean against robust accuracy, with intervals along both axes."""
    eps = robustness.settings.shown
    points = {
        name: (robustness.estimate(name, "clean"), robustness.estimate(name, condition("worst", eps)))
        for name in robustness.experiments
        if robustness.of(name)
    }
    points, judged = (
        {name: pair for name, pair in points.items() if pair[0].n and pair[1].n},
        checks.judge(robustness),
    )
    if len(points) < 2:
        return None
    with canvas(0.82 * WIDTH, 4.0) as figure:
        axes = figure.subplots()
        shades = colours(robustness.experiments)
        for name, (without, under) in points.items():
            colour = shades[name]
            mark = MARKERS[PALETTE.index(colour)]
            axes.plot(
                without.mean,
                under.mean,
                mark,
                color=colour,
                markersize=8,
                label=f"{name}{bounds.label(robustness, judged, name, 'worst')}",
            )
            if without.has_interval:
                axes.plot([without.low, without.high], [under.mean] * 2, color=colour, alpha=0.6)
            if under.has_interval:
                axes.plot([without.mean] * 2, [under.low, under.high], color=colour, alpha=0.6)
        axes.axhline(0, color=GREY, linewidth=0.7)
        axes.set_ylim(min(-5.0, axes.get_ylim()[0]), 105)
        axes.set_xlim(right=min(101.0, axes.get_xlim()[1]))
        axes.set_xlabel("accuracy without attack, %")
        axes.set_ylabel(f"accuracy in the worst case of eps {eps:g}, %")
        axes.grid()
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8.5)
        return finish(
            figure,
            "tradeoff",
            f"Scatter plot of accuracy with and without attack of {len(points)} experiments.",
            f"Both accuracies on the same {about(robustness)}. Up is robust, right is accurate; the scales "
            f"differ. Lines: 95 % intervals over seeds; {bounds.moves(robustness)}. (≤): an upper bound.",
        )
