"""A comparison as one HTML file that works offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from lockstep.compare import words
from lockstep.compare.comparison import Comparison, Pair
from lockstep.compare.contrast import CANNOT_TELL, DIFFERENT, SAME
from lockstep.compare.differences import concerned
from lockstep.compare.figure import forest
from lockstep.compare.metrics import Group as Cells
from lockstep.compare.metrics import Row
from lockstep.report import site, text
from lockstep.report.grids import Grid, Group
from lockstep.report.robustness.bounds import signed
from lockstep.report.runs import Side
from lockstep.report.style import colour
from lockstep.results import write_text

TONES = {SAME: "good", DIFFERENT: "bad", CANNOT_TELL: "unsure"}


def write(found: Comparison, path: Path) -> None:
    figure = forest(found)
    content = {
        "site": (),
        "found": found,
        "headlines": [words.headline(pair) for pair in found.pairs],
        "warnings": [line for pair in found.pairs for line in words.warnings(pair)],
        "chances": list(filter(None, map(words.chance, found.pairs))),
        "rule": words.rule(found),
        "sources": _sources(found),
        "differences": [(pair, _differences(pair)) for pair in found.pairs],
        "accuracy": _metrics(found, ["accuracy"], churn=True),
        "losses": _metrics(found, ["cross_entropy", "calibration_error"]),
        "attacks": _metrics(found, _attacks(found)),
        "figure": figure,
        "drawing": Markup(figure.inline) if figure else "",
        "times": _times(found),
        "remarks": [f"{pair.name}: {line}" for pair in found.pairs for line in pair.remarks],
    }
    write_text(path, site.engine(Path(__file__).parent).get_template("compare.html.j2").render(content))


def _sources(found: Comparison) -> Grid:
    rows = [
        (
            source.label,
            str(source.path),
            text.listed(list(source.timed)) if source.timed else text.NONE,
            f"{len(source.runs):,}",
            f"{source.completed:,}",
        )
        for source in found.sources
    ]
    return Grid(("", "results", "times", "cells", "completed"), 3, [Group(rows=rows)])


def _differences(pair: Pair) -> Grid:
    groups = [
        Group(
            words.title(kind),
            rows=[(row.what, row.first, row.second, concerned(row, pair.first, pair.second)) for row in rows],
        )
        for kind, rows in pair.kinds().items()
        if rows
    ]
    return Grid(("what", pair.first.label, pair.second.label, "where"), 4, groups)


def _attacks(found: Comparison) -> list[str]:
    return list(dict.fromkeys(row.metric for pair in found.pairs for row in pair.metrics if row.attack))


def _metrics(found: Comparison, metrics: Iterable[str], churn: bool = False) -> Grid:
    """A group for each metric, a row for each experiment and backend, columns for each pair."""
    tables = [{(row.metric, row.group): row for row in pair.metrics} for pair in found.pairs]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    columns = ["experiment", "backend", found.sources[0].label]
    for pair in found.pairs:
        columns += [pair.name, "95 % interval", "seeds", "verdict", *(["churn, %"] if churn else [])]
    groups = []
    for metric in metrics:
        rows = []
        for key in (key for key in keys if key[0] == metric):
            mine = [table.get(key) for table in tables]
            first = next(row for row in mine if row)
            cells: list[str] = []
            for pair, row in zip(found.pairs, mine, strict=True):
                cells += _cells(pair, row) if row else [text.NONE] * 4
                if churn:
                    share = row.churn if row else None
                    cells.append(text.NONE if share is None else text.percent(share))
            rows.append(
                (key[1].experiment, _chip(key[1]), signed(words.first(first), first.bounds[0]), *cells)
            )
        if rows:
            groups.append(Group(words.metric(metric), rows=rows))
    return Grid(columns, 2, groups)


def _cells(pair: Pair, row: Row) -> Sequence[str]:
    tone = TONES[pair.verdict(row)]
    settings = Markup(' <em class="differs">other settings</em>') if row.other_settings else ""
    said = words.verdict(pair, row)
    verdict = Markup('<span class="verdict {}">{}</span>{}').format(tone, said, settings)
    difference = signed(words.difference(row), [*row.bounds[0], *row.bounds[1]])
    return difference, words.interval(row), words.seeds(row), verdict


def _chip(cells: Cells) -> Markup:
    """As in a report."""
    label = cells.backend if cells.device == "cpu" else f"{cells.backend} on {cells.device}"
    side = Side(cells.backend, cells.device)
    return Markup('<span class="chip" style="--chip:{}">{}</span>').format(colour(side), label)


def _times(found: Comparison) -> Grid:
    tables = [{(row.timed, row.label, row.backend): row.told for row in pair.times} for pair in found.pairs]
    groups: dict[str, list[Sequence[str]]] = {}
    for key in dict.fromkeys(key for table in tables for key in table):
        timed, label, backend = key
        ratios = (table.get(key, text.NONE) for table in tables)
        groups.setdefault(timed, []).append((label, _chip(Cells("", backend, "cpu")), *ratios))
    columns = ("phase", "backend", *(f"{pair.second.label} / {pair.first.label}" for pair in found.pairs))
    return Grid(columns, 2, [Group(name, rows=rows) for name, rows in groups.items()])
