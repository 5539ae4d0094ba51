"""A finished run of a config under attack, from its weights to files: `lockstep robustness`."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from lockstep import gpu, trained
from lockstep.attacks.suite import FIT, Suite, digits, pieces
from lockstep.attacks.victim import Victim
from lockstep.config import Cell, Config
from lockstep.errors import LockstepError, one_line
from lockstep.evaluation import BATCH
from lockstep.identity import attack_hash
from lockstep.results import write_json, write_npz

OUTPUTS = ("attacks.json", "attacks.npz")
FAILURE = "failure.json"


def made_by(config: Config, cell: Cell) -> str | None:
    """The hash that complete results were made by; None if there are none."""
    folder = config.attack_folder(cell)
    try:
        made = json.loads((folder / OUTPUTS[0]).read_text())["hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(made) if (folder / OUTPUTS[1]).is_file() else None


Bar = Callable[[int], AbstractContextManager[Callable[[str], None]]]
"""So many pieces of work -> what is told each of them before it is done."""


def run(config: Config, cell: Cell, bar: Bar) -> str:
    """Attack a cell; returns what is to be said of it.

    A run that diverged has nothing to attack: that is a result too.  Raises LockstepError on any failure,
    whose reason is kept in failure.json for the report.
    """
    folder = config.attack_folder(cell)
    try:
        (folder / FAILURE).unlink(missing_ok=True)
        with gpu.held(cell.device):
            return _run(config, cell, folder, bar)
    except (Exception, SystemExit) as error:  # a plugin may call sys.exit
        reason = one_line(error)
        known = isinstance(error, LockstepError | OSError)
        with suppress(OSError):
            write_json(
                folder / FAILURE, {"reason": reason, "traceback": "" if known else traceback.format_exc()}
            )
        raise LockstepError(f"{cell}, attacked: {reason}") from error


def _run(config: Config, cell: Cell, folder: Path, bar: Bar) -> str:
    settings, began = config.attacks, time.perf_counter()
    if settings is None:
        raise LockstepError(f"{config.path}: attacks: not there; this config attacks nothing")
    run, outcome, suite = config.folder(cell), trained.outcome(config.folder(cell)), None
    cell_hash = trained.cell_hash(run)
    made_of = {  # before it is attacked: files may change meanwhile
        "hash": attack_hash(cell_hash, run / "weights.npz", settings.of(cell.key)),
        "cell_hash": cell_hash,
    }
    if outcome == "completed":
        suite = _suite(config, cell)
        work = list(pieces(suite))
        with bar(len(work)) as advance:
            for what, do in work:
                advance(what)
                do()
    content = {
        "outcome": outcome,
        **made_of,
        "settings": settings.of(cell.key),
        "seconds": round(time.perf_counter() - began, 1),
        "measurements": suite.measurements if suite else [],
    }
    (folder / OUTPUTS[0]).unlink(missing_ok=True)  # without it there is no result
    write_npz(folder / OUTPUTS[1], suite.arrays if suite else {})
    write_json(folder / OUTPUTS[0], content)
    if not suite:
        return f"not attacked: it {outcome}"
    worst = [m for m in suite.measurements if m["condition"] == f"worst={settings.shown:g}"]
    return f"{worst[0]['value']:.1%} of {worst[0]['n']} images survive eps {settings.shown:g}"


def _suite(config: Config, cell: Cell) -> Suite:
    settings = config.attacks
    assert settings
    opened = trained.read(config.folder(cell))
    if opened.cell.experiment.settings != cell.experiment.settings:
        raise LockstepError(f"{opened.folder}: results of another configuration; train the cell again")
    dataset = opened.dataset()
    images, labels = digits(dataset.test, settings.images)
    experiment, strong = cell.experiment, settings.strong_of(cell.key)
    weighted = [node for node in experiment.spec.nodes if node.weights]
    batch = min(len(images), BATCH)
    return Suite(
        victim=Victim(opened.backend(), dataset.transform, experiment.training.dtype, batch),
        classes=dataset.classes,
        images=images,
        labels=labels,
        fit=digits(dataset.validation, FIT),
        part=opened.backend,
        hidden={node.name: node.output_shape[-1] for node in weighted[:-1]},
        settings=settings,
        strong=strong,
        others=digits(dataset.test, strong.images if strong else 0),
        image_noise=experiment.regularisation.image_noise,
        seed=cell.seed,
    )
