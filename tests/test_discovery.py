"""Finding plugins: in the folder, by requirements, and what a broken one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep import discovery
from lockstep.backend import Backend
from lockstep.discovery import Plugin
from lockstep.errors import LockstepError


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
    assert [need.name for need in reference.requirements] == ["numpy", "threadpoolctl"]
    assert {need.name for need in reference.gpu_requirements} >= {"cupy-cuda12x", "cupy-cuda13x"}


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
