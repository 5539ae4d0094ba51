"""What a config of many finished cells costs: snakemake with nothing to do, and the report of them all.

    python benchmarks/many_cells.py [--cells 1000] [--images 10000] [--rounds 3]

Five experiments of config/config.yaml are trained for two epochs from one seed on every installed backend.
Those runs then stand for the other seeds too: with other noise on their logits, measured anew, and with the
identity of the cell that they stand for, so that Lockstep finds each of them finished and up to date.  Each
has as many test images as full MNIST.  Weights are links to one file, because 1,000 copies are 9 GB.
Snakemake is given its records of all jobs, as if it had run them.  All that takes some minutes.

Seconds are of whole commands: wall time, and that of the processor, which a busy machine stretches less.  The
memory is that of the largest process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ("baseline", "dropout", "label_smoothing", "leaky_relu", "swish")
LINKED = ("weights.npz", "best.npz", "functions.npz", "history.csv", "units.csv")
SNAKEMAKE = (
    "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml", "--cores", "1"
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--images", type=int, default=10_000, help="test images of a cell")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="lockstep-") as folder:
        os.chdir(folder)
        make(arguments.cells, arguments.images)
        measure(arguments.rounds)


def make(cells: int, images: int) -> None:
    """Finished cells in the current folder, and Snakemake's records of them."""
    from lockstep import config
    from lockstep.discovery import plugins

    backends = [name for name, plugin in plugins().items() if not plugin.missing()]
    write_config(backends, 1)
    for cell in config.load(Path("config.yaml")).cells():
        print(f"training {cell}", flush=True)
        names = "--experiment", cell.name, "--backend", cell.backend
        run("lockstep", "train", "--config", "config.yaml", *names)
    write_config(backends, max(1, cells // (len(backends) * len(EXPERIMENTS))))
    whole = config.load(Path("config.yaml"))
    made = list(whole.cells())
    print(f"writing {len(made):,} cells", flush=True)
    for cell in reversed(made):  # the first seed, which the others are made of, comes last
        stand_in(whole, cell, images)
    run(*SNAKEMAKE, "--touch", "--forceall")


def write_config(backends: list[str], seeds: int) -> None:
    import yaml

    from lockstep.yaml_files import read

    content = read(ROOT / "config/config.yaml")
    base = content["base"]
    base["data"]["train_size"], base["training"]["epochs"] = 200, 2
    made = {
        "results": "results",
        "reports": "reports",
        "backends": backends,
        "seeds": list(range(seeds)),
        "conformance": {"tiers": []},
        "base": base,
        "experiments": {name: content["experiments"][name] for name in EXPERIMENTS},
    }
    Path("config.yaml").write_text(yaml.safe_dump(made, sort_keys=False))


def stand_in(config, cell, images: int) -> None:  # type: ignore[no-untyped-def]
    """The files of a cell, made of those of its first seed."""
    import json

    import numpy as np

    from lockstep.evaluation import measure as evaluate
    from lockstep.identity import cell_hash, identity
    from lockstep.results import read_npz

    trained = config.folder(config.cell(cell.name, cell.backend, cell.device, 0))
    folder = config.folder(cell)
    folder.mkdir(exist_ok=True)
    if folder != trained:
        for name in LINKED:
            os.link(trained / name, folder / name)
    arrays = {
        name: np.resize(array, (images, *array.shape[1:]))
        for name, array in read_npz(trained / "predictions.npz").items()
    }
    noise = np.random.default_rng(cell.seed).normal(size=arrays["logits"].shape)
    arrays["logits"] = (arrays["logits"] + 0.3 * noise).astype(arrays["logits"].dtype)
    np.savez(folder / "predictions.npz", **arrays)
    metrics = json.loads((trained / "metrics.json").read_text())
    anew = {
        (row["metric"], row["condition"]): row for row in evaluate(arrays["logits"], arrays["labels"], "test")
    }
    metrics["measurements"] = [
        anew.get((row["metric"], row["condition"]), row) if row["split"] == "test" else row
        for row in metrics["measurements"]
    ]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    provenance = json.loads((trained / "provenance.json").read_text())
    provenance |= {"identity": identity(cell), "cell_hash": cell_hash(cell)}
    (folder / "provenance.json").write_text(json.dumps(provenance))


def measure(rounds: int) -> None:
    """Print seconds and memory of both commands, and the sizes of the pages."""
    run(*SNAKEMAKE)  # makes the report
    done = "Nothing to be done"
    commands = {
        "snakemake, nothing to do": SNAKEMAKE,
        "report": ("lockstep", "report", "--config", "config.yaml"),
    }
    for what, command in commands.items():
        found = []
        for _ in range(rounds):
            said, *figures = timed(*command)
            if command is SNAKEMAKE and done not in said:
                sys.exit(f"expected {done!r}, found:\n{said}")
            found.append(figures)
        wall, busy, megabytes = (sorted(column) for column in zip(*found, strict=True))
        print(
            f"{what}: median {statistics.median(wall):.1f} s (min {wall[0]:.1f}, max {wall[-1]:.1f}, "
            f"{rounds} rounds), {statistics.median(busy):.1f} s of the processor, "
            f"at most {megabytes[-1]:.0f} MB",
            flush=True,
        )
    for path in sorted(Path("reports").glob("*.html")):
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def timed(*command: str) -> tuple[str, float, float, float]:
    """What a command says, its seconds on the wall and the processor, and the MB of its largest process."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{said}")
    megabytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return said, seconds, usage.ru_utime + usage.ru_stime, megabytes


def run(*command: str) -> None:
    timed(*command)


if __name__ == "__main__":
    main()
