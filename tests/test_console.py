"""What commands print: names of people and files as they are, on terminals of any encoding."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fake_results import Fake, project
from rich.progress import Progress
from rich.table import Table

from lockstep.cli import app
from lockstep.config import Config
from lockstep.console import Console, spell_what_is_lacking
from lockstep.errors import LockstepError, one_line
from lockstep.progress import WHAT

NAMES = ["run[red].zip", "[/z]", "[bold]x[/bold]", "a[link=b]", ":smile:", "[1, 2]", "1 True /x", "\\[red]"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_markup_wherever_it_is_printed(name: str):
    said = io.StringIO()
    console = Console(file=said, width=100, force_terminal=True)
    plain = dict.fromkeys(("title_style", "caption_style", "header_style"), "none")
    table = Table(name, title=name, caption=name, **plain)
    table.add_row(name)
    console.print(table)
    console.print(name)
    assert said.getvalue().count(name) == 5
    assert "\x1b" not in said.getvalue()
    with Progress(WHAT, console=console, auto_refresh=False) as bar:
        bar.add_task(name)
    assert said.getvalue().count(name) > 5


def test_there_is_one_console():
    """Rich's own would read markup."""
    modules = {
        path.name for path in Path("src/lockstep").rglob("*.py") if "rich.console" in path.read_text("utf-8")
    }
    assert modules == {"console.py"}


def test_what_would_steer_a_terminal_is_shown():
    said = io.StringIO()
    Console(file=said).print("a\x1b[2Jb\x9bc")
    assert said.getvalue() == "a\\x1b[2Jb\\x9bc\n"
    assert one_line(LockstepError("a\x1b[2Jb\nc")) == "a\\x1b[2Jb c"


CONFIG = """\
results: r\N{LATIN SMALL LETTER E WITH ACUTE}s
reports: reports
backends: [alpha, beta, ghost]
seeds: [0, 1]
base:
  model: {{layers: [{{kind: flatten}}, {{kind: dense, units: 10}}]}}
  training: {{epochs: 2}}
experiments:
  plain: {{}}
"""
CLAIMS = (
    "claims: [{kind: consistent, claim: \N{GREEK SMALL LETTER EPSILON} is small, catches: a large one}]\n"
)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """Four runs, and names that ASCII lacks."""
    with project(tmp_path / "h\xe4us", CONFIG) as config:
        fake = Fake(config)
        for backend, seed in (("alpha", 0), ("alpha", 1), ("beta", 0), ("beta", 1)):
            fake.write(fake.cell("plain", backend, seed), wrong=1 + seed)
        fake.fail(fake.cell("plain", "ghost", 0))
        (tmp_path / "h\xe4us/claims.yaml").write_text(CLAIMS, encoding="utf-8")
        yield config


COMMANDS = {
    "summary": "85.00 +/- 7.07",
    "plan": "MB of results in r\\xe9s",
    "spec": "trainable parameters",
    "bundle --to \xfc.zip": "\\xfc.zip: ",
    "bundle --to run[red][/z].zip": " run[red][/z].zip: ",
    "check --claims claims.yaml": "\\u03b5 is small",
    "compare r\xe9s h\xf6f": "+/-0.5 points",
    "new-backend mine --to \xfc": "\\xfc/mine: a backend that runs as it is",
}


@pytest.mark.parametrize(("command", "says"), COMMANDS.items(), ids=map(ascii, COMMANDS))
def test_a_command_spells_what_its_terminal_lacks(config: Config, monkeypatch, command: str, says: str):
    if "compare" in command:
        Path("h\xf6f").symlink_to("r\xe9s")
    name, *options = command.split()
    if name in ("summary", "plan", "spec", "bundle", "check"):
        options += ["--config", str(config.path)]
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, encoding="ascii", write_through=True))
    spell_what_is_lacking()
    with suppress(SystemExit):
        app([name, *options])
    assert says in " ".join(said.getvalue().decode("ascii").split())


def program(*arguments: str, encoding: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "lockstep", *arguments]
    return subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding})


@pytest.mark.parametrize(
    ("name", "encoding", "shown"),
    [
        ("\xfc.yaml", "ascii", "\\xfc.yaml"),
        ("\xfc.yaml", "utf-8", "\xfc.yaml"),
        (os.fsdecode(b"no\xff.yaml"), "utf-8", "no\\udcff.yaml"),  # bytes that are no text in UTF-8
    ],
    ids=ascii,
)
def test_the_program_spells_in_its_output(config: Config, name: str, encoding: str, shown: str):
    config.path.rename(config.path.with_name(name))
    done = program("plan", "--config", name, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).startswith(f"{shown}: 6 cells")


def test_the_program_spells_in_its_errors(config: Config):
    done = program("attack", "\xfc\x1b", encoding="ascii")
    assert done.returncode == 1
    assert done.stderr.decode("ascii").startswith("lockstep: \\xfc\\x1b: not a finished cell")
    assert len(done.stderr.splitlines()) == 1


def test_a_name_that_cannot_be_written_is_told():
    """Python takes UTF-8 in the locale C; somebody may have told it not to."""
    locale = UnicodeEncodeError("ascii", "r\xe9s/x", 1, 2, "ordinal not in range(128)")
    assert one_line(locale).startswith("'r\\xe9s/x': cannot be written in ascii; set PYTHONUTF8=1 in the env")
    page = UnicodeEncodeError(
        "utf-8", "x" * 1000 + "\udcff" + "y" * 1000, 1000, 1001, "surrogates not allowed"
    )
    assert one_line(page).startswith(f"'{'x' * 20}\\udcff{'y' * 20}': cannot be written in utf-8; rename ")
