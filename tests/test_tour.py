"""docs/tour.ipynb runs from top to bottom, and is committed as it ran.

    python tests/test_tour.py

trains everything anew (in a temporary folder; minutes) and saves the notebook with its outputs.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
import yaml

from lockstep.discovery import find

nbformat = pytest.importorskip("nbformat", reason="nbformat comes with the extra `test`")
nbclient = pytest.importorskip("nbclient", reason="nbclient comes with the extra `test`")
pytest.importorskip("ipykernel", reason="ipykernel comes with the extra `test`")

ROOT = Path(__file__).parents[1]
TOUR, CONFIG = ROOT / "docs/tour.ipynb", ROOT / "config/tour.yaml"
BYTES = 1_500_000
"""That everybody who clones the repository has to wait for."""


def run(folder: Path, config: str):
    """The notebook, run in a copy of its place, so that its results go there."""
    for name in ("docs", "config"):
        (folder / name).mkdir()
    (folder / "config/tour.yaml").write_text(config)
    notebook = nbformat.read(TOUR, as_version=4)
    settings = {"kernel_name": "python3", "timeout": 600, "record_timing": False, "coalesce_streams": True}
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": folder / "docs"}}, **settings).execute()
    return notebook


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def made_by(notebook) -> str:
    """Of all that the outputs were made by, as far as it is written for the tour."""
    sources = [cell.source for cell in code(notebook)] + [CONFIG.read_text()]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]


def shown(cell) -> list[list[str]]:
    """What each output of a cell is: ["stdout"], ["image/png", "text/plain"]."""
    return sorted(sorted([output["name"]] if "name" in output else output["data"]) for output in cell.outputs)


def smaller() -> str:
    """The tour's config with a network and data that are trained in a second."""
    config = yaml.safe_load(CONFIG.read_text())
    base, sizes = config["base"], {"filters": [8, 16], "units": [64, 10]}
    for layer in base["model"]["layers"]:
        for name in sizes.keys() & layer.keys():
            layer[name] = sizes[name].pop(0)
    base["data"]["train_size"], base["training"]["epochs"] = 500, 6
    base["optimizer"]["learning_rate"] = 2e-3
    return yaml.safe_dump(config)


@pytest.mark.skipif(find("torch").missing() is not None, reason="the tour's backend is not installed: torch")
def test_the_tour_runs_and_shows_what_was_committed(tmp_path):
    committed, ran = nbformat.read(TOUR, as_version=4), run(tmp_path, smaller())
    assert (tmp_path / "results/tour/cells/baseline/torch/cpu/seed-0/metrics.json").is_file()
    for before, after in zip(code(committed), code(ran), strict=True):
        assert before.execution_count == after.execution_count
        assert shown(before) == shown(after), before.source


def test_the_committed_outputs_are_those_of_the_committed_code():
    committed = nbformat.read(TOUR, as_version=4)
    assert committed.metadata["made_by"] == made_by(committed), "run: python tests/test_tour.py"
    pictures = sum(
        "image/png" in output.get("data", {}) for cell in code(committed) for output in cell.outputs
    )
    assert pictures >= 12
    assert not [
        output for cell in code(committed) for output in cell.outputs if output.get("name") == "stderr"
    ]
    assert TOUR.stat().st_size < BYTES


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        done = run(Path(folder), CONFIG.read_text())
    done.metadata["made_by"] = made_by(done)
    nbformat.write(done, TOUR)
