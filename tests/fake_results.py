"""Results of a config that are written by hand, so that what a report says of them can be worked out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lockstep import discovery
from lockstep.attacks import suite
from lockstep.attacks.strength import OF_NAMES
from lockstep.attacks.suite import further
from lockstep.attacks.transfer import made_of
from lockstep.attacks.victim import Victim
from lockstep.config import Cell, Config, load
from lockstep.config_file import Attacks
from lockstep.data import store
from lockstep.data.dataset import UNIT
from lockstep.evaluation import Measurement, measure
from lockstep.identity import attack_hash, cell_hash
from lockstep.inside import GRID
from lockstep.report.effects.functions import formula, labels
from lockstep.results import write_json, write_npz, write_text

UNITS = "epoch,layer,function,units,dead,zeros\n"
HEADER = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy\n"
STANDARD = (OF_NAMES, "apgd", "apgd_targeted", "autoattack_fast", *further(Attacks()))
"""What a run is attacked with at the eps shown, beside the attacks of the config."""
FULL = ("strong_apgd", "strong_apgd_targeted", "strong_fab", "strong_square", "autoattack")
"""The standard's full set, where the config asks for it."""
REASON = "MemoryError: [Errno 12] <not enough> & more"


def functions_of(cell: Cell) -> dict[str, np.ndarray]:
    """As a backend would compute them in float64."""
    found = {"z": GRID}
    for label in labels(cell.experiment.spec):
        found[f"{label}/value"], found[f"{label}/derivative"] = formula(label, GRID)
    return found


@dataclass
class Fake:
    """A config whose results are written by hand: of ten test images, the first `wrong` are misclassified."""

    config: Config

    def cell(self, name: str, backend: str, seed: int) -> Cell:
        return self.config.cell(name, backend, "cpu", seed)

    def write(
        self,
        cell: Cell,
        wrong: int,
        outcome: str = "completed",
        stale: bool = False,
        first_epoch: float = 0.75,
        inside: Sequence[Measurement] = (),
        dead: float = 0.0,
    ) -> None:
        """first_epoch: validation accuracy after it; inside: more measurements; dead: share of dead units."""
        folder, labels = self.config.folder(cell), np.arange(10)
        logits = 4 * np.eye(10)[np.where(labels < wrong, (labels + 1) % 10, labels)]
        completed = outcome == "completed"
        settings = cell.experiment.settings | ({"optimizer": "another"} if stale else {})
        validation = {1: first_epoch, 2: 0.75}
        rows = [(e, 1 / e, 0.5, 0.5 / e, validation[e]) for e in (1, 2)] if completed else []
        weights = {
            key: np.full(shape, 0.1 + cell.seed) for key, shape in cell.experiment.spec.weights.items()
        }
        write_text(folder / "history.csv", HEADER + "".join(",".join(map(str, row)) + "\n" for row in rows))
        units = [f"{e},activation1,relu,4,{dead},0.5\n" for e in (1, 2)]
        write_text(folder / "units.csv", "".join([UNITS, *units]))
        write_npz(folder / "functions.npz", functions_of(cell))
        write_npz(folder / "predictions.npz", {"logits": logits, "labels": labels, "index": labels[::-1]})
        write_npz(folder / "weights.npz", weights)
        write_npz(folder / "best.npz", weights)
        sources = {"data": "d" * 64, "harness": "h", "plugin": "p", "versions": {"numpy": "2"}}
        provenance = {
            "identity": {"experiment": settings, **sources},
            "cell_hash": cell_hash(cell),
            "environment": {"blas": "some"},
            "machine": {"cpu": "a cpu", "cores": 2, "system": "Linux", "python": "3.11", "lockstep": "0"},
            "git": {"commit": "abc", "dirty": False},
            "times": {"import_s": 1.0, "build_s": 0.5, "images_per_second": 1234.0 if completed else None},
        }  # fmt: skip
        write_json(folder / "provenance.json", provenance)
        reason = "" if completed else "the loss became NaN or infinite at step 3, in epoch 1"
        measurements = [*measure(logits, labels, "test"), *inside] if completed else []
        metrics = {
            "outcome": outcome,
            "reason": reason,
            "epochs": len(rows),
            "best_epoch": 2,
            "measurements": measurements,
        }
        write_json(folder / "metrics.json", metrics)

    def fail(self, cell: Cell) -> None:
        write_json(
            self.config.folder(cell) / "failure.json", {"reason": REASON, "traceback": "Traceback: <deep>"}
        )

    def attack(
        self,
        cell: Cell,
        accuracy: Mapping[str, float],
        saturated: float = 0.0,
        unsteady: float = 0.0,
        **more: object,
    ) -> None:
        """As `lockstep robustness` leaves it, but with accuracies by condition, or by attack for every eps;
        what is not named is 0.9, and 0 at an eps of 0.5.  What is tried on who survives finds nobody more.
        more: of attacks.json."""
        settings, folder = self.config.attacks, self.config.attack_folder(cell)
        how = settings.of(cell.key)
        noise = cell.experiment.regularisation.image_noise
        strongly = settings.strong_of(cell.key) is not None
        measurements, arrays = under_attack(settings.model_dump_json(), strongly, noise)
        standard = dict.fromkeys(STANDARD, min(accuracy.get(f"worst={settings.shown:g}", 0.9), 0.9))
        full = dict.fromkeys(FULL, accuracy.get("strong_pgd", 0.9))
        given = {"apgd=0.5": 0.0, **standard, **full, **accuracy}
        rows = []
        for row in measurements:
            named = given.get(row["condition"], given.get(row["condition"].partition("=")[0], 0.9))
            metrics = {"saturated": saturated, "unsteady": unsteady, "taken_for": 0.1}
            value = metrics.get(row["metric"], named)
            rows.append(row | {"value": value})
        content = {
            "outcome": "completed",
            "hash": attack_hash(cell_hash(cell), self.config.folder(cell) / "weights.npz", how),
            "cell_hash": cell_hash(cell),
            "settings": how,
            "seconds": 1.0,
            "measurements": rows,
        }
        if "strong/distances" in arrays:  # nothing that contradicts the numbers
            arrays = arrays | {"strong/distances": np.full(10, np.inf)}
        write_npz(folder / "attacks.npz", arrays)
        write_json(folder / "attacks.json", content | more)

    def fail_attack(self, cell: Cell) -> None:
        write_json(self.config.attack_folder(cell) / "failure.json", {"reason": REASON, "traceback": ""})

    def transfer(self, backend: str, accuracy: Callable[[Cell, Cell], float]) -> None:
        """accuracy(crafted on, shown to) of all attacked runs of the first experiment."""
        cells = [cell for cell in self.config.attacked() if cell.name == next(iter(self.config.experiments))]
        rows = [
            {
                "source": [source.backend, source.device, source.seed],
                "target": [target.backend, target.device, target.seed],
                "accuracy": accuracy(source, target),
                "n": 10,
            }
            for target in cells
            if target.backend == backend
            for source in cells
        ]
        path = self.config.results / "transfer" / backend / "cpu.json"
        write_json(path, {"hash": made_of(self.config), "experiment": cells[0].name, "rows": rows})


class Sums:
    """A backend whose logits are ten weighted sums of the pixels."""

    weights = np.random.default_rng(0).normal(size=(28 * 28, 10)).astype(np.float32)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1) @ self.weights

    def vjp(self, images: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        return self.logits(images), lambda by_logits: (by_logits @ self.weights.T).reshape(images.shape)


@cache
def under_attack(
    settings: str, strongly: bool, image_noise: float
) -> tuple[list[Measurement], dict[str, np.ndarray]]:
    """What the real suite measures of ten images, and the arrays that it leaves."""
    wanted = Attacks.model_validate_json(settings)
    images = np.random.default_rng(1).uniform(size=(10, 28, 28, 1)).astype(np.float32)
    victim = Victim(Sums(), UNIT, "float32", batch=10)
    made = suite.Suite(
        victim=victim,
        classes=10,
        images=images,
        labels=np.arange(10),
        fit=(images, np.arange(10)),
        part=lambda layer: Sums(),
        hidden={"dense1": 10},
        settings=wanted,
        strong=wanted.strong if strongly else None,
        others=(images, np.arange(10)),
        image_noise=image_noise,
        seed=0,
    )
    for _, work in suite.pieces(made):
        work()
    return made.measurements, made.arrays


def write_images(
    config: Config,
    images: np.ndarray,
    skipped: Sequence[store.Refused] = (),
    duplicates: Mapping[str, Any] | None = None,
) -> None:
    """The decoded source of the fakes: uint8 [n, 28, 28, 1]."""
    folder, labels = config.data_path("mnist-5k"), np.arange(len(images)) % 10
    decoded = store.write_arrays(folder, (28, 28, 1), [(images.tobytes(), labels)], 10)
    about = {"sha256": "d" * 64}
    store.finish(
        folder, "mnist-5k", [*"0123456789"], about, decoded._replace(skipped=skipped, duplicates=duplicates)
    )


@contextmanager
def project(root: Path, config: str) -> Iterator[Config]:
    """Three backends in a folder of their own, the last of them not installed; nothing has been run."""
    for name in ("alpha", "beta", "ghost"):
        write_text(
            root / "backends" / name / "backend.py", "raise RuntimeError('a report imports no backend')\n"
        )
    write_text(root / "backends/ghost/requirements.txt", "no-such-distribution\n")
    write_text(root / "config.yaml", config.format(root=root))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        discovery.plugins.cache_clear()
        yield load(root / "config.yaml")
    discovery.plugins.cache_clear()


def plain(page: Path) -> str:
    """A page as it is read: without pictures, scripts and tags."""
    read = re.sub(r"<(svg|style|script).*?</\1>", " ", page.read_text(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", read).replace("\N{NO-BREAK SPACE}", " ").split())


def table(page: Path, name: str) -> pd.DataFrame:
    """As it is on disk, CSV and Parquet alike."""
    frame = pd.read_csv(page.parent / "tables" / f"{name}.csv")
    parquet = pd.read_parquet(page.parent / "tables" / f"{name}.parquet")
    texts = {name: "" for name in ("reason", "condition", "agreement", "replication") if name in frame}
    frame = frame.fillna(texts)  # CSV cannot tell an empty text from none
    pd.testing.assert_frame_equal(frame, parquet, check_dtype=False)
    return frame
