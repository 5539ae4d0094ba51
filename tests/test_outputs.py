"""What a command writes replaces nothing that is of another kind, and no default replaces anything."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_results import Fake, project
from typer.testing import CliRunner

from lockstep import bundle, outputs
from lockstep.check import reference
from lockstep.cli import app
from lockstep.config import Config
from lockstep.errors import LockstepError
from lockstep.report import folder
from lockstep.results import write_text

CONFIG = """\
results: results/mine
reports: reports/mine
backends: [alpha, beta]
seeds: [0]
base:
  model: {{layers: [{{kind: flatten}}, {{kind: dense, units: 10}}]}}
  training: {{epochs: 2}}
experiments: {{plain: {{}}}}
"""
NOT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is locked for root")
CELL = "results/mine/cells/plain/alpha/cpu/seed-0"


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """Two finished runs, and files that somebody would miss."""
    with project(tmp_path, CONFIG) as config:
        fake = Fake(config)
        for backend in config.backends:
            fake.write(fake.cell("plain", backend, 0), wrong=1)
        Path("notes.json").write_text('{"schema": 1, "mine": true}')
        Path("logo.svg").write_text("<svg/>")
        yield config


def files() -> dict[Path, bytes]:
    """What is there; locks and the like of the program's own aside."""
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.suffix != ".pyc"}


@pytest.mark.parametrize(
    "command",
    [
        "bundle --config config.yaml --to config.yaml",
        "bundle --config config.yaml --to notes.json",
        "check --config config.yaml --json config.yaml",
        "check --config config.yaml --json notes.json",
        f"compare results/mine results/mine --json {CELL}/metrics.json",
        "compare results/mine results/mine --html logo.svg",
        "verify numpy --json notes.json",
        "verify numpy --badge logo.svg",
        "verify numpy --badge notes.json",
        "time numpy --config config.yaml --json config.yaml",
        f"attack {CELL} --json {CELL}/provenance.json",
        "reference --config config.yaml --to notes.json",
        f"export {CELL} --to npz --out {CELL}/weights.npz",
        "report --config config.yaml --to results/mine",
        "report --config config.yaml --to .",
        "report --config config.yaml --to config.yaml",
    ],
)
def test_what_is_not_of_the_kind_is_not_overwritten(config: Config, command: str):
    before = files()
    with pytest.raises(LockstepError, match=r"is there already|nothing is overwritten|a file; name a folder"):
        CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert files() == before


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("results", "results: a folder; name a file"),
        ("config.yaml/a.json", "Not a directory; name another"),
        ("/proc/a.json", "cannot be written in /proc: "),
        pytest.param("locked/new/a.json", "Permission denied", marks=NOT_ROOT),
    ],
)
def test_where_nothing_can_be_written_is_told_before_the_work(config: Config, path: str, message: str):
    Path("locked").mkdir(mode=0o500)
    with pytest.raises(LockstepError, match=re.escape(message)):
        outputs.require(Path(path), outputs.json_with("of a kind", "key"))


def test_a_device_may_be_named():
    outputs.require(Path("/dev/null"), outputs.json_with("of a kind", "key"))


def made(config: Config) -> None:
    """A report, of one page."""
    with folder.held(config, "a hash"):
        write_text(config.reports / "index.html", f"<footer>{config.bundle}")


def refused(*arguments: str) -> str:
    """The error of `lockstep report`, which left all files as they were."""
    before = files()
    with pytest.raises(LockstepError) as error:
        CliRunner().invoke(app, ["report", *arguments], catch_exceptions=False)
    assert files() == before
    return str(error.value)


@pytest.fixture
def small(config: Config) -> Path:
    """A bundle of the config's results."""
    bundle.write(config, Path("small.zip"))
    return Path("small.zip")


def test_a_bundles_report_replaces_that_bundles_report_alone(config: Config, small: Path):
    with bundle.opened(small) as inside:
        ours = replace(inside, reports=config.path.parent / "reports/small")
        made(ours)
        folder.require_free(ours, asked_for=False)
    Fake(config).write(config.cell("plain", "beta", "cpu", 0), wrong=2)
    Path("other").mkdir()
    bundle.write(config, Path("other/small.zip"))
    assert "reports/small: holds the report of the bundle " in refused("other/small.zip")
    with bundle.opened(Path("other/small.zip")) as theirs:
        folder.require_free(replace(theirs, reports=ours.reports), asked_for=True)  # told so


def test_a_bundles_report_does_not_go_where_a_config_keeps_its_own(config: Config, small: Path):
    small = small.rename("mine.zip")
    Path("config").mkdir()
    owner = Path("config/mine.yaml")
    shutil.copy("config.yaml", owner)
    named = f"{owner} keeps its results or report in reports/mine; name another folder with --to"
    assert refused("mine.zip") == f"reports/mine: {named}", "which is not made yet"
    made(config)
    assert refused("mine.zip") == f"reports/mine: {named}"
    owner.unlink()  # its config is elsewhere
    assert "holds the report of the config " in refused("mine.zip")
    (config.reports / folder.ABOUT).unlink()
    assert "holds other files than those of a report" in refused("mine.zip")
    owner.write_text("reports: reports")
    assert f"{owner} keeps its results or report in reports;" in refused("mine.zip")


def test_a_configs_report_does_not_replace_a_bundles(config: Config, small: Path):
    with bundle.opened(small) as inside:
        made(replace(inside, reports=config.path.parent / "reports/mine"))
    assert "reports/mine: holds the report of the bundle " in refused("--config", "config.yaml")
    moved = replace(config, path=Path("renamed.yaml"))
    shutil.rmtree(config.reports)
    made(config)
    folder.require_free(moved, asked_for=False)


def test_a_report_of_an_earlier_version_is_known_by_its_pages(config: Config):
    write_text(config.reports / "speed.html", "<footer>Built today by Lockstep.</footer>")
    folder.require_free(config, asked_for=False)


def test_a_configs_folder_may_hold_what_a_report_does_not_write(config: Config):
    write_text(config.reports / ".gitignore", "*")
    write_text(config.reports / "another/index.html", "of another config")
    folder.require_free(config, asked_for=False)
    write_text(config.reports / "index.html", "a page of mine")
    with pytest.raises(LockstepError, match="holds other files than those of a report"):
        folder.require_free(config, asked_for=False)


def test_a_default_name_replaces_nothing(config: Config):
    Path("mine.zip").write_text("a colleague's")
    with pytest.raises(LockstepError, match=r"mine\.zip: is there already; --to mine\.zip replaces it"):
        CliRunner().invoke(app, ["bundle", "--config", "config.yaml"], catch_exceptions=False)
    write_text(Path("results/reference/mine.json"), reference_of("other.yaml"))
    with pytest.raises(LockstepError, match=r"mine\.json: is the reference of other\.yaml; name another"):
        reference.place(config)


def reference_of(config: str) -> str:
    made = {"config": config, "date": "", "commits": [], "harness": "", "machines": [], "backends": {}}
    trained = {"settings": {}, "data": "", "test": None, "attacks": None, "runs": {}}
    return json.dumps({"schema": 1, "made": made, "experiments": {"plain": trained}})
