"""Finding plugins: in the folder, by requirements, and what a broken one says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockstep import discovery
from lockstep.backend import Backend
from lockstep.config import load
from lockstep.errors import LockstepError
from lockstep.plugin import Plugin, variant


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Plugins are looked for anew, in the test and after it."""
    monkeypatch.setenv(discovery.FOLDERS, "")
    discovery.plugins.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    discovery.plugins.cache_clear()


def plugin(folder: Path, source: str, requirements: str = "") -> Plugin:
    path = folder / folder.name
    path.mkdir()
    (path / "backend.py").write_text(source)
    (path / "requirements.txt").write_text(requirements)
    return Plugin(f"test-{folder.name}", path)


def test_the_reference_comes_first_and_the_rest_by_name():
    names = list(discovery.plugins())
    assert names[0] == discovery.REFERENCE
    assert names[1:] == sorted(names[1:])
    assert {"numpy", "keras", "torch", "jax"} <= set(names)


def test_a_folder_dropped_into_backends_is_found_without_running_it(tmp_path, monkeypatch):
    (tmp_path / "backends/mine").mkdir(parents=True)
    (tmp_path / "backends/mine/backend.py").write_text("raise SystemExit('found, not imported')")
    monkeypatch.chdir(tmp_path)
    discovery.plugins.cache_clear()
    try:
        assert discovery.find("mine").missing() is None
        assert set(discovery.plugins()) == {"mine", discovery.REFERENCE}
    finally:
        discovery.plugins.cache_clear()


def test_missing_requirements_are_found_without_importing(tmp_path):
    assert plugin(tmp_path, "raise SystemExit", "numpy\nno-such-thing  # comment\n").missing() == (
        "not installed: no-such-thing"
    )


def test_requirements_with_markers_are_alternatives(tmp_path):
    lines = 'numpy\nno-such; os_name == "{}"\nrich; os_name == "{}"\n'
    assert plugin(tmp_path, "", lines.format("posix", "nt")).missing() is None
    (tmp_path / tmp_path.name / "requirements.txt").write_text(
        lines.format("nt", "posix").replace("rich", "nor-this")
    )
    assert Plugin("x", tmp_path / tmp_path.name).missing() == "not installed: no-such or nor-this"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module", r"backend.py: cannot be imported \(ModuleNotFoundError: No module named"),
        ("x = 1", "backend.py: api is missing, this Lockstep needs `api = 1`"),
        ("api = 2", "backend.py: api is 2, this Lockstep needs"),
        ("api = 1", "it must define one subclass of lockstep.backend.Backend, not 0"),
    ],
)
def test_a_broken_plugin_says_what_is_wrong(tmp_path, source, message):
    with pytest.raises(LockstepError, match=message):
        discovery.load(plugin(tmp_path, source))


@pytest.mark.parametrize(
    ("source", "requirements", "message"),
    [
        ("def (", "", "backend.py, line 1: invalid syntax"),
        ("api = 2", "", "backend.py: api is 2, this Lockstep needs `api = 1`"),
        ("import os\nruns_on = os.name", "", "line 2: write runs_on as plain values"),
        ("runs_on = 'cpu'", "", "backend.py: runs_on: "),
        ("options = {'compile': (0.5,)}", "", "backend.py: options.compile: "),
        ("options = {'a b': (1, 2)}", "", "backend.py: options"),
        ("options = {'empty': ()}", "", "backend.py: options.empty"),
        ("options = {[1]: (1,)}", "", "line 1: write options as plain values"),
        ("options = {'device': ('a', 'b')}", "", "options: 'device' is an argument of the contract"),
        ("api: int = 2", "", "backend.py: api is 2"),
        ("options = {'precision': ('float32', 'fp4')}", "", "unknown precision 'fp4'; known: float32, tf32"),
        ("", "no such thing", "requirements.txt: .*; write one requirement a line"),
    ],
)
def test_what_is_wrong_is_seen_without_running_the_plugin(tmp_path, source, requirements, message):
    broken = plugin(tmp_path, f"{source}\n", requirements)
    assert broken.problem is not None
    assert re.search(message, broken.problem)
    assert "\n" not in broken.problem
    assert broken.unusable("cpu") == broken.missing() == broken.problem


def test_files_of_other_encodings_are_read_or_told(tmp_path):
    mine = plugin(tmp_path, "", "numpy\n")
    (mine.folder / "backend.py").write_text("runs_on = ('cpu', 'gpu')", "utf-8-sig")
    (mine.folder / "requirements.txt").write_text("numpy", "utf-8-sig")
    assert Plugin("bom", mine.folder).unusable("gpu") is None
    (mine.folder / "requirements.txt").write_text("numpy", "utf-16")
    assert "requirements.txt: 'utf-8' codec can't decode" in Plugin("utf-16", mine.folder).problem


def test_a_name_that_is_no_folder_of_results_is_refused(tmp_path):
    (tmp_path / "My Backend").mkdir()
    (tmp_path / "My Backend/backend.py").write_text("api = 1")
    assert "is no name for a backend" in Plugin("My Backend", tmp_path / "My Backend").problem


def folder(path: Path, *names: str, source: str = "api = 1\n") -> Path:
    for name in names:
        (path / name).mkdir(parents=True)
        (path / name / "backend.py").write_text(source)
    return path


def test_folders_of_the_variable_and_of_a_config_are_searched_too(tmp_path, fresh):
    fresh.setenv(discovery.FOLDERS, str(folder(tmp_path / "one", "first", "second")))
    folder(tmp_path / "two", "third")
    config = tmp_path / "config.yaml"
    text = Path("config/smoke.yaml").read_text()
    config.write_text(f"backends: [numpy, first, third]\nplugins: [{tmp_path}/two]\n{text}")
    assert load(config).backends == ("numpy", "first", "third")
    assert {"numpy", "first", "second", "third"} <= set(discovery.plugins())
    # A process that this one starts finds them too.
    code = "from lockstep.discovery import find; print(find('third').folder)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == str(tmp_path / "two/third")


def test_a_folder_without_plugins_is_named_with_its_key(tmp_path, fresh):
    config = tmp_path / "config.yaml"
    config.write_text(f"plugins: [{tmp_path}/nothing]\n{Path('config/smoke.yaml').read_text()}")
    with pytest.raises(LockstepError, match=r"config.yaml: plugins: no plugin in .*/nothing; name"):
        load(config)
    fresh.setenv(discovery.FOLDERS, str(tmp_path / "nothing"))
    with pytest.raises(LockstepError, match=r"\$LOCKSTEP_BACKENDS: no folder .*/nothing; name folders"):
        discovery.plugins()
    (tmp_path / "nothing").mkdir()  # where a first plugin will be written
    assert "torch" in discovery.plugins()


def test_two_of_a_name_are_reported_and_break_no_other(tmp_path, fresh):
    paths = [folder(tmp_path / place, "mine", "torch") for place in ("one", "two")]
    fresh.setenv(discovery.FOLDERS, os.pathsep.join(map(str, paths)))
    for name in ("mine", "torch"):
        assert f"two backends are called {name!r}" in discovery.find(name).unusable("cpu")
    assert discovery.find("jax").problem is None
    with pytest.raises(LockstepError, match="two backends are called 'torch'"):
        discovery.load(discovery.find("torch"))


def test_backends_lists_every_fault_and_the_rest(tmp_path, fresh):
    folder(tmp_path, "old", source="api = 2\n")
    folder(tmp_path, "importing", source="import no_such_module\napi = 1\n")
    code = "api = 1\nfrom lockstep.backend import Backend\nclass Begun(Backend): pass\n"
    folder(tmp_path, "begun", source=code)
    fresh.setenv(discovery.FOLDERS, str(tmp_path))
    command = [sys.executable, "-m", "lockstep", "backends"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^old: .*api is 2, this Lockstep needs `api = 1`$", listed, re.M)
    assert re.search(r"^importing: .*cannot be imported \(ModuleNotFoundError: .*\)$", listed, re.M)
    assert re.search(r"^begun: devices: nothing is returned yet", listed, re.M)
    assert re.search(r"numpy .*│ cpu +│", listed)


@pytest.fixture
def optional(tmp_path) -> Plugin:
    source = """
        runs_on = ("cpu", "gpu")
        options = {
            "fast": (False, True), "layout": ("nhwc", "nchw"), "precision": ("float32", "tf32", "bf16")
        }
        gpu_only = {"precision": ("tf32",)}
    """
    return plugin(tmp_path, textwrap.dedent(source))


def test_a_variant_is_named_by_what_it_chooses(optional):
    assert optional.options == {"fast": False, "layout": "nhwc", "precision": "float32"}
    chosen = variant(optional, "fast+precision=bf16")
    assert chosen.options == {"fast": True, "layout": "nhwc", "precision": "bf16"}
    assert chosen.name == f"{optional.name}+fast+precision=bf16"
    assert (chosen.family, chosen.precision, optional.precision) == (optional.name, "bf16", "float32")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slow", "has no option 'slow'; it has: fast, layout=nchw, precision=tf32, precision=bf16"),
        ("fast=true", "has no option 'fast=true'"),
        ("layout=nhwc", "has no option 'layout=nhwc'"),  # the default has no name of its own
        ("layout=nchw+fast", r"in this order: test-.*\+fast\+layout=nchw"),
        ("fast+fast", "name each option once"),
        ("precision=tf32+precision=bf16", "name each option once"),
        ("", "has no option ''"),
    ],
)
def test_a_variant_has_one_name(optional, text, message):
    with pytest.raises(LockstepError, match=message):
        variant(optional, text)


def test_a_plugin_without_options_says_so():
    with pytest.raises(LockstepError, match="numpy has no option 'compile'; it has none"):
        discovery.find("numpy+compile")


def test_values_of_gpus_are_skipped_on_a_cpu(optional):
    assert variant(optional, "precision=tf32").unusable("cpu") == "precision=tf32 is of GPUs"
    assert variant(optional, "precision=tf32").unusable("gpu") is None
    assert variant(optional, "precision=bf16").unusable("cpu") is None


def test_a_plugin_may_import_its_own_modules(tmp_path):
    source = "from lockstep.backend import Backend\nfrom .helper import api\nclass Mine(Backend): pass\n"
    mine = plugin(tmp_path, source)
    (mine.folder / "helper.py").write_text("api = 1\n")
    assert issubclass(discovery.load(mine), Backend)


def test_unknown_names_list_what_is_known():
    with pytest.raises(LockstepError, match="unknown backend 'tinygrad'; known: numpy, "):
        discovery.find("tinygrad")


def test_devices_are_read_without_running_the_plugin(tmp_path):
    mine = plugin(tmp_path, 'runs_on = ("cpu", "gpu")\nraise SystemExit')
    assert mine.unusable("gpu") is None
    (tmp_path / "other").mkdir()
    other = plugin(tmp_path / "other", "raise SystemExit")
    assert other.unusable("gpu") == "not written for gpu: it runs on cpu"


def test_a_gpu_may_need_more_than_a_cpu(tmp_path):
    mine = plugin(tmp_path, 'runs_on = ("cpu", "gpu")', 'numpy\nrich; os_name == "posix"\n')
    (mine.folder / "requirements-gpu.txt").write_text(
        'no-such-cupy; os_name == "posix"\nnor-this; os_name == "posix"\npytest\n'
    )
    assert mine.unusable("cpu") is None
    assert mine.unusable("gpu") == "not installed: no-such-cupy or nor-this"
    assert (set(mine.versions()), set(mine.versions("gpu"))) == (
        {"numpy", "rich"},
        {"numpy", "rich", "pytest"},
    )


def test_numpy_needs_cupy_on_a_gpu_and_nothing_more_on_a_cpu():
    reference = discovery.find(discovery.REFERENCE)
    assert [need.name for need in reference.requirements("cpu")[0]] == ["numpy", "threadpoolctl"]
    assert {need.name for need in reference.requirements("gpu")[1]} >= {"cupy-cuda12x", "cupy-cuda13x"}


def test_an_installed_package_is_found_by_its_entry_point_without_importing(tmp_path, monkeypatch):
    """A package with metadata, as pip would leave it; and one whose package is gone."""
    for name, package in (("outside", "outside_package.below"), ("gone", "gone_package")):
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[lockstep.backends]\n{name} = {package}\n")
    below = tmp_path / "outside_package/below"
    below.mkdir(parents=True)
    (tmp_path / "outside_package/__init__.py").write_text("raise SystemExit('imported')")
    (below / "backend.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    discovery.plugins.cache_clear()
    try:
        assert discovery.find("outside").folder == below
        assert discovery.find("outside").missing() is None
        assert "gone_package" in discovery.find("gone").missing()
    finally:
        discovery.plugins.cache_clear()
