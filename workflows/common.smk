# The config, checked before any job starts, and the table of cells that the rules are made from.
# Parsing imports no deep-learning framework and asks no hardware.

from os.path import relpath
from pathlib import Path

from lockstep import config as configs
from lockstep import freshness
from lockstep.attacks import robustness, transfer
from lockstep.cell import OUTPUTS
from lockstep.conformance.certificate import asked
from lockstep.data import store
from lockstep.discovery import REFERENCE, find
from lockstep.errors import LockstepError, one_line


def read_config():
    """The one config file that Snakemake was given, read by the harness itself."""
    if len(workflow.configfiles) != 1:
        raise LockstepError(f"give one --configfile, not {len(workflow.configfiles)}")
    path = Path(relpath(workflow.configfiles[0]))
    overrides = dict(workflow.config_settings.config or {})
    selected = None
    if "backends" in overrides:
        names = overrides.pop("backends")
        selected = configs.selection(
            names if isinstance(names, list) else str(names or "")
        )
    if overrides:
        raise LockstepError(
            f"--config {', '.join(overrides)}: only `backends` can be set there; edit {path} instead"
        )
    return configs.load(path, selected)


try:
    CONFIG = read_config()
    CELLS = {
        str(cell): cell
        for cell in CONFIG.cells()
        if not find(cell.backend).unusable(cell.device)
    }
    STAMPS = {name: freshness.of_cell(CONFIG, cell) for name, cell in CELLS.items()}
    ATTACK_STAMPS = {
        str(cell): freshness.of_attack(CONFIG, cell)
        for cell in CONFIG.attacked()
        if str(cell) in CELLS
    }
    SOURCES = {name: freshness.of_source(CONFIG, name) for name in CONFIG.sources}
    PROOF = [CONFIG.certificate(*key) for key in freshness.certificates(CONFIG)]
    TIMINGS = {
        CONFIG.speed_file(timing.threads, timing.device).stem: (
            timing,
            freshness.of_speed(CONFIG, timing),
        )
        for timing in freshness.timings(CONFIG)
    }
except (LockstepError, OSError) as error:
    raise WorkflowError(one_line(error))

SELECTED = ",".join(CONFIG.backends)
RESULTS = CONFIG.results
# One file of each cell, and those that are missing: naming all files of 1,000 cells costs Snakemake seconds.
METRICS = [CONFIG.folder(cell) / "metrics.json" for cell in CELLS.values()]
MISSING = [
    path.with_name(name)
    for path in METRICS
    for name in OUTPUTS
    if not path.with_name(name).exists()
]
TRANSFERRED = transfer.cells(CONFIG)
ATTACKS = [
    CONFIG.attack_folder(CELLS[name]) / output
    for name in ATTACK_STAMPS
    for output in robustness.OUTPUTS
] + sorted({transfer.path(CONFIG, cell.backend, cell.device) for cell in TRANSFERRED})
SPEED = [CONFIG.results / "speed" / f"{name}.json" for name in TIMINGS]
DATA = RESULTS / "data/{source}"
REPORT = CONFIG.reports / "index.html"
CELL = "{experiment}/{backend}/{device}/seed-{seed}"


def cell_of(wildcards):
    return CELLS[CELL.format(**wildcards)]


def data_of_cell(wildcards):
    folder = CONFIG.data_path(cell_of(wildcards).experiment.data.source)
    return [folder / name for name in store.FILES]


def stamp_of_source(wildcards):
    return SOURCES[wildcards.source]


def stamp_of_cell(wildcards):
    return STAMPS[CELL.format(**wildcards)]


def stamp_of_attack(wildcards):
    return ATTACK_STAMPS[CELL.format(**wildcards)]


def stamp_of_speed(wildcards):
    return TIMINGS[wildcards.timing][1]


def data_of_speed(wildcards):
    timing, _ = TIMINGS[wildcards.timing]
    folder = CONFIG.data_path(timing.experiment.data.source)
    return [folder / name for name in store.FILES]


def options_of_speed(wildcards):
    timing, _ = TIMINGS[wildcards.timing]
    size = timing.experiment.training.batch_size
    peers = " --peers" if timing.peers else ""
    return (
        f"--device {timing.device} --threads {timing.threads}"
        f" --batch-size {size} --rounds {timing.rounds}{peers}"
    )


def backends_of_speed(wildcards):
    return list(TIMINGS[wildcards.timing][0].backends)


def gpus_of_speed(wildcards):
    return int(TIMINGS[wildcards.timing][0].device == "gpu")


def stamp_of(backend, device, name):
    """Of a certificate."""
    return freshness.of_certificate(CONFIG, backend, device, name)


def options_of_certificate(wildcards):
    settings = CONFIG.conformance
    return {
        "travel": f"--tier T5 --steps {settings.steps}",
        "seeds": f"--tier T6 --pairs {settings.pairs}",
        "attacks": "--tier T7",
        "band": f"--tier T8 --steps {settings.steps}",
    }[wildcards.name]


def threads_of_cell(wildcards):
    return cell_of(wildcards).experiment.training.threads


def gpus_of_cell(wildcards):
    return int(wildcards.device == "gpu")
