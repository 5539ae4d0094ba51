"""The loop, resuming, divergence and the files of a cell, with the NumPy backend on little data."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import NO_CUPY

from lockstep import cell as cells
from lockstep import config as configs
from lockstep import discovery
from lockstep.checkpoint import Checkpoint
from lockstep.config import Cell, Config
from lockstep.data.batches import epoch_chunks
from lockstep.errors import LockstepError
from lockstep.freshness import of_cell, stamp
from lockstep.identity import TRAINING_PATH, cell_hash, folder_hash
from lockstep.training import Watcher

OUTPUTS = ["metrics.json", "history.csv", "predictions.npz", "weights.npz", "best.npz"]
OUTPUTS += ["units.csv", "functions.npz"]


def write_config(folder: Path, **experiments) -> Path:
    content = {
        "results": str(folder / "results"),
        "reports": str(folder / "reports"),
        "seeds": [0],
        "base": {
            "data": {"train_size": 150},
            "model": {
                "layers": [
                    {"kind": "conv2d", "filters": 2, "kernel": 5, "stride": 3},
                    {"kind": "activation"},
                    {"kind": "flatten"},
                    {"kind": "dropout", "rate": 0.2},
                    {"kind": "dense", "units": 10},
                ]
            },
            "optimizer": {"learning_rate": 0.02},
            "training": {"epochs": 4, "batch_size": 16},
        },
        "experiments": experiments or {"tiny": {}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def tiny(folder: Path, backend: str = "numpy", **experiments) -> tuple[Config, Cell]:
    folder.mkdir(exist_ok=True)
    config = configs.load(write_config(folder, **experiments))
    return config, config.cell(next(iter(config.experiments)), backend, "cpu", 0)


def contents(config: Config, cell: Cell) -> dict[str, object]:
    """What two identical runs must share; .npz files hold a time stamp, so their arrays are compared."""
    found: dict[str, object] = {}
    for name in OUTPUTS:
        path = config.folder(cell) / name
        if path.suffix == ".npz":
            with np.load(path) as file:
                found[name] = {key: (file[key].tobytes(), file[key].shape) for key in file.files}
        else:
            found[name] = path.read_bytes()
    return found


def test_a_run_learns_and_leaves_its_files(tmp_path):
    config, cell = tiny(tmp_path)
    seen = []
    metrics = cells.run(config, cell, Watcher(images=seen.append))
    assert metrics["outcome"] == "completed"
    assert sum(seen) == 4 * 150
    history = list(csv.DictReader((config.folder(cell) / "history.csv").open()))
    assert [row["epoch"] for row in history] == ["1", "2", "3", "4"]
    assert float(history[-1]["train_loss"]) < 0.6 * float(history[0]["train_loss"])
    provenance = json.loads((config.folder(cell) / "provenance.json").read_text())
    assert provenance["cell_hash"] == cell_hash(cell)
    assert provenance["identity"]["experiment"] == cell.experiment.settings
    assert not (config.results / ".work" / cell_hash(cell)).exists()


def test_metrics_are_those_of_the_stored_weights_and_predictions(tmp_path):
    config, cell = tiny(tmp_path)
    metrics = cells.run(config, cell, Watcher())
    folder = config.folder(cell)
    with np.load(folder / "predictions.npz") as file:
        accuracy = (file["logits"].argmax(axis=1) == file["labels"]).mean()
        logits, index = file["logits"], file["index"]
    (row,) = [
        r
        for r in metrics["measurements"]
        if (r["split"], r["metric"], r["condition"]) == ("test", "accuracy", "")
    ]
    assert row["value"] == accuracy
    from lockstep.discovery import find, load

    backend = cells.build(load(find("numpy")), cell)
    with np.load(folder / "weights.npz") as file:
        backend.load(dict(file))
    data = cells.load_data(cell, config.data_path("mnist-5k"))
    assert np.array_equal(index, data.test.index)
    again = backend.logits(data.transform(data.test.images[:500], "float32"))
    assert np.array_equal(again, logits[:500])


def test_best_weights_are_those_of_the_lowest_validation_loss(tmp_path):
    config, cell = tiny(tmp_path, fast={"optimizer": {"learning_rate": 0.05}})
    metrics = cells.run(config, cell, Watcher())
    history = list(csv.DictReader((config.folder(cell) / "history.csv").open()))
    losses = [float(row["validation_loss"]) for row in history]
    assert metrics["best_epoch"] == 1 + int(np.argmin(losses))


def test_a_killed_run_goes_on_and_ends_in_the_same_bits(tmp_path, backend):
    """In processes of their own, because one process holds one framework."""
    noise = {"label_smoothing": 0.1, "image_noise": 0.1, "weight_noise": 0.1}
    adversarial = {"attack": "pgd", "eps": 0.1, "steps": 2}
    settings = {"augmentation": {}, "regularisation": {**noise, "adversarial": adversarial}}
    whole, cell = tiny(tmp_path / "whole", backend, tiny=settings)
    killed, _ = tiny(tmp_path / "killed", backend, tiny=settings)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from lockstep import cell as cells, config as configs\n"
        "from lockstep.checkpoint import Checkpoint\n"
        "from lockstep.training import Watcher\n"
        "Checkpoint.is_due = lambda self: True\n"
        "config = configs.load(Path(sys.argv[1]))\n"
        "cell = config.cell('tiny', sys.argv[2], 'cpu', 0)\n"
        "stop = int(sys.argv[3])\n"
        "def epoch(progress):\n"
        "    if len(progress.history) == stop:\n"
        "        os.kill(os.getpid(), 9)\n"
        "cells.run(config, cell, Watcher(epoch=epoch))\n"
    )

    def run(config: Config, stop: int) -> int:
        command = [sys.executable, "-c", script, str(config.path), backend, str(stop)]
        return subprocess.run(command, capture_output=True).returncode

    assert run(whole, 0) == 0
    assert run(killed, 2) == -9
    assert not (killed.folder(cell) / "metrics.json").exists()
    assert run(killed, 0) == 0
    provenance = json.loads((killed.folder(cell) / "provenance.json").read_text())
    assert provenance["times"]["resumed_after_epoch"] == 2
    assert contents(killed, cell) == contents(whole, cell)


def test_a_diverged_run_is_a_result(tmp_path):
    config, cell = tiny(tmp_path, wild={"optimizer": {"learning_rate": 1e30}})
    metrics = cells.run(config, cell, Watcher())
    assert metrics["outcome"] == "diverged"
    assert "NaN or infinite at step 2, in epoch 1" in metrics["reason"]
    assert metrics["measurements"] == []
    assert all((config.folder(cell) / name).exists() for name in cells.OUTPUTS)


def test_a_run_whose_test_logits_alone_are_not_finite_has_diverged(tmp_path, monkeypatch):
    """Its validation loss was finite, and nobody looks at the loss of test images."""
    calls, last = [], None

    class Overflowing(discovery.load(discovery.find("numpy"))):
        trained = False

        def train_steps(self, *arguments):
            self.trained = True
            return super().train_steps(*arguments)

        def logits(self, *arguments):
            calls.extend([self] * self.trained)
            return super().logits(*arguments) * (np.nan if len(calls) == last else 1)

    monkeypatch.setattr(cells, "load_backend", lambda cell: Overflowing)
    config, cell = tiny(tmp_path)
    assert cells.run(config, cell, Watcher())["outcome"] == "completed"
    last = 2 * len(calls)
    metrics = cells.run(config, cell, Watcher())
    assert metrics["outcome"] == "diverged"
    assert metrics["reason"] == "the logits of test images are NaN or infinite after training"
    assert metrics["measurements"] == []


def test_checkpoints_of_another_spec_or_damaged_ones_are_named(tmp_path):
    _, cell = tiny(tmp_path)
    checkpoint = Checkpoint(tmp_path / "work", cell.experiment.spec)
    other = {name: np.zeros(3) for name in cell.experiment.spec.weights}
    np.savez(
        _made(checkpoint.path),
        history=np.zeros((0, 5)),
        activity="[]",
        **{f"state/{n}": v for n, v in other.items()},
    )
    with pytest.raises(LockstepError, match=r"checkpoint.npz: a checkpoint of another spec .*delete it"):
        checkpoint.load()
    for content in (b"half a file", b""):
        checkpoint.path.write_bytes(content)
        with pytest.raises(LockstepError, match=r"checkpoint.npz: damaged checkpoint .*delete it"):
            checkpoint.load()


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize(("count", "batch"), [(150, 16), (144, 16), (10, 16), (33, 1)])
def test_an_epoch_visits_every_image_once_in_counted_steps(tmp_path, count, batch):
    settings = {"data": {"train_size": count}, "training": {"epochs": 1, "batch_size": batch}}
    config, cell = tiny(tmp_path, sized=settings)
    cells.sources.prepare("mnist-5k", config.data_path("mnist-5k"))
    data = cells.load_data(cell, config.data_path("mnist-5k"))
    for epoch in (0, 1):
        chunks = list(epoch_chunks(data, cell.experiment, cell.experiment.spec, 0, epoch))
        steps = [chunk.first_step + k for chunk in chunks for k in range(len(chunk.images))]
        per_epoch = -(-count // batch)
        assert steps == list(range(1 + epoch * per_epoch, 1 + (epoch + 1) * per_epoch))
        images = np.concatenate([c.images.reshape(-1, 28 * 28) for c in chunks])
        expected = data.transform(data.train.images[:], "float32").reshape(-1, 28 * 28)
        assert np.array_equal(np.sort(images, axis=0), np.sort(expected, axis=0))
        adam = cell.experiment.optimizer.scales(steps[0], len(steps))
        assert np.array_equal(np.concatenate([c.scales for c in chunks]), adam)


def test_a_crash_is_one_line_and_a_failure_on_disk(tmp_path, monkeypatch):
    config, cell = tiny(tmp_path)

    def crash(*_, **__):
        raise RuntimeError("the device\nis on fire")

    monkeypatch.setattr(cells, "train", crash)
    with pytest.raises(
        LockstepError, match=r"^tiny/numpy/cpu/seed-0: RuntimeError: the device is on fire"
    ) as error:
        cells.run(config, cell, Watcher())
    assert "\n" not in str(error.value)
    failure = json.loads((config.folder(cell) / "failure.json").read_text())
    assert failure["reason"] == "RuntimeError: the device is on fire"
    assert "Traceback" in failure["traceback"]
    monkeypatch.undo()
    cells.run(config, cell, Watcher())
    assert not (config.folder(cell) / "failure.json").exists()


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    config, cell = tiny(tmp_path)
    monkeypatch.setattr(Checkpoint, "is_due", lambda self: True)
    write = cells.write_npz

    def full(path, arrays):
        if path.name == "weights.npz":
            raise OSError(28, os.strerror(28), str(path))
        write(path, arrays)

    monkeypatch.setattr(cells, "write_npz", full)
    with pytest.raises(LockstepError, match=r"weights.npz: No space left on device; free some space"):
        cells.run(config, cell, Watcher())
    assert (config.results / ".work" / cell_hash(cell) / "checkpoint.npz").exists()


def test_an_interruption_between_files_leaves_no_mixture(tmp_path, monkeypatch):
    config, cell = tiny(tmp_path)
    cells.run(config, cell, Watcher())
    assert cells.made_by(config, cell) == cell_hash(cell)
    monkeypatch.setattr(cells, "write_npz", None)  # crashes after history.csv
    with pytest.raises(LockstepError):
        cells.run(config, cell, Watcher())
    assert cells.made_by(config, cell) is None


def test_a_backend_that_breaks_its_contract_is_told(tmp_path, monkeypatch):
    config, cell = tiny(tmp_path)
    numpy_backend = discovery.load(discovery.find("numpy"))
    for wrong in (None, np.zeros((1, 1, 1)), np.zeros((9, 16, 10), int)):
        monkeypatch.setattr(numpy_backend, "train_steps", lambda *_, wrong=wrong: wrong)
        with pytest.raises(
            LockstepError, match=r"train_steps returned .* expected floats of shape \(9, 16, 10\)"
        ):
            cells.run(config, cell, Watcher())


@NO_CUPY
def test_a_device_that_is_not_there_is_named(tmp_path):
    config, _ = tiny(tmp_path)
    cell = config.cell("tiny", "numpy", "gpu", 0)
    with pytest.raises(LockstepError, match="backend numpy: not installed: cupy-cuda12x or"):
        cells.run(config, cell, Watcher())
    with pytest.raises(LockstepError, match="no device 'gpu' for this backend here; it can use: cpu"):
        cells.build(discovery.load(discovery.find("numpy")), cell)


def test_the_training_path_is_listed_once_and_truly(tmp_path):
    """A module that a training process imports and the identity forgets would leave stale results."""
    path = write_config(tmp_path)
    script = (
        "import sys\n"
        "from lockstep.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print(*(name for name in sys.modules if name.startswith('lockstep.')), file=sys.stderr)\n"
    )
    train = ["train", "--experiment", "tiny", "--backend", "numpy", "--config", str(path)]
    done = subprocess.run([sys.executable, "-c", script, *train], capture_output=True, text=True, check=True)
    imported = {name.removeprefix("lockstep.") for name in done.stderr.splitlines()[-1].split()}
    printing = {name for name in imported if name.split(".")[0] in ("cli", "console", "progress")}
    assert imported - printing == set(TRAINING_PATH)


def test_a_process_that_waited_takes_the_result_it_waited_for(tmp_path, monkeypatch):
    config, cell = tiny(tmp_path)
    with cells._lock(config, cell):
        waiting = ThreadPoolExecutor(1).submit(cells.run, config, cell, Watcher())
        time.sleep(0.2)
        assert not waiting.done()
        monkeypatch.setattr(cells, "_lock", no_lock)
        metrics = cells.run(config, cell, Watcher())
        monkeypatch.setattr(cells, "train", None)  # training again would crash
    assert waiting.result(timeout=60) == {"schema": 1, **metrics}


@contextmanager
def no_lock(config: Config, cell: Cell):
    yield config.results / ".work" / cell_hash(cell), False


def test_a_stamp_is_newer_than_results_exactly_when_they_are_stale(tmp_path):
    config, cell = tiny(tmp_path)
    cells.run(config, cell, Watcher())
    results = config.folder(cell) / "metrics.json"
    path = stamp(config, of_cell(config, cell))
    assert path.stat().st_mtime < results.stat().st_mtime
    provenance = config.folder(cell) / "provenance.json"
    provenance.write_text(provenance.read_text().replace(cell_hash(cell), "another"))  # copied from elsewhere
    contents = set()
    for _ in range(2):  # Snakemake knows the content that it saw last
        assert stamp(config, of_cell(config, cell)) == path
        assert path.stat().st_mtime > results.stat().st_mtime
        contents.add(path.read_text())
    assert len(contents) == 2
    os.utime(results, (2e9, 2e9))  # of a clock that is ahead
    assert stamp(config, of_cell(config, cell)).stat().st_mtime > results.stat().st_mtime
    results.write_text("{")  # damaged: nothing that somebody would take for a result
    assert of_cell(config, cell).state == "to do"
    before = path.read_text()
    assert stamp(config, of_cell(config, cell)).read_text() != before


def test_hidden_files_and_caches_are_no_part_of_a_plugin(tmp_path):
    folder = tmp_path / "plugin"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "backend.py").write_text("x")
    before = folder_hash(folder)
    for name in (".backend.py.swp", ".DS_Store", "__pycache__/backend.pyc"):
        (folder / name).write_text("noise")
    folder_hash.cache_clear()
    assert folder_hash(folder) == before
    (folder / "backend.py").write_text("y")
    folder_hash.cache_clear()
    assert folder_hash(folder) != before


def test_identity_follows_what_matters_and_nothing_else(tmp_path):
    config, _ = tiny(tmp_path, one={}, two={}, three={"training": {"epochs": 5}})
    one, two, three = (config.cell(name, "numpy", "cpu", 0) for name in ("one", "two", "three"))
    assert cell_hash(one) == cell_hash(two)  # a name is no setting
    assert cell_hash(one) != cell_hash(three)
    others = [config.cell("one", "numpy", "cpu", 1), config.cell("one", "numpy", "gpu", 0)]
    assert len({cell_hash(c) for c in (one, *others)}) == 3


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs Linux to ask each thread for its CPU time"
)
def test_one_thread_does_the_work_when_the_experiment_says_one(tmp_path, backend):
    """The busiest thread's share of all CPU time in training steps; shared between two it would be a half."""
    script = tmp_path / "share.py"
    script.write_text(
        """
import os, sys
from pathlib import Path
from lockstep import process
process.prepare()
import numpy as np
from lockstep import cell as cells, config, discovery
from lockstep.data.draws import initial_weights

def ticks():
    stats = {task: Path(f"/proc/self/task/{task}/stat").read_text() for task in os.listdir("/proc/self/task")}
    return {task: sum(map(int, text.rsplit(")", 1)[1].split()[11:13])) for task, text in stats.items()}

def steps(count):
    for _ in range(count):
        np.asarray(backend.train_steps(images, targets, {}, scales))
        backend.synchronize()

cell = config.load(Path("config/config.yaml")).cell("baseline", sys.argv[1], "cpu", 0)
assert cell.experiment.training.threads == 1
backend = cells.build(discovery.load(discovery.find(cell.backend)), cell)
backend.load(initial_weights(cell.experiment.spec, 0, "float32"))
images, targets = np.ones((8, 64, 28, 28, 1), "float32"), np.full((8, 64, 10), 0.1, "float32")
scales = cell.experiment.optimizer.scales(1, 8)
steps(1)  # compiles, which may use every core
before = ticks()
steps(4)
spent = [after - before.get(task, 0) for task, after in ticks().items()]
names = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
print(max(spent) / sum(spent), names.count("tf_XLAEigen"))
"""
    )
    command = [sys.executable, str(script), backend]
    environment = os.environ | {"NPROC": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    share, xla_pool = map(float, done.stdout.split())
    # XLA passes one computation from thread to thread: there its pool is counted instead.
    assert xla_pool == 1 if xla_pool else share > 0.6
