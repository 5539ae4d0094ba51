"""A bundle: the same results come out as went in, a report is built from it, and what is none is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_results import Fake, plain, project, write_images
from typer.testing import CliRunner

from lockstep import bundle, bundle_names, discovery
from lockstep.check import reference
from lockstep.cli import app
from lockstep.config import Config, load
from lockstep.errors import LockstepError
from lockstep.report import cite, claims, runs, tables

CONFIG = """\
# Bytes as they are:\ttabs, \N{GREEK SMALL LETTER EPSILON} and all.
results: {root}/results
reports: {root}/reports
backends: BACKENDS
seeds: [0, 1]
base:
  model: {{layers: [{{kind: flatten}}, {{kind: dense, units: 10}}]}}
  training: {{epochs: 2}}
experiments:
  plain: {{}}
"""


@pytest.fixture
def backends() -> str:
    return "[alpha, beta, ghost]"


@pytest.fixture
def config(backends: str, tmp_path: Path) -> Iterator[Config]:
    """Three backends in a folder of their own; nothing has been run."""
    with project(tmp_path / "here", CONFIG.replace("BACKENDS", backends)) as config:
        yield config


@pytest.fixture
def made(config: Config, tmp_path: Path) -> Path:
    """A bundle of four runs of two backends, with a report and images."""
    fake = Fake(config)
    for seed in (0, 1):
        fake.write(fake.cell("plain", "alpha", seed), wrong=1)
        fake.write(fake.cell("plain", "beta", seed), wrong=1 + seed)
    write_images(config, np.zeros((10, 28, 28, 1), np.uint8))
    for name in ("logs/train/a.log", ".work/b.npz", "data/.c.lock", "cells/.d.tmp"):
        (config.results / name).parent.mkdir(parents=True, exist_ok=True)
        (config.results / name).write_text("not for others")
    config.reports.mkdir()
    (config.reports / "index.html").write_text("<p>a report</p>")
    tables.save(tables.build(runs.read(config)), config.reports / "tables")
    path = tmp_path / "fake.zip"
    bundle.write(config, path)
    return path


@pytest.fixture
def elsewhere(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The bundle alone on another machine, where one of its backends is not found and a foreign one is."""
    (tmp_path / "here").rename(tmp_path / "gone")
    there = tmp_path / "there"
    for name in ("alpha", "stranger"):
        shutil.copytree(tmp_path / "gone/backends/alpha", there / "backends" / name)
    monkeypatch.chdir(there)
    discovery.plugins.cache_clear()
    yield there
    discovery.plugins.cache_clear()


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_what_goes_in_comes_out(config: Config, made: Path):
    with bundle.unpacked(made) as folder:
        about = json.loads((folder / "bundle.json").read_text())
        assert (folder / "config.yaml").read_bytes() == config.path.read_bytes()
        left = {"logs/train/a.log", ".work/b.npz", "data/.c.lock", "cells/.d.tmp"}
        expected = {name: digest for name, digest in digests(config.results).items() if name not in left}
        assert digests(folder / "results") == expected
        assert digests(folder / "reports") == digests(config.reports)
        found = {name: digest for name, digest in digests(folder).items() if name != "bundle.json"}
        assert {name: file["sha256"] for name, file in about["files"].items()} == found
    assert not folder.exists()
    assert about["cells"] == 3 * 2
    assert about["outcomes"] == {"completed": 4, "not installed": 2}
    assert about["git"] == [{"commit": "abc", "dirty": False, "cells": 4}]
    assert about["config"]["sha256"] == hashlib.sha256(config.path.read_bytes()).hexdigest()


def test_the_same_results_give_the_same_bytes(config: Config, made: Path, tmp_path: Path):
    again = tmp_path / "again.zip"
    bundle.write(config, again)
    with zipfile.ZipFile(made) as first, zipfile.ZipFile(again) as second:
        for one, other in zip(first.infolist(), second.infolist(), strict=True):
            assert (one.filename, one.date_time, one.compress_type) == (
                other.filename, other.date_time, other.compress_type
            )  # fmt: skip
            if one.filename != "bundle.json":
                assert (one.CRC, one.compress_size) == (other.CRC, other.compress_size)
        stored = {info.filename for info in first.infolist() if info.compress_type == zipfile.ZIP_STORED}
    assert "results/cells/plain/alpha/cpu/seed-0/weights.npz" in stored
    assert "results/data/mnist-5k/images.npy" not in stored


@pytest.mark.parametrize("backends", ["[alpha, beta, ghost]", "[alpha, beta]", "all"])
def test_the_config_of_a_zip_is_read_where_a_backend_is_not_found(elsewhere: Path, made: Path):
    with bundle.opened(made) as config:
        seed_1 = [run for run in runs.read(config).runs if run.usable and run.cell.seed == 1]
        assert {run.side.backend: run.test("accuracy") for run in seed_1} == {"alpha": 0.9, "beta": 0.8}
        assert "stranger" not in config.backends
    assert Path.cwd() == elsewhere
    assert list(discovery.plugins()) == ["numpy", "alpha", "stranger"]


def test_a_report_is_built_from_the_zip_alone(elsewhere: Path, made: Path):
    ran = CliRunner().invoke(app, ["report", str(made)], catch_exceptions=False)
    assert ran.exit_code == 0
    assert f"{elsewhere}/reports/fake/index.html" in ran.stdout
    new, old = elsewhere / "reports/fake", elsewhere.parent / "gone/reports"
    for name in ("accuracy", "differences", "history"):
        pd.testing.assert_frame_equal(
            pd.read_csv(new / f"tables/{name}.csv"), pd.read_csv(old / f"tables/{name}.csv")
        )
    page = plain(new / "index.html")
    assert "4 of 6 training runs completed" in page
    assert "stranger" not in page
    assert "cannot be read here" not in page  # its images came along
    assert "lockstep-" not in page  # no path of the temporary folder


def test_a_summary_of_the_zip_names_the_command_that_builds_the_report(elsewhere: Path, made: Path):
    ran = CliRunner().invoke(app, ["summary", str(made)], catch_exceptions=False)
    assert f"No report yet: lockstep report {made}" in ran.stdout
    assert "85.00 ± 7.07" in ran.stdout


CLAIMS = """\
claims:
  - {kind: consistent, claim: Metrics are what the logits say, catches: edits}
  - {kind: bound, claim: It learns, catches: none, reference: own, experiment: plain, measure: accuracy,
     at_least: 50}
"""


def test_a_report_from_a_zip_names_the_config_and_judges_the_claims_as_in_the_checkout(
    config: Config, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, content in {"config/fake.yaml": config.path.read_text(), "docs/claims.yaml": CLAIMS}.items():
        Path(name).parent.mkdir()
        Path(name).write_text(content)
    known = reference.Made(config="", date="", commits=[], harness="", machines=[], backends={})
    observed = reference.observe(runs.read(config))
    reference.write(
        Path("results/reference/own.json"),
        reference.Reference(schema=1, made=known, experiments=observed),
    )
    bundle.write(load(Path("config/fake.yaml")), made)
    here = claims.judged(runs.read(config))
    assert here
    assert {verdict.reference for verdict in here.verdicts} == {"", "results/reference/own.json"}
    monkeypatch.chdir(tmp_path)
    for backends, selected in {None: "", ("alpha", "beta"): "BACKENDS=alpha,beta "}.items():
        with bundle.opened(made, list(backends) if backends else None) as settings:
            results = runs.read(settings)
            citation = cite.citation(results)
            assert citation
            assert citation.command.endswith(f"&& CONFIG=config/fake.yaml {selected}make reproduce")
            if not backends:
                assert claims.judged(results) == here


@pytest.mark.parametrize("name", ["../x.yaml", "results/cells", "config.yaml/x", "", "a\0b"])
def test_a_config_that_had_no_place_in_the_checkout_is_config_yaml(made: Path, name: str, tmp_path: Path):
    def rename(content: dict[str, bytes]) -> None:
        about = json.loads(content["bundle.json"])
        content["bundle.json"] = json.dumps(about | {"config": {"path": name}}).encode()

    with bundle.opened(rewritten(made, rename)) as settings:
        assert settings.path == Path("config.yaml")
        assert not Path("../x.yaml").exists()


def test_images_above_the_limit_are_left_out_and_the_report_copes(
    config: Config, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bundle, "TOO_LARGE", 100)
    ran = CliRunner().invoke(app, ["bundle", "--config", str(config.path), "--to", str(made)])
    assert "left out: data/mnist-5k, 0 MB; a report will draw no images" in ran.stdout
    with bundle.opened(made) as settings:
        assert runs.read(settings).first
        assert not settings.data_path("mnist-5k").exists()


def rewritten(made: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """The bundle with other content; its bundle.json lists what `change` left it."""
    with zipfile.ZipFile(made) as old:
        content = {name: old.read(name) for name in old.namelist()}
    change(content)
    with zipfile.ZipFile(made, "w") as new:
        for name, data in content.items():
            new.writestr(bundle._info(name), data)
    return made


def listed(content: dict[str, bytes], name: str, data: bytes) -> None:
    """Add a file as its author would who knows the format."""
    about = json.loads(content["bundle.json"])
    about["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    content |= {"bundle.json": json.dumps(about).encode(), name: data}


def told(**changes: object) -> Callable[[dict[str, bytes]], object]:
    """bundle.json with other values; None: without."""

    def change(content: dict[str, bytes]) -> None:
        about = json.loads(content["bundle.json"]) | changes
        content["bundle.json"] = json.dumps({k: v for k, v in about.items() if v is not None}).encode()

    return change


METRICS = "results/cells/plain/alpha/cpu/seed-0/metrics.json"
DAMAGE: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "no bundle": (lambda c: c.pop("bundle.json"), "not a bundle.*no item named 'bundle.json'"),
    "no JSON": (lambda c: c.update({"bundle.json": b"{"}), "not a bundle"),
    "a list": (lambda c: c.update({"bundle.json": b"[]"}), "not a bundle"),
    "later": (lambda c: c.update({"bundle.json": b'{"schema": 2}'}), "schema 2, this Lockstep reads 1"),
    "without backends": (told(backends=None), "fake.zip: bundle.json: backends: missing"),
    "numbers for names": (told(backends=[1]), r"bundle.json: backends\[0\]: expected text, not 1"),
    "paths for names": (told(backends=["../x"]), r"bundle.json: backends\[0\]: String should match"),
    "nothing of a file": (told(files={"config.yaml": 1}), r"bundle.json: files.config.yaml: "),
    "too long": (
        lambda c: c.update({"bundle.json": bytes(100_000_001)}),
        "bundle.json has 100 MB, more than 100",
    ),
    "changed": (
        lambda c: c.update({METRICS: b"{}"}),
        f"{METRICS} is not what bundle.json says",
    ),
    "one less": (lambda c: c.pop(METRICS), "its files are not those that bundle.json lists"),
    "one more": (lambda c: c.update({"results/x": b""}), "its files are not those that bundle.json lists"),
    "upwards": (lambda c: listed(c, "results/../../x", b""), "'results/../../x' has no place in a bundle"),
    "absolute": (lambda c: listed(c, "/tmp/x", b""), "'/tmp/x' has no place in a bundle"),
    "beside": (lambda c: listed(c, "x.py", b""), "'x.py' has no place in a bundle"),
    "backslash": (lambda c: listed(c, "results\\..\\x", b""), "has no place in a bundle"),
    "colon": (lambda c: listed(c, "results/a:b", b""), "not a bundle.*'results/a:b' holds one of < > :"),
    "a folder's own name": (lambda c: listed(c, "results", b""), "'results' has no place in a bundle"),
    "a folder": (lambda c: listed(c, "results/x/", b""), "'results/x/' has no place in a bundle"),
    "nowhere": (lambda c: listed(c, "results//x", b""), "'results//x' has no place in a bundle"),
    "under a file": (lambda c: listed(c, f"{METRICS}/x", b""), "would be in a folder where .* is a file"),
}


@pytest.mark.parametrize(("change", "says"), DAMAGE.values(), ids=list(DAMAGE))
def test_what_is_no_bundle_is_one_line(
    made: Path, change: Callable[[dict[str, bytes]], object], says: str, tmp_path: Path
):
    before = set(tmp_path.rglob("*"))
    with pytest.raises(LockstepError, match=says), bundle.unpacked(rewritten(made, change)):
        pass
    assert set(tmp_path.rglob("*")) == before


# {name: what a bundle's writer says of it, and its reader}
UNFIT = {
    "a:b": 'holds one of < > : " \\| \\? \\* ',
    "a\\b": "holds one of ",
    "what?": "holds one of ",
    "a\nb": "holds control characters",
    "a\x1b[31mb": "holds control characters",
    "a\udcffb": "holds control characters, or bytes that are no text",
    "dot.": "ends in a dot or a space",
    "space ": "ends in a dot or a space",
    "NUL.txt": "is a device on Windows",
    "nul/x": "is a device on Windows",
    "/".join(["x" * 250] * 4): "has more than 1000 bytes",
    "INDEX.html": "'reports/index.html' is the same as 'reports/INDEX.html' where capitals do not count",
    "e\u0301": "is the same as .* where capitals do not count",
}


@pytest.mark.parametrize(("name", "says"), UNFIT.items(), ids=map(ascii, UNFIT))
def test_what_the_reader_refuses_the_writer_does_not_write(config: Config, name: str, says: str):
    names = ["index.html", "\xe9", name]
    for each in names:
        file = config.reports / each
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with pytest.raises(LockstepError, match=f"{says}.*; rename it, or move it away") as error:
        bundle.members(config)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=says):
        bundle_names.require([f"reports/{each}" for each in names])


def test_other_names_come_out_as_they_went_in(config: Config, made: Path):
    names = [
        "with space",
        "\xfcml\xe4ut \u65e5\u672c",
        "[red]x[z]",
        "-rf",
        "'",
        "x" * 255,
        "a.b.c",
        "100%",
        " x",
    ]
    for name in names:
        (config.reports / name).write_text(name)
    bundle.write(config, made)
    with bundle.unpacked(made) as folder:
        assert [(folder / "reports" / name).read_text() for name in names] == names


def test_links_are_followed_but_not_in_circles_and_not_to_nothing(config: Config, made: Path, tmp_path: Path):
    (config.results / "cells").rename(tmp_path / "disk")
    (config.results / "cells").symlink_to(tmp_path / "disk")
    (config.results / "here").symlink_to(config.results)
    (config.reports / "page.html").symlink_to("index.html")
    before = bundle.members(config)
    bundle.write(config, made)
    with bundle.unpacked(made) as folder:
        assert (folder / METRICS).is_file()
        assert (folder / "reports/page.html").read_text() == "<p>a report</p>"
        assert not (folder / "results/here").exists()
    with pytest.raises(LockstepError, match=r"part of itself; name a file outside .*results/cells"):
        bundle.write(config, tmp_path / "disk/new.zip")
    (config.reports / "gone").symlink_to("nowhere")
    with pytest.raises(LockstepError, match="reports/gone: neither a file nor a link to one"):
        bundle.members(config)
    (config.reports / "gone").unlink()
    os.mkfifo(config.reports / "pipe")
    with pytest.raises(LockstepError, match="reports/pipe: neither a file nor a link to one"):
        bundle.members(config)
    (config.reports / "pipe").unlink()
    assert bundle.members(config) == before


def test_links_and_damaged_bytes_are_refused(made: Path, tmp_path: Path):
    data = made.read_bytes()
    with zipfile.ZipFile(made) as whole:
        place = whole.getinfo("results/cells/plain/alpha/cpu/seed-0/weights.npz").header_offset + 300
    for damaged in (data[: len(data) // 2], b"", b"{}"):
        made.write_bytes(damaged)
        with pytest.raises(LockstepError, match="not a bundle, or a damaged one"), bundle.unpacked(made):
            pass
    made.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(LockstepError, match="Bad CRC-32"), bundle.unpacked(made):
        pass
    made.write_bytes(data)

    def link(content: dict[str, bytes]) -> None:
        listed(content, "results/link", b"/etc/passwd")

    rewritten(made, link)
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(tmp_path / "link.zip", "w") as new:
        for info in old.infolist():
            if info.filename == "results/link":
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            new.writestr(info, old.read(info.filename))
    with (
        pytest.raises(LockstepError, match="'results/link' has no place"),
        bundle.unpacked(tmp_path / "link.zip"),
    ):
        pass


@pytest.mark.parametrize("packed", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_only_deflated_files_are_read(made: Path, packed: int):
    with zipfile.ZipFile(made, "a") as bundled:
        bundled.writestr("results/x", b"", packed)
        bundled.getinfo("results/x").external_attr = (stat.S_IFREG | 0o644) << 16
    with (
        pytest.raises(LockstepError, match="results/x is compressed, but not deflated"),
        bundle.unpacked(made),
    ):
        pass


def test_what_the_disk_cannot_hold_is_not_unpacked(made: Path):
    with zipfile.ZipFile(made, "a") as bundled:
        bundled.comment = b"changed"  # so that its list of files is written again
        bundled.getinfo(METRICS).file_size = 10**18
    says = r"fake.zip: unpacked it has 1,000,000,000,\d{3} MB, and .* MB free; name a folder .* TMPDIR"
    with pytest.raises(LockstepError, match=says), bundle.unpacked(made):
        pass


def test_mistakes_are_one_line(config: Config, tmp_path: Path):
    with pytest.raises(LockstepError, match=r"no run of .* has results; train one first"):
        bundle.write(config, tmp_path / "x.zip")
    with pytest.raises(LockstepError, match="it would be part of itself; name a file outside"):
        bundle.write(config, config.results / "x.zip")
    with pytest.raises(FileNotFoundError), bundle.unpacked(tmp_path / "none.zip"):
        pass
    ran = CliRunner().invoke(app, ["report", "x.zip", "--config", str(config.path)])
    assert "name the bundle or --config, not both" in str(ran.exception)
    assert not list(tmp_path.glob("*.zip"))
