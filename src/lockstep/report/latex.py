"""The main tables for papers: LaTeX with booktabs, of the same grids as the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

import lockstep
from lockstep.report import grids, text
from lockstep.report.effects import effect_tables
from lockstep.report.grids import Grid, Group
from lockstep.report.robustness import defences, standard
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import Results
from lockstep.report.speed import values
from lockstep.report.speed.timings import Timings
from lockstep.results import write_text

INTERVAL = "95 % interval"
OVER_SEEDS = (
    "In parentheses: the 95 % interval of Student's t over n seeds, which says nothing about other test "
    "images; without them there is none, as n is 1 or all seeds gave the same."
)
OF_IMAGES = (
    "Over images: Wilson's 95 % interval for such a network on other images. ⚠ ≤: an upper bound, as a check "
    "of the attack failed."
)
# Not \{ and \}: BibTeX counts those too.
SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}",
        "[": "{[}",  # after \\ it would start an argument
        "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
        '"': "''", "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "⚠": r"$^{\ast}$", "≤": r"$\leq$",
        "≥": r"$\geq$", "–": "--", "“": "``", "”": "''", "’": "'",
        "\N{NO-BREAK SPACE}": "~", "\N{EM SPACE}": r"\quad{}", "\n": " ",
    }
)  # fmt: skip


class Table(NamedTuple):
    name: str
    grid: Grid
    caption: str


def save(
    results: Results,
    frames: Mapping[str, pd.DataFrame],
    under_attack: Robustness | None,
    timings: Timings | None,
    folder: Path,
) -> list[str]:
    """Write a `.tex` file for each main table that has rows; returns the names of the files."""
    written = []
    made = f"made by Lockstep {lockstep.__version__} from {results.config.path.name}"
    for table in [*_trained(results, frames), *_robust(under_attack), *_timed(timings)]:
        if table.grid.size:
            head = f"% {table.name}.tex: {made}; needs \\usepackage{{booktabs}}\n"
            write_text(folder / f"{table.name}.tex", head + latex(table))
            written.append(f"{table.name}.tex")
    return written


def _trained(results: Results, frames: Mapping[str, pd.DataFrame]) -> Iterable[Table]:
    seeds = f"{text.seeds(results.counts).capitalize()}. {OVER_SEEDS}"
    images = f" of {len(results.first.predictions.labels):,} test images" if results.first else ""
    yield Table(
        "accuracy",
        folded(grids.accuracy(results, frames["accuracy"]), "churn between seeds, %"),
        f"Accuracy{images} after the last epoch: mean over seeds. {seeds}",
    )
    yield Table(
        "differences",
        folded(grids.differences(results, frames["differences"]), "churn between seeds, %"),
        f"Accuracy{images}, backend minus backend, in percentage points: mean of the differences paired by "
        f"seed. {seeds} Churn: the share of test images that the two classify differently.",
    )
    for metric, grid in effect_tables.by_metric(results, frames["effects"]):
        yield Table(
            f"effects_{metric.name}",
            folded(grid, "verdict", "g", f"seeds for ±{metric.precision:g}", "do backends agree?"),
            f"{metric.title}{images}, experiment minus {results.baseline}: mean of the differences paired by "
            f"seed. {metric.explained} {seeds} Parameters and FLOPs are relative to {results.baseline}.",
        )


def _robust(under_attack: Robustness | None) -> Iterable[Table]:
    if under_attack:
        yield Table(
            "robustness",
            folded(defences.grid(under_attack), "verdict"),
            f"Accuracy of {text.count(under_attack.images, 'image')} under attack, by the eps that pixels "
            "in [0, 1] may change: mean over seeds. In the worst case an image survives only if no attack "
            "fools it; the last column is of that, paired by seed. "
            f"{OVER_SEEDS} {OF_IMAGES}",
        )
        yield Table(
            "autoattack",
            folded(standard.grid(under_attack)),
            "Accuracy under AutoAttack, part by part: after each, the share of images that it and those "
            "before it left right; beside it PGD. Fast: APGD on cross-entropy and targeted APGD, with fewer "
            f"steps. {OVER_SEEDS} {OF_IMAGES}",
        )


def _timed(timings: Timings | None) -> Iterable[Table]:
    if timings:
        for timing in timings.usable:
            yield Table(
                f"speed_{'gpu_' * (timing.device == 'gpu')}threads_{timing.threads}",
                values.values(timings, timing),
                f"Times with {timing.label} on {timing.machine}: median of n rounds, and in parentheses the "
                "10 % and 90 % quantiles.",
            )


def folded(grid: Grid, *left_out: str) -> Grid:
    """Intervals in parentheses behind their value; without spreads and the columns `left_out`."""
    names = [_plain(name) for name in grid.columns]
    intervals_of: dict[int, list[int]] = {}
    kept: list[int] = []
    for place, name in enumerate(names):
        if name.startswith(INTERVAL):
            intervals_of.setdefault(kept[-1], []).append(place)
        elif not name.startswith("SD") and name not in left_out:
            kept.append(place)

    def cell(row: Sequence[str], place: int) -> str:
        # What else may stand there says why there is no interval.
        found = {names[at]: _plain(row[at]) for at in intervals_of.get(place, []) if " to " in row[at]}
        said = "; ".join(
            f"{each} {name.removeprefix(INTERVAL).strip(', ')}".strip() for name, each in found.items()
        )
        return f"{_plain(row[place])} ({said})" if said else _plain(row[place])

    groups = [
        Group(group.title, group.note, [[cell(row, place) for place in kept] for row in group.rows])
        for group in grid.groups
    ]
    return Grid([names[place] for place in kept], grid.texts, groups)


def latex(table: Table) -> str:
    """A table environment; every cell is escaped."""
    columns = len(table.grid.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\label{{tab:lockstep-{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{{'l' * table.grid.texts}{'r' * (columns - table.grid.texts)}}}",
        r"\toprule",
        _row(table.grid.columns),
        r"\midrule",
    ]
    for place, group in enumerate(table.grid.groups):
        if place:
            lines.append(r"\addlinespace")
        if group.title:
            title = f"{group.title}: {group.note}" if group.note else group.title
            lines.append(rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{escape(title)}}}}} \\")
        lines += map(_row, group.rows)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(escape(_plain(cell)) for cell in cells) + r" \\"


def escape(value: str) -> str:
    r"""Text for LaTeX and BibTeX: what is special there, and signs that its fonts may lack."""
    return value.translate(SPECIAL)


def _plain(cell: str) -> str:
    return cell.striptags() if isinstance(cell, Markup) else cell
