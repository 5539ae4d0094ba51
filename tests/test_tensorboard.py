"""Event files, read back by TensorBoard itself: they say what the results say, once, and change nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import types
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lockstep import cell as cells
from lockstep import config as configs
from lockstep import tensorboard, training
from lockstep.checkpoint import Checkpoint
from lockstep.config import Cell, Config
from lockstep.errors import LockstepError
from lockstep.identity import TRAINING_PATH, cell_hash
from lockstep.training import Epoch, Watcher

# TensorBoard would load TensorFlow where it is installed; this module is how it is told not to.
sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer  # noqa: E402
from tensorboard.context import RequestContext  # noqa: E402
from tensorboard.plugins.base_plugin import TBContext  # noqa: E402
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups  # noqa: E402

CURVES = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "validation_accuracy",
}
CONVOLUTION = {"kind": "conv2d", "filters": 3, "kernel": 5, "stride": 3}
HEAD = [{"kind": "activation"}, {"kind": "flatten"}, {"kind": "dropout"}, {"kind": "dense", "units": 10}]


def write_config(folder: Path, override: dict | None = None, **top: object) -> Path:
    content = {
        "results": str(folder / "results"),
        "reports": str(folder / "reports"),
        "seeds": [0],
        "base": {
            "data": {"train_size": 150},
            "model": {"dropout": 0.2, "layers": [CONVOLUTION, *HEAD]},
            "optimizer": {"learning_rate": 0.02},
            "training": {"epochs": 4, "batch_size": 16},
        },
        "experiments": {"tiny": override or {}},
        **top,
    }
    folder.mkdir(exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def tiny(folder: Path, override: dict | None = None) -> tuple[Config, Cell]:
    config = configs.load(write_config(folder, override))
    return config, config.cell("tiny", "numpy", "cpu", 0)


def read(folder: Path) -> EventAccumulator:
    """What TensorBoard shows of a cell, whose folder holds one event file."""
    assert len(list(folder.iterdir())) == 1
    return EventAccumulator(str(folder)).Reload()


def history(config: Config, cell: Cell) -> list[dict[str, str]]:
    return list(csv.DictReader((config.folder(cell) / "history.csv").open()))


def of_test(metrics: dict) -> dict[str, float]:
    rows = [row for row in metrics["measurements"] if row["split"] == "test" and not row["condition"]]
    return {row["metric"]: row["value"] for row in rows}


def assert_curves_are_the_history(events: EventAccumulator, rows: list[dict[str, str]]) -> None:
    assert set(CURVES.values()) == {field.name for field in fields(Epoch)} - {"epoch"}
    for tag, column in CURVES.items():
        shown = events.Scalars(tag)
        assert [point.step for point in shown] == [int(row["epoch"]) for row in rows]
        assert [point.value for point in shown] == [float(np.float32(row[column])) for row in rows]


def sessions(folder: Path) -> dict[str, object]:
    """The rows of the HPARAMS tab, by the name of the run."""
    events = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    context = backend_context.Context(TBContext(data_provider=MultiplexerDataProvider(events, str(folder))))
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=100,
        include_metrics=True,
        aggregation_type=api_pb2.AGGREGATION_AVG,
        allowed_statuses=api_pb2.Status.values(),
    )
    found = list_session_groups.Handler(RequestContext(), context, "", request).run()
    return {group.name: group for group in found.session_groups}


def train(config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lockstep", "train", "--config", str(config), "--experiment", "tiny"]
    command += ["--backend", "numpy", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_curves_and_test_metrics_are_those_of_the_results(tmp_path):
    config, cell = tiny(tmp_path)
    metrics = tensorboard.run(tmp_path / "events", config, cell, Watcher())
    events = read(tmp_path / "events/tiny/numpy/cpu/seed-0")
    assert_curves_are_the_history(events, history(config, cell))
    test = of_test(metrics)
    assert set(test) == {"accuracy", "cross_entropy", "calibration_error"}
    for metric, value in test.items():
        (point,) = events.Scalars(f"{metric}/test")
        assert (point.step, point.value) == (4, float(np.float32(value)))


def test_filters_are_pictures_of_the_weights_of_their_epoch(tmp_path):
    config, cell = tiny(tmp_path, {"optimizer": {"learning_rate": 0.1}})
    metrics = tensorboard.run(tmp_path, config, cell, Watcher())
    shown = {image.step: image for image in read(tmp_path / cell.path).Images("filters/conv1")}
    lowest, bests = float("inf"), []
    for row in history(config, cell):
        if float(row["validation_loss"]) < lowest:
            lowest = float(row["validation_loss"])
            bests.append(int(row["epoch"]))
    assert list(shown) == sorted({*bests, 4})
    assert metrics["best_epoch"] < 4, "or the two pictures below are one"
    for step, name in {metrics["best_epoch"]: "best.npz", 4: "weights.npz"}.items():
        with np.load(config.folder(cell) / name) as file:
            kernel = file["conv1/kernel"]
        with Image.open(io.BytesIO(shown[step].encoded_image_string)) as image:
            assert image.format == "PNG"
            pixels = np.asarray(image.convert("L"), float)
        side = (2 * 6 - 1) * tensorboard.PIXELS  # three filters in two columns and two rows, a line between
        assert pixels.shape == (side, side) == (shown[step].height, shown[step].width)
        squares = pixels[:: tensorboard.PIXELS, :: tensorboard.PIXELS]
        assert np.array_equal(pixels, np.kron(squares, np.ones((tensorboard.PIXELS, tensorboard.PIXELS))))
        grey = 127.5 * (1 + kernel / np.abs(kernel).max())
        for filter, (row, column) in enumerate([(0, 0), (0, 6), (6, 0)]):
            picture = squares[row : row + 5, column : column + 5]
            assert np.abs(picture - grey[:, :, 0, filter]).max() <= 0.5 + 1e-4
        assert (squares[6:, 5:] == 255).all()


def test_a_network_without_convolution_has_no_picture(tmp_path):
    config, cell = tiny(tmp_path, {"model": {"layers": HEAD[1:]}})
    tensorboard.run(tmp_path, config, cell, Watcher())
    assert read(tmp_path / cell.path).Tags()["images"] == []


def test_the_hparams_tab_shows_settings_beside_test_metrics(tmp_path):
    """Two experiments in one folder: each run is a row, whatever the other's settings are."""
    for name, override in {"a": None, "b": {"model": {"activation": "leaky_relu", "slope": 0.1}}}.items():
        config, cell = tiny(tmp_path / name, override)
        metrics = tensorboard.run(tmp_path / "events" / name, config, cell, Watcher())
    rows = sessions(tmp_path / "events")
    assert set(rows) == {f"{name}/tiny/numpy/cpu/seed-0" for name in "ab"}
    row = rows[f"b/{cell}"]
    shown = {key: getattr(value, value.WhichOneof("kind")) for key, value in row.hparams.items()}
    assert shown == tensorboard.settings(cell)
    expected = {"experiment": "tiny", "backend": "numpy", "device": "cpu", "seed": 0, "model.slope": 0.1}
    expected |= {"optimizer.learning_rate": 0.02, "data.train_size": 150, "training.deterministic": True}
    assert expected.items() <= shown.items()
    assert json.loads(shown["model.layers"])[0] == CONVOLUTION
    values = {value.name.tag: value.value for value in row.metric_values}
    for metric, value in of_test(metrics).items():
        assert values[f"{metric}/test"] == float(np.float32(value))
    (session,) = row.sessions
    assert session.status == api_pb2.STATUS_SUCCESS
    assert session.start_time_secs <= session.end_time_secs


def test_a_resumed_run_has_each_epoch_once(tmp_path, monkeypatch):
    config, cell = tiny(tmp_path)
    folder = tmp_path / "events" / cell.path
    monkeypatch.setattr(Checkpoint, "is_due", lambda self: True)

    def stop(progress):
        if len(progress.history) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tensorboard.run(tmp_path / "events", config, cell, Watcher(epoch=stop))
    assert [point.step for point in read(folder).Scalars("loss/train")] == [1, 2]
    (folder / "events.out.tfevents.1.another-program").touch()
    tensorboard.run(tmp_path / "events", config, cell, Watcher())
    (folder / "events.out.tfevents.1.another-program").unlink()  # it was left alone
    assert_curves_are_the_history(read(folder), history(config, cell))
    provenance = json.loads((config.folder(cell) / "provenance.json").read_text())
    assert provenance["times"]["resumed_after_epoch"] == 3


def test_a_process_that_waited_for_another_tells_what_that_one_trained(tmp_path, monkeypatch):
    config, cell = tiny(tmp_path)
    metrics = cells.run(config, cell, Watcher())
    monkeypatch.setattr(cells, "run", lambda *_: metrics)  # takes the result that it waited for
    tensorboard.run(tmp_path / "events", config, cell, Watcher())
    events = read(tmp_path / "events" / cell.path)
    assert_curves_are_the_history(events, history(config, cell))
    assert [image.step for image in events.Images("filters/conv1")] == sorted({metrics["best_epoch"], 4})


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_diverged_run_is_seen_to_have_diverged(tmp_path, epochs, monkeypatch):
    def diverging(*arguments):
        if arguments[5] == epochs:
            raise training.Diverged("the loss became NaN")
        return train_epoch(*arguments)

    train_epoch = training.train_epoch
    monkeypatch.setattr(training, "train_epoch", diverging)
    config, cell = tiny(tmp_path)
    tensorboard.run(tmp_path / "events", config, cell, Watcher())
    events = read(tmp_path / "events" / cell.path)
    if epochs:
        assert_curves_are_the_history(events, history(config, cell))
    assert len(history(config, cell)) == epochs
    (text,) = events.Tensors("outcome/text_summary")
    assert (text.step, text.tensor_proto.string_val[0]) == (epochs, b"diverged: the loss became NaN")
    row = sessions(tmp_path / "events")[str(cell)]
    assert [session.status for session in row.sessions] == [api_pb2.STATUS_FAILURE]
    assert not {value.name.tag for value in row.metric_values} & {"accuracy/test", "cross_entropy/test"}


def test_results_and_identity_are_the_same_with_and_without_events(tmp_path):
    plain, cell = tiny(tmp_path / "plain")
    told, same = tiny(tmp_path / "told")
    cells.run(plain, cell, Watcher())
    tensorboard.run(tmp_path / "events", told, same, Watcher())
    switched = configs.load(write_config(tmp_path / "switched", tensorboard="events"))
    assert cell_hash(cell) == cell_hash(same) == cell_hash(switched.cell("tiny", "numpy", "cpu", 0))
    for name in cells.OUTPUTS[:-1]:  # the last, provenance, holds times
        one, other = (config.folder(cell) / name for config in (plain, told))
        if one.suffix == ".npz":
            with np.load(one) as a, np.load(other) as b:
                assert {key: a[key].tobytes() for key in a} == {key: b[key].tobytes() for key in b}
        else:
            assert one.read_bytes() == other.read_bytes()


def test_the_config_switches_it_on_and_the_command_line_wins(tmp_path):
    path = write_config(tmp_path, tensorboard=str(tmp_path / "from-config"))
    assert train(path).returncode == 0
    assert read(tmp_path / "from-config/tiny/numpy/cpu/seed-0").Tags()["scalars"]
    path = write_config(tmp_path, tensorboard=str(tmp_path / "unused"))
    assert train(path, "--tensorboard", str(tmp_path / "from-option")).returncode == 0
    assert read(tmp_path / "from-option/tiny/numpy/cpu/seed-0").Tags()["scalars"]
    assert not (tmp_path / "unused").exists()


def test_a_folder_that_cannot_be_written_is_one_line_before_training(tmp_path):
    path = write_config(tmp_path)
    (tmp_path / "taken").touch()
    done = train(path, "--tensorboard", str(tmp_path / "taken"))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lockstep: TensorBoard events: {tmp_path}/taken")
    assert "Not a directory; a file stands where a folder is needed" in line
    assert not (tmp_path / "results").exists()


def test_a_disk_that_is_full_is_told_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    config, cell = tiny(tmp_path)
    monkeypatch.setattr(Checkpoint, "is_due", lambda self: True)

    def full(self):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(tensorboard.RecordWriter, "flush", full)
    with pytest.raises(LockstepError, match=rf"TensorBoard events: .*{cell}: No space left on device; free"):
        tensorboard.run(tmp_path / "events", config, cell, Watcher())
    assert (config.results / ".work" / cell_hash(cell) / "checkpoint.npz").exists()


def test_writing_events_loads_no_framework_and_nothing_on_the_training_path(tmp_path):
    """tensorboardX imports torch if it can; the backend of this process may be another."""
    script = (
        "import sys\n"
        "from lockstep.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    command = ["train", "--experiment", "tiny", "--backend", "numpy", "--config", str(write_config(tmp_path))]
    command += ["--tensorboard", str(tmp_path / "events")]
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=True
    )
    imported = set(done.stderr.splitlines()[-1].split())
    assert "tensorboardX" in imported
    assert not imported & {"torch", "tensorflow", "keras", "jax", "tensorboard"}
    ours = {name.removeprefix("lockstep.") for name in imported if name.startswith("lockstep.")}
    beside = {name for name in ours if name.split(".")[0] in ("cli", "console", "progress", "tensorboard")}
    assert ours - beside == set(TRAINING_PATH)
