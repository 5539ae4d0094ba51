"""`lockstep new-backend`: what it writes is a whole backend, and nothing is overwritten."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lockstep import discovery, new_backend
from lockstep.backend import Backend
from lockstep.conformance import advice
from lockstep.errors import LockstepError

ROOT = Path(__file__).parents[1]


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


def blocks(page: str) -> list[tuple[str, str]]:
    """(file, source) of the guide's blocks that name the file they belong to."""
    return re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL)


def written_into(source: str, block: str) -> str:
    """A file with what a block defines in the place of what it had by those names; imports go to its top."""
    for node in ast.parse(block).body:
        text = ast.get_source_segment(block, node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            source = source.replace("import numpy as np\n", f"import numpy as np\n{text}\n", 1)
            continue
        (old,) = (each for each in ast.walk(ast.parse(source)) if name_of(each) == name_of(node))
        lines = source.splitlines()
        lines[old.lineno - 1 : old.end_lineno] = textwrap.indent(text, " " * old.col_offset).splitlines()
        source = "\n".join(lines) + "\n"
    return source


def name_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    return node.name if isinstance(node, ast.FunctionDef) else None


def test_the_guides_backend_is_in_step(tmp_path, certify):
    pytest.importorskip("torch")
    folder = new_backend.write("mine", tmp_path / "backends")
    found = blocks((ROOT / "docs/plugins.md").read_text())
    assert {file for file, _ in found} == {"layers.py", "backend.py"}
    for file, block in found:
        path = folder / file
        path.write_text(written_into(path.read_text(), block))
    (folder / "gradients.py").unlink()
    backend = folder / "backend.py"
    backend.write_text(backend.read_text().replace("from .gradients import vjp\n", ""))
    (folder / "requirements.txt").write_text("torch\n")
    certificate = certify(tmp_path, "mine", "T1", "T2", "T3")
    assert certificate.verdict == "in step", certificate.checks
    assert set(certificate.versions) == {"torch"}


def test_the_guide_has_the_sections_that_verify_names():
    page = (ROOT / advice.GUIDE).read_text()
    sections = {
        *advice.SECTIONS.values(),
        *(section for _, section in advice.LINES_OF_T0.values()),
        "The tiers",
    }
    assert sections <= set(re.findall(r"^## (.+)$", page, re.MULTILINE))
