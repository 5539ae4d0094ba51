"""Tables for papers: what LaTeX would stumble over, and the numbers of the CSV files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_results import Fake, project
from markupsafe import Markup

from lockstep.config import Config
from lockstep.report import latex, runs, tables
from lockstep.report.grids import Grid, Group
from lockstep.report.latex import Table, escape, folded
from lockstep.report.robustness import attacked

CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [alpha, beta]
seeds: [0, 1, 2]
base:
  model: {{layers: [{{kind: flatten}}, {{kind: dense, units: 10}}]}}
  training: {{epochs: 2}}
experiments:
  plain_one: {{}}
  smooth: {{regularisation: {{label_smoothing: 0.1}}}}
attacks: {{eps: [0.1, 0.2]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    with project(tmp_path, CONFIG) as config:
        yield config


@pytest.fixture
def written(config: Config, tmp_path: Path) -> dict[str, str]:
    """{name: content} of accuracies 0.9, 0.8, 0.7 and more, attacked."""
    fake = Fake(config)
    for seed in (0, 1, 2):
        fake.write(fake.cell("plain_one", "alpha", seed), wrong=1 + seed)
        fake.write(fake.cell("plain_one", "beta", seed), wrong=1 + seed)
    fake.write(fake.cell("smooth", "alpha", 0), wrong=2)
    for seed in (0, 1):
        fake.attack(fake.cell("plain_one", "alpha", seed), {"pgd": 0.5 + seed / 10})
    results = runs.read(config)
    latex.save(results, tables.build(results), attacked.read(results), None, tmp_path / "tex")
    return {path.stem: path.read_text() for path in (tmp_path / "tex").iterdir()}


def body(content: str) -> list[str]:
    """The lines between the rules."""
    return re.split(r"\\(?:top|mid|bottom)rule\n", content)[2].splitlines()


def test_every_table_is_well_formed(written: dict[str, str]):
    assert set(written) == {
        "accuracy", "differences", "effects_accuracy", "effects_cross_entropy", "effects_calibration_error",
        "effects_convergence", "robustness", "autoattack",
    }  # fmt: skip
    for name, content in written.items():
        assert content.startswith(f"% {name}.tex: made by Lockstep")
        content = content.partition("\n")[2]
        opened = re.findall(r"\\begin\{(\w+)\}", content)
        assert opened == ["table", "tabular"]
        assert re.findall(r"\\end\{(\w+)\}", content) == opened[::-1]
        assert re.findall(r"\\(\w+)rule", content) == ["top", "mid", "bottom"]
        columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", content)[1])
        rows = [line for line in content.splitlines() if line.endswith(r"\\")]
        for row in rows:
            spanned = re.match(r"\\multicolumn\{(\d+)\}\{l\}\{", row)
            assert (int(spanned[1]) if spanned else len(re.findall(r"(?<!\\)&", row)) + 1) == columns
        assert len(rows) > 1
        plain = re.sub(r"\\[\\{}&%$#_]", "", content)
        assert plain.count("{") == plain.count("}")
        assert plain.count("$") % 2 == 0
        assert not re.search(r"[%#~]|\^(?!\{\\ast\}\$)", plain)
        assert content.isascii()
        assert rf"\label{{tab:lockstep-{name.replace('_', '-')}}}" in content
        assert "95 \\% interval" in content  # each caption says what stands in parentheses


def test_numbers_are_those_of_the_tables(written: dict[str, str]):
    half = 4.302652729911275 * 0.1 / 3**0.5
    low, high = 100 * (0.8 - half), 100 * (0.8 + half)
    assert rf"alpha & 80.00 ({low:.2f} to {high:.2f}) & 3 & " in written["accuracy"]
    assert r"\emph{plain\_one: 7,850 parameters, 0.02 MFLOP an image}" in written["accuracy"]
    assert "of 10 test images" in written["accuracy"]
    # One seed, and all the same: no interval, and n says why.
    assert "alpha & 80.00 & 1 & " in written["accuracy"]
    assert r"beta $-$ alpha & 0.00 & 3 & cannot tell & 0.00 \\" in body(written["differences"])
    assert "smooth & alpha & $-$10.00 &  & 1 & " in written["effects_accuracy"]
    # 0.5 and 0.6 under PGD, whatever eps is: what APGD leaves beside that cannot be the last word.
    first, second = (row for row in body(written["robustness"]) if row.startswith(r"plain\_one"))
    assert r" & 55.0 & $^{\ast}$ $\leq$ 90.0 & " in first
    assert first.endswith(r" 90.0 (59.6 to 98.2 over images) & 2 &  \\")
    assert r" & 55.0 & " in second


def test_folding_keeps_what_an_interval_is_of():
    grid = Grid(
        (
            "who",
            "mean, %",
            "SD",
            "95 % interval, over images",
            "95 % interval, over seeds",
            "n seeds",
            "change",
            "95 % interval",
            "verdict",
        ),
        1,
        [
            Group(
                "g",
                rows=[
                    (Markup("<b>a</b> &amp; b"), "1", "2", "0 to 3", "0 to 2", "3", "−4", "−5 to −3", "v"),
                    ("c", "1", "2", "0 to 3", "n = 1: no interval", "1", "−4", "n = 1: no interval", "v"),
                ],
            )
        ],
    )
    found = folded(grid, "verdict")
    assert found.columns == ["who", "mean, %", "n seeds", "change"]
    assert found.groups[0].rows == [
        ["a & b", "1 (0 to 3 over images; 0 to 2 over seeds)", "3", "−4 (−5 to −3)"],
        ["c", "1 (0 to 3 over images)", "1", "−4"],
    ]
    assert found.texts == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 50 % #1 $x", r"a\_b \& 50 \% \#1 \$x"),
        ("−0.5 ± 2, ×3", r"$-$0.5 $\pm$ 2, $\times$3"),
        (r"\in{x}", r"\textbackslash{}in\textbraceleft{}x\textbraceright{}"),
        ("~^<>", r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}"),
        ("[0, 1]", "{[}0, 1]"),
        ("a\nb", "a b"),
    ],
)  # fmt: skip
def test_escaping(text: str, expected: str):
    assert escape(text) == expected


def test_a_name_cannot_leave_its_cell():
    grid = Grid(("a", "b"), 1, [Group(r"\end{tabular}", rows=[(r"x & y \\", "1 % 2")])])
    content = latex.latex(Table("t", grid, "{caption}"))
    assert content.count(r"\end{tabular}") == 1
    assert r"x \& y \textbackslash{}\textbackslash{} & 1 \% 2 \\" in content
    assert r"\caption{\textbraceleft{}caption\textbraceright{}}" in content
