"""Run one cell: lock, load or resume, train, evaluate, write its files."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from lockstep import discovery, evaluation, gpu, process, provenance
from lockstep.backend import Backend
from lockstep.checkpoint import Checkpoint
from lockstep.config import Cell, Config
from lockstep.data import dataset as datasets
from lockstep.data import sources
from lockstep.data.draws import initial_weights
from lockstep.errors import LockstepError, one_line
from lockstep.evaluation import BATCH, Measurement
from lockstep.identity import cell_hash, identity
from lockstep.inside import Activity, Inside, State, looked_at
from lockstep.plugin import Plugin
from lockstep.results import write_json, write_npz, write_text
from lockstep.spec import Spec
from lockstep.training import Diverged, Epoch, Progress, Watcher, train

OUTPUTS = (
    "metrics.json", "history.csv", "predictions.npz", "weights.npz", "best.npz", "units.csv", "functions.npz",
    "provenance.json",
)  # fmt: skip
FAILURE = "failure.json"


def made_by(config: Config, cell: Cell) -> str | None:
    """The cell hash that a complete set of results was made by; None if there is none."""
    folder = config.folder(cell)
    try:
        json.loads((folder / "metrics.json").read_text())
        made = json.loads((folder / "provenance.json").read_text())["cell_hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(made) if all((folder / name).is_file() for name in OUTPUTS) else None


def run(config: Config, cell: Cell, watch: Watcher) -> dict[str, Any]:
    """Train and evaluate a cell; returns what metrics.json holds.

    Raises LockstepError on any failure, whose reason is kept in failure.json for the report.
    """
    folder = config.folder(cell)
    try:
        (folder / FAILURE).unlink(missing_ok=True)
        usable(cell)
        with _lock(config, cell) as (work, waited):
            if waited and made_by(config, cell) == cell_hash(cell):
                return dict(json.loads((folder / "metrics.json").read_text()))
            source = cell.experiment.data.source
            data = config.data_path(source)
            sources.ensure(source, data)
            with gpu.held(cell.device) as its_gpu:
                return _run(config, Checkpoint(work, cell.experiment.spec), cell, data, its_gpu, watch)
    except (Exception, SystemExit) as error:  # a plugin may call sys.exit
        reason = one_line(error)
        known = isinstance(error, LockstepError | OSError)
        trace = "" if known else traceback.format_exc()
        with contextlib.suppress(OSError):  # on a full disk the line below is all there is
            write_json(folder / FAILURE, {"reason": reason, "traceback": trace})
        hint = f" (the traceback is in {folder / FAILURE})" if trace else ""
        raise LockstepError(f"{cell}: {reason}{hint}") from error


@contextlib.contextmanager
def _lock(config: Config, cell: Cell) -> Iterator[tuple[Path, bool]]:
    """The cell's work folder, held by this process alone, and whether another held it before.

    The children of a killed pipeline live on; two processes must never train one cell.
    """
    work = config.results / ".work" / cell_hash(cell)
    work.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work.with_suffix(".lock"))
    waited = False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{cell}: another process is training this cell; waiting for it", flush=True)
        lock.acquire()
        waited = True
    try:
        yield work, waited
    finally:
        lock.release()


def _run(
    config: Config, checkpoint: Checkpoint, cell: Cell, data: Path, its_gpu: gpu.Gpu | None, watch: Watcher
) -> dict[str, Any]:
    folder, experiment, spec = config.folder(cell), cell.experiment, cell.experiment.spec
    made_of = _made_of(config, cell)  # before it trains: files may change meanwhile
    times: dict[str, Any] = {"started": datetime.now(UTC).isoformat(timespec="seconds")}
    with _timed(times, "import_s"):
        backend_class = load_backend(cell)
    with _timed(times, "build_s"):
        dataset = load_data(cell, data)
        backend = build(backend_class, cell)

    fresh = initial_weights(spec, cell.seed, experiment.training.dtype), Progress()
    state, progress = checkpoint.load() or fresh
    backend.load(state)
    done = len(progress.history)
    if done:
        print(f"{cell}: resumed after epoch {done}", flush=True)
    watch.images(done * len(dataset.train))

    inside = Inside(partial(build, backend_class, cell), spec)
    shown = dataset.transform(dataset.validation.images[:BATCH], experiment.training.dtype)
    if not done:
        progress.activity = inside.activity(0, state, shown)

    def epoch_ended(progress: Progress) -> None:
        state = backend.dump()
        progress.activity += inside.activity(len(progress.history), state, shown)
        if checkpoint.is_due() and len(progress.history) < experiment.training.epochs:
            checkpoint.save(state, progress)
        watch.epoch(progress)

    outcome, reason = "completed", ""
    try:
        watcher = Watcher(watch.images, epoch_ended)
        seconds = train(backend, spec, experiment, dataset, cell.seed, progress, watcher)
        images = (experiment.training.epochs - done) * len(dataset.train)
        times |= {"train_s": seconds, "images_per_second": images / seconds}
    except Diverged as diverged:
        outcome, reason = "diverged", str(diverged)
    times["resumed_after_epoch"] = done or None

    with _timed(times, "evaluate_s"):
        splits = {"validation": dataset.validation, "test": dataset.test}
        logits = {
            name: evaluation.predict(backend, split, dataset.transform, experiment.training.dtype)
            for name, split in splits.items()
        }
    for name, found in logits.items():
        if outcome == "completed" and not np.isfinite(found).all():  # of images whose loss nobody looked at
            outcome, reason = "diverged", f"the logits of {name} images are NaN or infinite after training"
    state, rows = backend.dump(), []
    if outcome == "completed":
        for name, split in splits.items():
            rows += evaluation.measure(logits[name], split.labels, name)
        rows += _inside(inside, state, dataset, cell)
    metrics = {
        "outcome": outcome,
        "reason": reason,
        "epochs": len(progress.history),
        "best_epoch": progress.best_epoch,
        "measurements": rows,
    }
    weights = {name: state[name] for name in spec.weights}
    predictions = {"logits": logits["test"], "labels": dataset.test.labels, "index": dataset.test.index}
    # Without metrics.json there is no result: an interruption here never mixes two runs.
    (folder / "metrics.json").unlink(missing_ok=True)
    write_text(folder / "history.csv", _csv(Epoch, progress.history))
    write_text(folder / "units.csv", _csv(Activity, progress.activity))
    write_npz(folder / "functions.npz", inside.functions())
    write_npz(folder / "predictions.npz", predictions)
    write_npz(folder / "weights.npz", weights)
    write_npz(folder / "best.npz", progress.best or weights)
    write_json(folder / "provenance.json", made_of | _made_by(cell, backend_class, its_gpu, times))
    write_json(folder / "metrics.json", metrics)
    checkpoint.remove()
    return metrics


@contextlib.contextmanager
def _timed(times: dict[str, Any], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start


def usable(cell: Cell) -> Plugin:
    """The cell's plugin.  Raises LockstepError where it is seen without importing that it cannot run here."""
    plugin = discovery.find(cell.backend)
    if reason := plugin.unusable(cell.device):
        raise LockstepError(f"backend {cell.backend}: {reason}; see the requirements in {plugin.folder}")
    return plugin


def load_backend(cell: Cell) -> type[Backend]:
    plugin = usable(cell)
    if cell.device == "cpu":
        process.hide_gpus()
    return discovery.load(plugin)


def _made_of(config: Config, cell: Cell) -> dict[str, Any]:
    """git: of Lockstep's own source; project: of the repository that holds the config."""
    return {
        "identity": identity(cell),
        "cell_hash": cell_hash(cell),
        "git": provenance.git(),
        "project": provenance.git(config.path),
    }


def _made_by(
    cell: Cell, backend_class: type[Backend], its_gpu: gpu.Gpu | None, times: dict[str, Any]
) -> dict[str, Any]:
    return {
        "environment": {**backend_class.environment(), **discovery.find(cell.backend).switches},
        "machine": provenance.machine(its_gpu),
        "times": times,
    }


def load_data(cell: Cell, path: Path) -> datasets.Dataset:
    settings = cell.experiment.data
    return datasets.load(
        path, settings.source, settings.preprocessing, settings.split_seed, settings.train_size
    )


def _inside(inside: Inside, state: State, dataset: datasets.Dataset, cell: Cell) -> list[Measurement]:
    rows = looked_at(len(dataset.test))
    images = dataset.transform(dataset.test.images[rows], cell.experiment.training.dtype)
    labels = dataset.test.labels[rows]
    return [
        *inside.subnetworks(state, images, labels, cell.seed),
        *inside.knockouts(state, images, labels, cell.seed),
    ]


def build(backend_class: type[Backend], cell: Cell, spec: Spec | None = None) -> Backend:
    """The cell's network, or another one by its rules."""
    settings, plugin = cell.experiment.training, discovery.find(cell.backend)
    if plugin.precision != "float32" and settings.dtype != "float32":
        raise LockstepError(f"backend {plugin.name} is of float32 runs: training.dtype is {settings.dtype}")
    return backend_class(
        spec or cell.experiment.spec,
        cell.experiment.optimizer,
        device=cell.device,
        dtype=settings.dtype,
        threads=settings.threads,
        deterministic=settings.deterministic,
        **plugin.options,
    )


def _csv(columns: type[Any], rows: Sequence[Any]) -> str:
    """Rows of a dataclass."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(columns)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()
