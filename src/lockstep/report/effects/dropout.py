"""What a classroom says of dropout, measured: expectations, averages of subnetworks, redundancy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from lockstep.inside import SAMPLES, SHARES
from lockstep.report import text
from lockstep.report.effects.inside import KNOCKED_OUT, SUBNETWORKS, WHOLE, Key, Values, mean_of, whole_of
from lockstep.report.effects.lines import colours, errorbars, legend
from lockstep.report.effects.metrics import METRICS
from lockstep.report.grids import Grid, Group
from lockstep.report.runs import Results, Runs
from lockstep.report.style import GREY, WIDTH, Figure, canvas, finish
from lockstep.statistics import Estimate, differences

Inside = Mapping[Key, Values]
QUALITY = ("accuracy", "cross_entropy", "calibration_error")
TOLD = (0.5, 0.9)
"""Shares of knocked-out units that sentences are about."""
MOST_LINES = 8


def with_dropout(found: Inside) -> list[str]:
    """The experiments whose subnetworks were sampled."""
    return list(dict.fromkeys(name for name, what, *_ in found if what == SUBNETWORKS))


def shown_knockouts(results: Results, found: Inside) -> list[str]:
    """The baseline and those with dropout, then others while there is room for their lines."""
    measured = list(dict.fromkeys(name for name, what, *_ in found if what == KNOCKED_OUT))
    first = [name for name in measured if name in (results.baseline, *with_dropout(found))]
    few = [*first, *(name for name in measured if name not in first)][:MOST_LINES]
    return [name for name in measured if name in few]


def figures(results: Results, found: Inside) -> list[Figure]:
    drawn = [_expectation(found), _subnetworks(found)] if with_dropout(found) else []
    return [*drawn, _redundancy(results, found)] if shown_knockouts(results, found) else drawn


def _expectation(found: Inside) -> Figure:
    names = with_dropout(found)
    with canvas(0.62 * WIDTH, 3.6) as figure:
        axes = figure.subplots()
        for name, colour in colours(names).items():
            errorbars(axes, _estimates(found, name, SUBNETWORKS, "expectation_error"), 1, colour, name)
        start = max(_start(found, name) for name in names)
        guide = [start / np.sqrt(n) for n in SAMPLES]
        axes.plot(SAMPLES, guide, color=GREY, linestyle=(0, (3, 2.5)), label="falls as 1/√N")
        _samples(axes)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y")
        axes.set_ylabel("distance of mean logits from dropout off")
        legend(axes)
        return finish(
            figure,
            "expectation",
            f"Distance of the mean logits of sampled subnetworks from the network with dropout off, by their "
            f"number, both axes logarithmic, for {text.listed(names)}.",
            "Mean logits of N sampled subnetworks against the logits with dropout off, relative to their "
            "size. The dashed line falls as 1/√N, as the mean of N independent draws does when its "
            "expectation is what dropout off computes. Bars: 95 % intervals over seeds.",
        )


def _start(found: Inside, name: str) -> float:
    """The distance of a single subnetwork, as the smallest number that was measured tells it."""
    levels = _levels(found, name, SUBNETWORKS, "expectation_error")
    return levels[min(levels)].seeds.mean * float(np.sqrt(min(levels)))


def _subnetworks(found: Inside) -> Figure:
    names = with_dropout(found)
    images = max(values.images for (_, what, *_), values in found.items() if what == SUBNETWORKS)
    with canvas(WIDTH, 3.3) as figure:
        for axes, metric in zip(figure.subplots(1, 3), QUALITY, strict=True):
            factor = 1 if metric == "cross_entropy" else 100
            for name, colour in colours(names).items():
                levels = _estimates(found, name, SUBNETWORKS, metric)
                errorbars(axes, levels, factor, colour, f"{name}: mean of N subnetworks")
                whole = whole_of(found, (name, WHOLE, 0.0, metric)).seeds
                if whole.n:
                    line = axes.axhline(factor * whole.mean, color=colour, linestyle=(0, (3, 2.5)))
                    line.set_label(f"{name}: the whole network, dropout off")
            _samples(axes)
            axes.grid(axis="y")
            title, unit = METRICS[metric].title, "%" if metric == "accuracy" else METRICS[metric].unit
            axes.set_title(f"{title}, {unit}")
        handles = axes.get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper left", ncols=4, fontsize=8.5)
        return finish(
            figure,
            "subnetworks",
            "Accuracy, cross-entropy and calibration error of averages of 1 to "
            f"{max(SAMPLES)} sampled subnetworks, beside the network with dropout off.",
            f"Probabilities of N sampled subnetworks, averaged, on {images:,} test images; dashed: the same "
            "network with dropout off, on the same images. Bars: 95 % intervals over seeds. What seeds "
            "share cancels in differences, so the sentences above say more than overlapping bars do.",
        )


def _redundancy(results: Results, found: Inside) -> Figure:
    names = shown_knockouts(results, found)
    with canvas(0.8 * WIDTH, 3.9) as figure:
        axes = figure.subplots()
        for name, colour in colours(names).items():
            levels = _estimates(found, name, KNOCKED_OUT, "accuracy")
            whole = whole_of(found, (name, WHOLE, 0.0, "accuracy")).seeds
            errorbars(axes, {0.0: whole, **levels}, 100, colour, name, across=100)
        axes.grid(axis="y")
        axes.set_xlabel("hidden units knocked out, %")
        axes.set_ylabel("test accuracy, %")
        legend(axes)
        images = max(values.images for (_, what, *_), values in found.items() if what == KNOCKED_OUT)
        return finish(
            figure,
            "redundancy",
            f"Test accuracy by the share of hidden units that are knocked out, for {text.listed(names)}.",
            "Units of the last hidden layer are set to 0 and nothing is rescaled: the mean of five draws "
            f"of which, on {images:,} test images. Bars: 95 % intervals over seeds. An experiment that "
            "starts lower has less to lose.",
        )


def _levels(found: Inside, name: str, what: str, metric: str) -> dict[float, Values]:
    levels = {key[2]: values for key, values in found.items() if (*key[:2], key[3]) == (name, what, metric)}
    return dict(sorted(levels.items()))


def _estimates(found: Inside, name: str, what: str, metric: str) -> dict[float, Estimate]:
    return {level: values.seeds for level, values in _levels(found, name, what, metric).items()}


def _samples(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(SAMPLES))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("subnetworks N")


def expectation_sentences(results: Results, found: Inside) -> list[str]:
    """How fast the distance falls: the slope of its logarithm, −0.5 for means of independent draws."""
    said = []
    for name in with_dropout(found):
        levels = _levels(found, name, SUBNETWORKS, "expectation_error")
        runs = set.intersection(*(set(values.runs) for values in levels.values()))
        slopes = {}
        for run in sorted(runs):
            errors = np.array([values.runs[run] for values in levels.values()])
            if (errors > 0).all() and len(errors) > 1:
                slopes[run] = float(np.polyfit(np.log(list(levels)), np.log(errors), 1)[0])
        value, first, last = mean_of(slopes), min(levels), max(levels)
        if not value.n:
            continue
        if value.has_interval:
            fits = "includes" if value.low <= -0.5 <= value.high else "excludes"
            fits = f"the 95 % interval {text.interval(value, digits=3)} {fits}"
        else:
            fits = f"{value.why_no_interval}, so nobody can tell whether it differs from"
        said.append(
            f"{name}, {text.count(value.n, 'seed')}: from {first:g} to {last:g} subnetworks the distance "
            f"falls from {text.scientific(levels[first].seeds.mean)} to "
            f"{text.scientific(levels[last].seeds.mean)}. On logarithmic axes its slope is "
            f"{text.points(value.mean, 3)}; {fits} the −0.500 of 1/√N. {_follows(results, name)}"
        )
    return said


def _follows(results: Results, name: str) -> str:
    """What algebra says of the expectation of the logits."""
    layers = results.experiments[name].spec.layers
    after = layers[next(place for place, layer in enumerate(layers) if layer.kind == "dropout") :]
    if any(layer.kind in ("activation", "max_pool") for layer in after):
        return "Layers that are not linear follow dropout, so nothing promises that expectations are kept."
    return (
        "Only linear layers follow dropout, so the claim is exact here whatever was learnt, and this "
        "measures that masks are drawn and scaled as they should be."
    )


def subnetwork_sentences(found: Inside) -> list[str]:
    """The average of most subnetworks, and a single one, minus the whole network, paired by seed."""
    said = []
    for name in with_dropout(found):
        for level in (float(max(SAMPLES)), float(min(SAMPLES))):
            parts = []
            for metric in QUALITY:
                if part := _against_whole(found, name, level, metric):
                    parts.append(part)
            if parts:
                who = "one sampled subnetwork" if level == 1 else f"the mean of {level:g} subnetworks"
                said.append(f"{name}: {who}, minus the same network with dropout off: {'; '.join(parts)}.")
    return said


def _against_whole(found: Inside, name: str, level: float, metric: str) -> str:
    key = (name, SUBNETWORKS, level, metric)
    if key not in found:
        return ""
    unit = METRICS[metric]
    factor = 1 if unit.unit == "nats" else 100
    pairs = differences(whole_of(found, key).runs, found[key].runs)
    value = mean_of({run: factor * change for run, change in pairs.items()})
    if not value.n:
        return ""
    return (
        f"{unit.title.lower()} {unit.signed(value.mean)} {unit.unit} ({unit.interval(value)}, "
        f"{text.count(value.n, 'seed')}), {text.verdict(value)}"
    )


def redundancy_sentences(results: Results, found: Inside) -> list[str]:
    """What knocking out costs the baseline and those with dropout, and how the costs differ."""
    measured = list(dict.fromkeys(name for name, what, *_ in found if what == KNOCKED_OUT))
    told = [name for name in measured if name in {results.baseline, *with_dropout(found)}]
    said = []
    for name in told:
        for share in (share for share in TOLD if share in SHARES):
            lost = _lost(found, name, share)
            value = mean_of(lost)
            if not value.n:
                continue
            change = f"{name}, {100 * share:g} % knocked out: accuracy {_with_interval(value)}"
            more = mean_of(differences(_lost(found, results.baseline, share), lost))
            if name != results.baseline and more.n:
                word = {"higher": "it loses less", "lower": "it loses more"}.get(
                    text.verdict(more), "cannot tell"
                )
                change += f"; minus that of {results.baseline}: {_with_interval(more)}: {word}"
            said.append(f"{change}.")
    if said and len(measured) > len(told):
        said.append(_others(results, found, [name for name in measured if name not in told]))
    return said


def _others(results: Results, found: Inside, names: Sequence[str]) -> str:
    """Who else loses less than the baseline: dropout is not the only way."""
    share = TOLD[-1]
    start = _lost(found, results.baseline, share)
    less = [
        f"{name} by {_with_interval(more)}"
        for name in names
        if text.verdict(more := mean_of(differences(start, _lost(found, name, share)))) == "higher"
    ]
    return (
        f"Without dropout, and with {100 * share:g} % knocked out, {text.count(len(names), 'experiment')} "
        f"were measured too; of these, less than {results.baseline} lose: {text.listed(less)}."
    )


def costs(results: Results, found: Inside) -> Grid:
    """What knocking out costs every experiment, dropout or not, beside what it costs the baseline."""
    groups = []
    for share in TOLD:
        rows = []
        for name in dict.fromkeys(name for name, what, *_ in found if what == KNOCKED_OUT):
            lost = _lost(found, name, share)
            value, more = mean_of(lost), mean_of(differences(_lost(found, results.baseline, share), lost))
            own = text.points(value.mean), text.interval(value), str(value.n)
            other = (text.points(more.mean), text.interval(more), text.verdict(more))
            rows.append((name, *own, *(("", "", "") if name == results.baseline else other)))
        groups.append(Group(f"{100 * share:g} % knocked out", rows=rows))
    columns = (
        "experiment",
        "accuracy, points",
        "95 % interval",
        "n seeds",
        f"minus that of {results.baseline}",
    )
    return Grid((*columns, "95 % interval", "verdict"), 1, groups if groups[0].rows else [])


def _with_interval(value: Estimate) -> str:
    return f"{text.points(value.mean)} points ({text.interval(value)}, {text.count(value.n, 'seed')})"


def _lost(found: Inside, name: str, share: float) -> dict[Runs, float]:
    """{backend and seed: change of accuracy in points}."""
    key = (name, KNOCKED_OUT, share, "accuracy")
    if key not in found:
        return {}
    pairs = differences(whole_of(found, key).runs, found[key].runs)
    return {run: 100 * change for run, change in pairs.items()}


def sections(results: Results, found: Inside) -> Sequence[tuple[str, list[str]]]:
    return [
        ("expectation", expectation_sentences(results, found)),
        ("subnetworks", subnetwork_sentences(found)),
        ("redundancy", redundancy_sentences(results, found)),
    ]
