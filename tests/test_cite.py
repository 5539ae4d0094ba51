"""The citation of runs: what it says of them, and that BibTeX and a person can read it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fake_results import Fake, project
from jinja2 import Environment, FileSystemLoader

import lockstep
from lockstep import provenance
from lockstep.config import Config, load
from lockstep.report import cite, runs
from lockstep.report.cite import Citation
from lockstep.results import write_json

CONFIG = """
results: {root}/results
reports: {root}/reports
backends: [alpha, beta]
seeds: [0, 1]
base:
  model: {{layers: [{{kind: flatten}}, {{kind: dense, units: 10}}]}}
  training: {{epochs: 2}}
experiments: {{plain: {{}}}}
"""
COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    with project(tmp_path, CONFIG) as config:
        yield config


@pytest.fixture
def fake(config: Config) -> Fake:
    """Four runs of one commit."""
    made = Fake(config)
    for backend in ("alpha", "beta"):
        for seed in (0, 1):
            made.write(made.cell("plain", backend, seed), wrong=1)
            change(made, backend, seed, git={"commit": COMMIT, "dirty": False})
            change(made, backend, seed, times={"started": f"203{seed}-05-04T12:00:00+00:00"})
    return made


def repository(folder: Path, *files: str) -> str:
    """A commit of some of a folder's files; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
        subprocess.run([*git, "add", file], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "one"], check=True)
    return subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_commit_is_of_the_repository_that_holds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    commit, stranger = repository(tmp_path / "one", "config/a.yaml"), repository(tmp_path / "two", "x")
    assert commit != stranger
    monkeypatch.chdir(tmp_path / "two")  # where somebody stands does not matter
    assert provenance.git(Path("../one/config/a.yaml")) == {"commit": commit, "dirty": False}
    installed = tmp_path / "one/.venv/lib/lockstep/provenance.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    for unknown in (installed, tmp_path / "one/config/other.yaml", tmp_path / "nowhere/a.yaml"):
        assert provenance.git(unknown) == {"commit": None, "dirty": None}
    (tmp_path / "one/config/a.yaml").write_text("changed")
    assert provenance.git(tmp_path / "one/config/a.yaml") == {"commit": commit, "dirty": True}
    own = Path(provenance.__file__).parent
    known = subprocess.run(["git", "-C", str(own), "rev-parse", "HEAD"], capture_output=True, text=True)
    assert provenance.git()["commit"] == (known.stdout.strip() or None)


def test_the_projects_commit_is_cited_apart_from_locksteps(fake: Fake):
    for backend in ("alpha", "beta"):
        for seed in (0, 1):
            change(fake, backend, seed, project={"commit": OTHER, "dirty": seed == 1})
    found = cited(fake)
    note = fields(found.bibtex)["note"]
    assert f"git commit of Lockstep {COMMIT};" in note
    assert (
        f"git commit of the project {OTHER} (2 runs) and {OTHER} with uncommitted changes (2 runs);" in note
    )
    path = fake.config.path
    assert (
        found.command
        == f"git checkout {OTHER} && snakemake --snakefile LOCKSTEP/Snakefile --configfile {path}"
    )
    assert found.remarks == [
        f"The command is run in the project; LOCKSTEP is a checkout of Lockstep at {COMMIT}.",
        "2 runs had uncommitted changes in the project, which the command does not bring back.",
    ]
    for backend in ("alpha", "beta"):
        for seed in (0, 1):  # the config lies in Lockstep's checkout
            change(fake, backend, seed, project={"commit": COMMIT, "dirty": False})
    assert "of the project" not in cited(fake).bibtex
    assert cited(fake).command.endswith("make reproduce")


def change(fake: Fake, backend: str, seed: int, **part: object) -> None:
    path = fake.config.folder(fake.cell("plain", backend, seed)) / "provenance.json"
    write_json(path, json.loads(path.read_text()) | part)


def cited(fake: Fake) -> Citation:
    found = cite.citation(runs.read(fake.config))
    assert found
    return found


def fields(bibtex: str) -> dict[str, str]:
    """{field: value} of one entry, read by counting braces as BibTeX does."""
    head = re.match(r"@misc\{([A-Za-z0-9-]+),\n", bibtex)
    assert head
    rest, found = bibtex[head.end() :], {}
    while start := re.match(r"\s*(\w+) = \{", rest):
        depth, place = 1, start.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(rest[place], 0)
            place += 1
        found[start[1]] = " ".join(rest[start.end() : place - 1].split())
        assert rest[place] == ","
        rest = rest[place + 1 :]
    assert rest == "\n}"
    return {"key": head[1], **found}


def test_it_says_what_the_runs_were_made_of(fake: Fake):
    found, entry = cited(fake), fields(cited(fake).bibtex)
    digest = hashlib.sha256(fake.config.path.read_bytes()).hexdigest()
    assert entry["key"] == "lockstep-config-2031-05-04"
    assert entry["year"] == "2031"
    assert entry["author"] == "{The Lockstep maintainers}"
    assert entry["title"].startswith("{Lockstep: one CNN spec, every backend, step for step. Runs of ")
    for part in (
        f"git commit of Lockstep {COMMIT};",
        "4 training runs on alpha and beta;",
        f"config SHA-256 {digest};",
    ):
        assert part in entry["note"]
    for part in ("harness h;", f"data mnist-5k, SHA-256 {'d' * 64};", "numpy 2"):
        assert part in entry["note"]
    assert found.sentence.startswith("The Lockstep maintainers (2031). Lockstep: one CNN spec")
    assert f"git commit of Lockstep {COMMIT[:12]};" in found.sentence
    assert f"config SHA-256 {digest[:12]}." in found.sentence
    assert found.command == f"git checkout {COMMIT} && CONFIG={fake.config.path} make reproduce"
    assert found.remarks == []


def test_several_commits_and_uncommitted_changes_are_said(fake: Fake):
    change(fake, "beta", 1, git={"commit": OTHER, "dirty": True})
    found = cited(fake)
    expected = f"git commit of Lockstep {COMMIT} (3 runs) and {OTHER} with uncommitted changes (1 run);"
    assert expected in fields(found.bibtex)["note"]
    assert found.command.startswith(f"git checkout {COMMIT} && ")
    assert found.remarks == [
        "The runs are of several states of the code; the harness is the same at all of them. "
        "The command names the commonest.",
        "1 run had uncommitted changes, which the command does not bring back.",
    ]


def test_runs_without_a_commit_or_a_date(fake: Fake):
    for backend in ("alpha", "beta"):
        for seed in (0, 1):
            change(fake, backend, seed, git={"commit": None, "dirty": None}, times={})
    found = cited(fake)
    entry = fields(found.bibtex)
    assert "git commit of Lockstep not recorded;" in entry["note"]
    assert "year" not in entry
    assert found.sentence.startswith("The Lockstep maintainers. Lockstep")
    assert found.command == f"CONFIG={fake.config.path} make reproduce"
    assert found.remarks == ["4 runs had no git checkout of Lockstep: version and harness name the code."]


def test_a_selection_of_backends_is_made_again(fake: Fake):
    chosen = Fake(load(fake.config.path, ["beta"]))
    assert cited(chosen).command.endswith(f"&& CONFIG={fake.config.path} BACKENDS=beta make reproduce")


def test_special_characters_are_escaped(tmp_path: Path):
    with project(tmp_path / "50 % of it_all & $more", CONFIG) as config:
        fake = Fake(config)
        fake.write(fake.cell("plain", "alpha", 0), wrong=1)
        found = cited(fake)
    assert r"50 \% of it\_all \& \$more" in fields(found.bibtex)["title"]
    assert f"CONFIG='{config.path}' make" in found.command


def test_without_results_there_is_nothing_to_cite(config: Config):
    assert cite.citation(runs.read(config)) is None
    assert "nothing to cite" in rendered(None)


def rendered(citation: Citation | None) -> str:
    folder = FileSystemLoader(Path(cite.__file__).parent)
    engine = Environment(loader=folder, autoescape=True)
    return engine.from_string('{% from "cite.html.j2" import cite %}{{ cite(citation) }}').render(
        citation=citation
    )


def test_the_fragment_shows_each_text_with_a_button(fake: Fake):
    found = cited(fake)
    page = rendered(found._replace(sentence="<b>a & b</b>", remarks=["<i>mixed</i>"]))
    assert found.bibtex in page
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in page
    assert "&lt;i&gt;mixed&lt;/i&gt;" in page
    shown = re.findall(r'<pre id="([^"]+)"', page)
    assert shown == re.findall(r'data-copies="([^"]+)"', page)
    assert len(shown) == 3
    assert "http" not in page


def test_the_software_is_citable():
    """The fields that the Citation File Format 1.2.0 demands, and our version."""
    software = yaml.safe_load(Path("CITATION.cff").read_text())
    assert {"authors", "cff-version", "message", "title"} <= software.keys()
    assert software["cff-version"] == "1.2.0"
    assert software["version"] == lockstep.__version__
    assert software["type"] in ("software", "dataset")
    assert all(author.get("name") or author.get("family-names") for author in software["authors"])
