"""A run as TensorBoard shows it: curves, the first filters, settings beside the final test metrics.

An event file repeats what the results say and decides nothing, so it is no part of a cell's identity.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lockstep import cell as cells
from lockstep.config import Cell, Config
from lockstep.errors import LockstepError, one_line
from lockstep.results import read_npz
from lockstep.spec import Conv2D
from lockstep.training import Epoch, Progress, Watcher, Weights


@contextlib.contextmanager
def _torch_hidden() -> Iterator[None]:
    """tensorboardX imports torch where it is installed; a training process holds its own framework alone."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # how Python spells "not installed"
    try:
        yield
    finally:
        del sys.modules["torch"]


with _torch_hidden():
    from tensorboardX import RecordWriter, summary
    from tensorboardX.proto.api_pb2 import Status
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

SUFFIX = "lockstep"
"""Ends the names of our files: a run that is written anew removes those and no others."""
PIXELS = 8
"""Of the image, along one side of a weight."""


def run(folder: Path, config: Config, cell: Cell, watch: Watcher) -> dict[str, Any]:
    """`cell.run`, with its events in a folder below `folder` that has the cell's name."""
    with EventFile(folder / cell.path, cell) as events:

        def epoch(progress: Progress) -> None:
            watch.epoch(progress)
            events.epoch(progress)

        metrics = cells.run(config, cell, Watcher(watch.images, epoch))
        events.finish(config.folder(cell), metrics)
    return metrics


class EventFile:
    """The one event file of a cell, begun anew by each process that trains the cell.

    It begins when there is something to write: then this process holds the cell's lock, or the cell is done,
    and no file is removed that another still trains for.  Every call adds what the file does not hold yet,
    so a resumed run has each epoch once.
    Raises LockstepError where the folder cannot be written.
    """

    def __init__(self, folder: Path, cell: Cell) -> None:
        self.folder, self.cell = folder, cell
        self.started = time.time()
        self.file: RecordWriter | None = None
        self.rows = 0
        self.pictured = 0
        """The last epoch whose filters are in the file."""
        with _explained(folder):  # now, and not after the first epoch
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            with contextlib.suppress(OSError):  # everything was flushed, or has failed, before
                self.file.close()

    def epoch(self, progress: Progress) -> None:
        """Add the epochs that are new, and the filters of the best one.

        Other epochs' weights are not at hand, and fetching them from a device would cost time.
        """
        self._write(*self._curves(progress.history), *self._filters(progress.best_epoch, progress.best))

    def finish(self, results: Path, metrics: Mapping[str, Any]) -> None:
        """Add the rest from the files of the results, which hold the whole run whoever trained it."""
        with (results / "history.csv").open() as file:
            rows = [Epoch(int(row.pop("epoch")), **_floats(row)) for row in csv.DictReader(file)]
        events = [
            *self._curves(rows),
            *self._filters(metrics["best_epoch"], read_npz(results / "best.npz")),
        ]
        last = len(rows)
        completed = metrics["outcome"] == "completed"
        if completed:
            events += self._filters(last, read_npz(results / "weights.npz"))
        else:
            events += _at(last, summary.text("outcome", f"{metrics['outcome']}: {metrics['reason']}"))
        for row in metrics["measurements"]:
            if row["split"] == "test" and not row["condition"]:
                events += _at(last, summary.scalar(f"{row['metric']}/test", row["value"]))
        status = Status.Value("STATUS_SUCCESS" if completed else "STATUS_FAILURE")
        end = SessionEndInfo(status=status, end_time_secs=time.time())
        self._write(*events, *_at(last, _hparams(session_end_info=end)))

    def _curves(self, history: list[Epoch]) -> Iterator[Event]:
        for row in history[self.rows :]:
            values = {
                "loss/train": row.train_loss,
                "loss/validation": row.validation_loss,
                "accuracy/train": row.train_accuracy,
                "accuracy/validation": row.validation_accuracy,
            }
            yield from _at(row.epoch, *(summary.scalar(name, value) for name, value in values.items()))
        self.rows = len(history)

    def _filters(self, epoch: int | None, weights: Weights) -> Iterator[Event]:
        first = next((n for n in self.cell.experiment.spec.nodes if isinstance(n.layer, Conv2D)), None)
        if first and epoch and epoch > self.pictured:
            picture = grid(weights[f"{first.name}/kernel"])
            yield from _at(epoch, summary.image(f"filters/{first.name}", picture, dataformats="HW"))
            self.pictured = epoch

    def _write(self, *events: Event) -> None:
        with _explained(self.folder):
            if not self.file:
                self.file = self._begin()
            for event in events:
                self.file.write(event.SerializeToString())
            self.file.flush()

    def _begin(self) -> RecordWriter:
        for old in self.folder.glob(f"events.out.tfevents.*.{SUFFIX}"):
            old.unlink()
        name = f"events.out.tfevents.{time.time():.6f}.{SUFFIX}"  # TensorBoard reads files in order of names
        file = RecordWriter(str(self.folder.absolute() / name))
        start = SessionStartInfo(start_time_secs=self.started)
        for key, value in settings(self.cell).items():
            kind = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
            setattr(start.hparams[key], kind, value)
        for event in (
            Event(wall_time=time.time(), file_version="brain.Event:2"),
            # A TensorBoard that is open has read the old file; this makes it forget.
            Event(wall_time=time.time(), session_log=SessionLog(status=SessionLog.START)),
            *_at(0, _hparams(session_start_info=start)),
        ):
            file.write(event.SerializeToString())
        return file


def settings(cell: Cell) -> dict[str, bool | float | str]:
    """What tells this run from others, in one level: {"optimizer.learning_rate": 0.001, "seed": 0, ...}."""
    flat: dict[str, bool | float | str] = {"experiment": cell.name}

    def add(prefix: str, section: Mapping[str, Any]) -> None:
        for key, value in section.items():
            if isinstance(value, Mapping):
                add(f"{prefix}{key}.", value)
            elif isinstance(value, list):
                flat[prefix + key] = json.dumps(value)
            else:
                flat[prefix + key] = value

    add("", cell.experiment.model_dump(mode="json", exclude_none=True))
    return flat | {"backend": cell.backend, "device": cell.device, "seed": cell.seed}


def grid(kernel: np.ndarray) -> np.ndarray:
    """The filters of a convolution side by side: [k, k, channels, filters] -> uint8 [height, width].

    Grey is 0; black and white are the largest absolute weight, negative and positive.
    """
    size, count = kernel.shape[0], kernel.shape[2] * kernel.shape[3]
    tiles = kernel.reshape(size, size, count) / (np.abs(kernel).max() or 1)
    columns = math.ceil(math.sqrt(count))
    page = np.full((math.ceil(count / columns), size + 1, columns, size + 1), 255, np.uint8)
    for index in range(count):
        row, column = divmod(index, columns)
        page[row, :size, column, :size] = np.rint(127.5 * (1 + tiles[:, :, index]))
    lines = page.reshape(page.shape[0] * (size + 1), -1)[:-1, :-1]
    return lines.repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)


def _at(step: int, *summaries: Summary) -> list[Event]:
    return [Event(wall_time=time.time(), step=step, summary=each) for each in summaries]


def _hparams(**content: SessionStartInfo | SessionEndInfo) -> Summary:
    """What the HPARAMS tab reads; without a list of columns, it makes them from all runs it sees."""
    (name,) = content
    data = HParamsPluginData(version=0, **content).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=data)
    return Summary(
        value=[Summary.Value(tag=f"_hparams_/{name}", metadata=SummaryMetadata(plugin_data=plugin))]
    )


def _floats(row: Mapping[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items()}


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(folder)  # a full disk does not say where
        raise LockstepError(f"TensorBoard events: {one_line(error)}") from None
