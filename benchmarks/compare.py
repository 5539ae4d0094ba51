"""What comparing 1,000 cells costs: `python benchmarks/compare.py`.

Two results folders are written by hand: experiments on four backends from five seeds, with 60 measurements
and 10,000 test images a cell, all attacked.  Seconds are of the whole command with its page: wall time, and
that of the processor, which a busy machine stretches less.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np

from lockstep.results import SCHEMA, write_npz

EXPERIMENTS, BACKENDS, SEEDS, IMAGES = 50, ("alpha", "beta", "gamma", "delta"), 5, 10_000
MACHINE = {"cpu": "a cpu", "cores": 2, "system": "Linux", "python": "3.11", "lockstep": "0"}
SETTINGS = {"names": ["fgsm", "pgd"], "eps": [0.1, 0.2, 0.3], "images": 100}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="lockstep-") as folder:
        root = Path(folder)
        rng = np.random.default_rng(0)
        for k in range(4):  # cells link to one of these, as 2,000 of them are a GB
            arrays = {"logits": rng.normal(size=(IMAGES, 10)).astype("float32"), "index": np.arange(IMAGES)}
            write_npz(root / f"{k}.npz", arrays)
        for side in "ab":
            for name, backend, seed in product(range(EXPERIMENTS), BACKENDS, range(SEEDS)):
                make(root, side, f"{name}/{backend}/cpu/seed-{seed}", rng)
        command = [
            sys.executable,
            "-m",
            "lockstep",
            "compare",
            "a",
            "b",
            "--html",
            "page.html",
            "--json",
            "x.json",
        ]
        for options in (command[:6], command):
            before, start = os.times(), time.perf_counter()
            subprocess.run(options, cwd=root, check=True, stdout=subprocess.DEVNULL)
            wall, after = time.perf_counter() - start, os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"{' '.join(options[2:])}: {wall:.1f} s, of the processor {used:.1f} s")


def make(root: Path, side: str, cell: str, rng: np.random.Generator) -> None:
    def rows(conditions: list[str], metric: str = "accuracy") -> list[dict[str, object]]:
        values = np.round(rng.uniform(0.95, 0.97, len(conditions)), 4)
        return [
            {"split": "test", "metric": metric, "condition": condition, "value": value, "n": IMAGES}
            for condition, value in zip(conditions, values, strict=True)
        ]

    whole = [
        row for metric in ("accuracy", "cross_entropy", "calibration_error") for row in rows([""], metric)
    ]
    measured = whole + rows([f"class={k}" for k in range(57)])
    experiment = {"layers": [{"kind": "dense", "units": 10}], "training": {"epochs": 5}}
    identity = {"experiment": experiment, "data": "d" * 64, "harness": "h", "plugin": "p", "versions": {}}
    provenance = {"identity": identity, "cell_hash": cell, "machine": MACHINE, "environment": {"blas": side}}
    attacked = rows([f"{name}={eps}" for name in ("fgsm", "pgd", "worst") for eps in SETTINGS["eps"]])
    folder = root / side / "cells" / cell
    files = {
        folder / "metrics.json": {"outcome": "completed", "measurements": measured},
        folder / "provenance.json": provenance | {"git": {"commit": None, "dirty": None}},
        root / side / "attacks" / cell / "attacks.json": {
            "cell_hash": cell, "settings": SETTINGS, "measurements": attacked,
        },
    }  # fmt: skip
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"schema": SCHEMA, **content}, indent=2))  # write_json waits for the disk
    os.link(root / f"{rng.integers(4)}.npz", folder / "predictions.npz")


if __name__ == "__main__":
    main()
