"""`lockstep new-backend`: what it writes is a whole backend, and nothing is overwritten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lockstep import discovery, new_backend
from lockstep.backend import Backend
from lockstep.errors import LockstepError


def test_what_is_written_is_in_step_as_it_is(tmp_path, certify):
    new_backend.write("mine", tmp_path / "backends")
    certificate = certify(tmp_path, "mine", "T1", "T2", "T3")
    assert certificate.verdict == "in step", certificate.checks
    assert {check.tier for check in certificate.checks} == {"T1", "T2", "T3"}
    assert set(certificate.versions) == {"numpy", "threadpoolctl"}
    plugin = discovery.find("mine")
    assert {path.name for path in plugin.folder.iterdir() if path.is_file()} == {
        "backend.py",
        "layers.py",
        "gradients.py",
        "requirements.txt",
    }


def test_every_method_of_the_contract_is_written_and_explained(tmp_path):
    folder = new_backend.write("explained", tmp_path / "backends")
    written = vars(discovery.load(discovery.Plugin("explained", folder)))
    for name in Backend.__abstractmethods__:
        assert written[name].__doc__, name


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "lockstep", "new-backend", *arguments]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_the_command_says_what_to_run_next(tmp_path):
    done = command("mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "lockstep verify mine" in done.stdout
    assert "LOCKSTEP_BACKENDS" not in done.stdout
    (tmp_path / "backends/mine/backend.py").write_text("my work")
    again = command("mine", cwd=tmp_path)
    assert again.returncode == 1
    assert "backends/mine: is there already, and nothing is overwritten" in again.stderr
    assert len(again.stderr.strip().splitlines()) == 1
    assert (tmp_path / "backends/mine/backend.py").read_text() == "my work"


def test_another_folder_comes_with_how_it_is_found(tmp_path):
    done = command("mine", "--to", "some where", cwd=tmp_path)
    assert (tmp_path / "some where/mine/backend.py").is_file()
    assert f"export LOCKSTEP_BACKENDS='{tmp_path}/some where'" in done.stdout


@pytest.mark.parametrize("name", ["Mine", "../mine", "", "-mine", "mine+compile", "mine.py"])
def test_a_name_that_is_none_is_refused(name, tmp_path):
    with pytest.raises(LockstepError, match="lower-case letters"):
        new_backend.write(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_known_name_is_refused(tmp_path):
    with pytest.raises(LockstepError, match=r"new-backend torch: .*backends/torch has that name"):
        new_backend.write("torch", tmp_path)


def test_the_template_is_no_backend_itself():
    assert new_backend.TEMPLATE not in {plugin.folder for plugin in discovery.plugins().values()}
