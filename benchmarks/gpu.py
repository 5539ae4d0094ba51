"""What there is to say of a GPU, all at once: whether each backend is in step on it, and how long it trains.

    python benchmarks/gpu.py [--backends torch,jax] [--config config/lecture.yaml]

Certifies every backend that runs on a GPU here (TF32 is off), trains the config's first experiment once on
each, by default ten epochs of all of MNIST, and prints a table for the README with the date, the GPU and its
driver.  One GPU is held from start to end.  Results are kept in results/gpu.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import yaml

from lockstep import config as configs
from lockstep import gpu
from lockstep.conformance import certificate
from lockstep.conformance.certificate import Certificate
from lockstep.discovery import find, plugins
from lockstep.provenance import machine

RESULTS = "results/gpu"
TF32 = ("tf32", "matmul_precision", "CUPY_TF32")
"""The switches by which backends say in their environment that TF32 is off."""
COLUMNS = ("backend", "versions", "in step", "TF32", "epochs", "training, s", "images/s", "test accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", help="default: every one that can run on a GPU")
    parser.add_argument("--tier", default="T0..T4,T7", help="of lockstep verify")
    parser.add_argument("--config", type=Path, default=Path("config/lecture.yaml"))
    arguments = parser.parse_args()
    if not gpu.usable():
        sys.exit(f"gpu.py: no GPU to be used: nvidia-smi names none that ${gpu.VISIBLE} leaves")
    names = arguments.backends.split(",") if arguments.backends else list(plugins())
    with gpu.held("gpu") as mine, tempfile.TemporaryDirectory(prefix="lockstep-") as folder:
        found = [
            made for name in names if (made := certify(name, arguments.tier, Path(folder, f"{name}.json")))
        ]
        if not found:
            sys.exit("gpu.py: no backend can run on the GPU; the lines above say why")
        config = Path(folder, "config.yaml")
        content = yaml.safe_load(arguments.config.read_text())
        config.write_text(yaml.safe_dump(content | {"results": RESULTS, "reports": "reports/gpu"}))
        rows = [row(made, *train(config, made.backend)) for made in found]
    here = machine()
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}, {mine}; {here['cpu']}, {here['cores']} cores; {arguments.config}\n"
    )
    for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows):
        print(f"| {' | '.join(cells)} |")


def certify(name: str, tier: str, path: Path) -> Certificate | None:
    """None where it cannot run here, which is said."""
    if reason := find(name).unusable("gpu"):
        print(f"{name}: {reason}")
        return None
    lockstep("verify", name, "--device", "gpu", "--tier", tier, "--json", str(path))
    return certificate.read(path)[0] if path.is_file() else None


def train(config: Path, backend: str) -> tuple[int, float, float, str]:
    """Epochs, seconds of training, images a second, accuracy on test images; or why there is none."""
    settings = configs.load(config)
    cell = settings.cell(next(iter(settings.experiments)), backend, "gpu", 0)
    names = ("--config", str(config), "--experiment", cell.name, "--backend", backend, "--device", "gpu")
    if lockstep("train", *names):
        return 0, float("nan"), float("nan"), "failed: see above"
    folder = settings.folder(cell)
    metrics = json.loads((folder / "metrics.json").read_text())
    times = json.loads((folder / "provenance.json").read_text())["times"]
    if metrics["outcome"] != "completed":
        return metrics["epochs"], float("nan"), float("nan"), metrics["outcome"]
    (accuracy,) = (
        f"{100 * each['value']:.2f} %"
        for each in metrics["measurements"]
        if (each["split"], each["metric"], each["condition"]) == ("test", "accuracy", "")
    )
    return metrics["epochs"], times["train_s"], times["images_per_second"], accuracy


def row(made: Certificate, epochs: int, seconds: float, rate: float, accuracy: str) -> list[str]:
    switches = ", ".join(f"{name} {made.environment[name]}" for name in TF32 if name in made.environment)
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    numbers = (str(epochs), f"{seconds:.2f}", f"{rate:,.0f}")
    return [made.backend, versions, made.summary, switches, *numbers, accuracy]


def lockstep(*arguments: str) -> int:
    """Run a command, whose output is shown; its exit status."""
    return subprocess.run([sys.executable, "-m", "lockstep", *arguments]).returncode


if __name__ == "__main__":
    main()
