"""Exported networks, opened by their own framework in a process without Lockstep, as docs/export.md says.

The code of that page is what the tests run; the cells are trained by NumPy, on a few digits.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pytest
import yaml
from scipy.special import softmax
from typer.testing import CliRunner

from lockstep import cell as cells
from lockstep import export
from lockstep.cli import app
from lockstep.config import load
from lockstep.errors import LockstepError
from lockstep.spec import KINDS, Function, Padding
from lockstep.training import Watcher

CODE = dict(
    re.findall(r"^```python (\w+)\n(.*?)^```", Path("docs/export.md").read_text(), re.DOTALL | re.MULTILINE)
)
DENSE = {"kind": "dense", "units": 10}
FLATTEN, POOL = {"kind": "flatten"}, {"kind": "max_pool", "size": 3}


def convolution(kernel: int, stride: int = 1, padding: str = "valid") -> dict[str, object]:
    return {"kind": "conv2d", "filters": 3, "kernel": kernel, "stride": stride, "padding": padding}


def activation(function: str, **slope: float) -> dict[str, object]:
    return {"kind": "activation", "function": function, **slope}


EXPERIMENTS: dict[str, list[dict[str, object]]] = {
    "valid": [convolution(5), activation("relu"), POOL, FLATTEN, {"kind": "dropout", "rate": 0.5}, DENSE],
    "same": [
        convolution(4, 2, "same"),  # zeros that are more on one side
        activation("leaky_relu", slope=0.3),
        {"kind": "dropout", "rate": 0.2},
        convolution(3, 3, "same"),
        activation("swish"),
        {"kind": "avg_pool", "size": 2},
        FLATTEN,
        FLATTEN,
        {"kind": "dense", "units": 7},
        activation("tanh"),
        DENSE,
    ],
    "full": [convolution(3, 2, "full"), activation("tanh"), POOL, convolution(9, 4, "full"), FLATTEN, DENSE],
    "wide": [convolution(5, 5), convolution(7, 1, "same"), activation("swish"), POOL, FLATTEN, DENSE],
    "slopes": [
        *(activation("leaky_relu", slope=slope) for slope in (-0.5, 0, 1, 1.5)),
        convolution(5, 2),
        activation("leaky_relu", slope=-1),
        FLATTEN,
        {"kind": "dense", "units": 7},
        activation("leaky_relu", slope=-0.1),
        DENSE,
        activation("leaky_relu", slope=3),
    ],
    "plain": [FLATTEN, DENSE],
}  # fmt: skip
CHANGES = {
    "plain": {"data": {"preprocessing": "unit"}},
    "same": {"training": {"dtype": "float64"}},
    "slopes": {"training": {"epochs": 8}},
}


def test_every_kind_of_layer_is_exported_below():
    layers = [layer for layers in EXPERIMENTS.values() for layer in layers]
    assert {layer["kind"] for layer in layers} == set(KINDS)
    assert {layer.get("padding") for layer in layers} == {*get_args(Padding), None}
    assert {layer.get("function") for layer in layers} == {*get_args(Function), None}


class Cells(NamedTuple):
    folders: dict[str, Path]
    images: np.ndarray
    """Of the test set, as the files take them: float32 in [0, 1] [n, 28, 28, 1]."""
    expected: dict[str, np.ndarray]
    """Probabilities by the logits that the cells stored."""


@pytest.fixture(scope="module")
def trained_cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    root = tmp_path_factory.mktemp("cells")
    content = {
        "results": str(root / "results"),
        "reports": str(root / "reports"),
        "backends": ["numpy"],
        "seeds": [0],
        "base": {
            "data": {"train_size": 200},
            "model": {"layers": [FLATTEN, DENSE]},
            "optimizer": {"learning_rate": 0.02},
            "training": {"epochs": 2, "batch_size": 16},
        },
        "experiments": {
            name: {"model": {"layers": layers}, **CHANGES.get(name, {})}
            for name, layers in EXPERIMENTS.items()
        },
    }
    (root / "config.yaml").write_text(yaml.safe_dump(content))
    config = load(root / "config.yaml")
    folders, expected = {}, {}
    for cell in config.cells():
        assert cells.run(config, cell, Watcher())["outcome"] == "completed"
        folders[cell.name] = config.folder(cell)
        with np.load(config.folder(cell) / "predictions.npz") as file:
            rows, index = file["logits"], file["index"]
        expected[cell.name] = softmax(rows.astype(np.float64), axis=1)
    source = np.load(root / "results/data/mnist-5k/images.npy")
    return Cells(folders, (source[index] / 255).astype(np.float32), expected)


@pytest.fixture(scope="module")
def exported(
    trained_cells: Cells, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Path]]:
    """format -> {cell: its file}, written by a process of its own: one process holds one framework."""

    @cache
    def files(to: str) -> dict[str, Path]:
        if importlib.util.find_spec("numpy" if to == "npz" else to) is None:
            pytest.skip(f"{to} is not installed")
        folder = tmp_path_factory.mktemp(to)
        made = {name: folder / f"{name}{export.SUFFIXES[to]}" for name in trained_cells.folders}
        jobs = [(str(trained_cells.folders[name]), to, str(path)) for name, path in made.items()]
        python(EXPORT, json.dumps(jobs))
        return made

    return files


EXPORT = """
import json, pathlib, sys
from lockstep.export import export
for folder, to, path in json.loads(sys.argv[1]):
    export(pathlib.Path(folder), to, pathlib.Path(path))
"""
OPEN = """
import json, pathlib, sys
import numpy as np
sys.modules["lockstep"] = None  # from here on it cannot be imported
folder, blocks, jobs = pathlib.Path(sys.argv[1]), *json.loads(sys.argv[2])
images = np.load(folder / "images.npy")
for cell, paths in jobs.items():
    for n in (1, len(images)):
        scope = {"images": images[:n]}
        for code, path in zip(blocks, paths):
            scope["path"] = path
            exec(code, scope)
        np.save(folder / f"{cell}-{n}.npy", scope["probabilities"])
"""


def python(script: str, *arguments: str) -> None:
    ran = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


@pytest.mark.parametrize("to", export.SUFFIXES)
def test_each_file_gives_the_probabilities_of_the_cell(
    trained_cells: Cells, exported: Callable[[str], dict[str, Path]], to: str, tmp_path: Path
):
    # The page's block on safetensors goes on from its block on NumPy.
    blocks = ["npz", to] if to == "safetensors" else [to]
    images, expected = trained_cells.images, trained_cells.expected
    np.save(tmp_path / "images.npy", images)
    jobs = {name: [str(exported(block)[name]) for block in blocks] for name in expected}
    python(OPEN, str(tmp_path), json.dumps([[CODE[block] for block in blocks], jobs]))
    for name, known in expected.items():
        for n in (1, len(images)):
            found = np.load(tmp_path / f"{name}-{n}.npy")
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, known[:n], rtol=0, atol=1e-5, err_msg=f"{name}, {n} images")
        assert known.max(axis=1).mean() > 0.2, f"{name}: such probabilities would hide mistakes"


def test_a_keras_file_has_keras_own_layers_alone(exported: Callable[[str], dict[str, Path]]):
    for path in exported("keras").values():
        with zipfile.ZipFile(path) as file:
            assert set(file.namelist()) == {"metadata.json", "config.json", "model.weights.h5"}
            layers = json.loads(file.read("config.json"))["config"]["layers"]
        assert {(layer["module"], layer["registered_name"]) for layer in layers} == {("keras.layers", None)}
        assert "Lambda" not in {layer["class_name"] for layer in layers}


def test_no_file_holds_a_pickle(exported: Callable[[str], dict[str, Path]]):
    """Of the others: safetensors knows none, and NumPy reads the .npz without."""
    for path in exported("torch").values():
        with zipfile.ZipFile(path) as file:
            for name in file.namelist():
                data = file.read(name)
                if name.endswith(".json"):
                    json.loads(data)
                elif "/data/weights/" not in name:
                    assert len(data) < 100, name
                    data.decode()
    for path in exported("npz").values():
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name] is not None for name in arrays.files)


def test_the_command_names_the_file_after_the_cell(trained_cells: Cells, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(trained_cells.folders["valid"])
    ran = CliRunner().invoke(app, ["export", folder, "--to", "npz"], catch_exceptions=False)
    assert ran.stdout == "valid-numpy-seed-0.npz: 0.0 MB\n"
    with np.load("valid-numpy-seed-0.npz", allow_pickle=False) as file:
        description = json.loads(str(file["description"]))
        assert file["conv1/kernel"].dtype == np.float32
    assert description["classes"] == [str(digit) for digit in range(10)]
    assert description["input_shape"] == [28, 28, 1]
    assert description["layers"][0]["pads"] == [[0, 0], [0, 0]]
    assert description["cell"]["cell_hash"]


@pytest.mark.parametrize(
    ("to", "out", "says"),
    [
        ("onnx", None, "--to onnx: unknown format; known: keras, torch, npz, safetensors"),
        ("keras", "x.h5", r"x.h5: name a file that ends in .keras"),
        ("safetensors", None, "--to safetensors: safetensors is not installed here; see docs/export.md"),
    ],
)
def test_mistakes_are_one_line(trained_cells: Cells, to: str, out: str | None, says: str, monkeypatch):
    for name in ("safetensors", "safetensors.numpy", "lockstep.export.safetensors_file"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(LockstepError, match=says):
        export.export(trained_cells.folders["valid"], to, Path(out) if out else None)


def test_a_mistake_of_ours_is_not_told_as_something_to_install(trained_cells: Cells, monkeypatch):
    monkeypatch.setitem(sys.modules, "lockstep.export.npz_file", None)
    with pytest.raises(ModuleNotFoundError, match=r"lockstep\.export\.npz_file"):
        export.export(trained_cells.folders["valid"], "npz")


def test_what_is_no_finished_cell_is_one_line(tmp_path: Path):
    with pytest.raises(LockstepError, match="not a finished cell"):
        export.export(tmp_path, "npz")
