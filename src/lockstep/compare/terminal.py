"""A comparison in a terminal: what differs first, then metrics, then times."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from lockstep.compare import words
from lockstep.compare.comparison import Comparison, Pair
from lockstep.compare.contrast import CANNOT_TELL, DIFFERENT, SAME
from lockstep.compare.differences import concerned
from lockstep.compare.metrics import Group, Row
from lockstep.console import Console
from lockstep.report import text

STYLES = {SAME: "green", DIFFERENT: "bold red", CANNOT_TELL: "yellow"}
LINES = 60
"""Of the table of metrics; of more, those with a difference are shown."""


def show(found: Comparison, console: Console) -> None:
    for source in found.sources:
        parts = (
            [f"{source.completed} of {text.count(len(source.runs), 'cell')} completed"] if source.runs else []
        )
        parts += [f"times of {text.listed(list(source.timed))}"] if source.timed else []
        console.print(f"{source.label}: {source.path}: {'; '.join(parts)}")
    for pair in found.pairs:
        console.print()
        console.print(words.headline(pair), style="bold")
        if pair.differences:
            console.print(_differences(pair))
    for pair in found.pairs:
        for line in words.warnings(pair):
            console.print(f"warning: {line}", style="bold yellow")
    if any(pair.metrics for pair in found.pairs):
        console.print()
        _metrics(found, console)
    _times(found, console)


def _differences(pair: Pair) -> Table:
    table = Table("", "what", pair.first.label, pair.second.label, "where")
    table.columns[1].no_wrap = True
    for column in table.columns[2:]:
        column.overflow = "fold"
    for kind, rows in pair.kinds().items():
        title = words.title(kind)
        for row in rows:
            where = concerned(row, pair.first, pair.second)
            table.add_row(title, row.what, row.first, row.second, where)
            title = ""
        if rows:
            table.add_section()
    return table


def _metrics(found: Comparison, console: Console) -> None:
    """Test accuracies of all, and of other metrics the differences; the rest as counts."""
    table = Table("experiment", "backend", "metric", found.sources[0].label)
    for pair in found.pairs:
        table.add_column(f"{pair.name} (95 % interval)")
    rows = [{(row.group, row.metric): row for row in pair.metrics} for pair in found.pairs]
    keys = list(dict.fromkeys(key for mine in rows for key in mine))
    different = {
        key for pair, mine in zip(found.pairs, rows, strict=True) for key, row in mine.items()
        if pair.verdict(row) == DIFFERENT
    }  # fmt: skip
    shown = [key for key in keys if key in different or key[1] == "accuracy"]
    if len(shown) > LINES:
        shown = [key for key in shown if key in different][:LINES]
    for group, metric in shown:
        mine = [each.get((group, metric)) for each in rows]
        first = next(row for row in mine if row)
        cells = [_cell(pair, row) for pair, row in zip(found.pairs, mine, strict=True)]
        table.add_row(
            group.experiment,
            _side(group),
            words.metric(metric),
            words.first(first),
            *cells,
        )
    if shown:
        console.print(table)
    for pair in found.pairs:
        for metric, counts in pair.counts.items():
            name = words.METRICS.get(metric, metric).partition(",")[0]
            console.print(f"{pair.name}: {name}: {words.verdicts(counts)}")
        if line := words.chance(pair):
            console.print(line)
    if left := len(keys) - len(shown):
        console.print(f"{text.count(left, 'row')} more: --html and --json have all")
    console.print(words.rule(found))


def _side(group: Group) -> str:
    return group.backend if group.device == "cpu" else f"{group.backend} on {group.device}"


def _cell(pair: Pair, row: Row | None) -> Text:
    if row is None:
        return Text("not in both")
    settings = " (other settings)" if row.other_settings else ""
    spread = "" if row.contrast.identical else f" ({words.interval(row)})"
    sign = "⚠ " if any(row.bounds) else ""
    numbers = f"{sign}{words.difference(row)}{spread}, {words.seeds(row)}: "
    return Text(numbers).append(words.verdict(pair, row), STYLES[pair.verdict(row)]).append(settings)


def _times(found: Comparison, console: Console) -> None:
    """Whole epochs; the page has the other phases."""
    table = Table(
        "times", "backend", title="Whole epochs, images/s, as a ratio (95 % interval)", title_justify="left"
    )
    for pair in found.pairs:
        table.add_column(f"{pair.second.label} / {pair.first.label}")
    rows = [{(row.timed, row.backend): row for row in pair.times if row.is_epochs} for pair in found.pairs]
    for key in dict.fromkeys(key for mine in rows for key in mine):
        table.add_row(*key, *(mine[key].told if key in mine else "" for mine in rows))
    if table.row_count:
        console.print(table)
    for pair in found.pairs:
        for line in pair.remarks:
            console.print(f"{pair.name}: {line}", style="yellow")
