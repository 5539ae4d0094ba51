# The config, checked before any job starts, and the table of cells that the rules are made from.
# Parsing imports no deep-learning framework and asks no hardware.

import sys
from os.path import relpath
from pathlib import Path

from lockstep import config as configs
from lockstep import freshness
from lockstep.attacks import robustness, transfer
from lockstep.cell import OUTPUTS
from lockstep.conformance import certificate
from lockstep.data import store
from lockstep.discovery import REFERENCE, find
from lockstep.errors import LockstepError, one_line
from lockstep.report import folder as reports


def read_config():
    """The one config file that Snakemake was given, read by the harness itself."""
    if len(workflow.configfiles) != 1:
        raise LockstepError(f"give one --configfile, not {len(workflow.configfiles)}")
    path = Path(relpath(workflow.configfiles[0]))
    overrides = dict(workflow.config_settings.config or {})
    selected = None
    if "backends" in overrides:
        given = overrides.pop("backends")
        names = given if isinstance(given, list) else ["" if given is None else given]
        if not all(isinstance(name, str) for name in names):
            raise LockstepError(
                f"--config backends: names are expected, as in backends=torch,jax, not {given!r}"
            )
        selected = configs.selection(",".join(names))
    if overrides:
        raise LockstepError(
            f"--config {', '.join(map(str, overrides))}: only `backends` can be set there; edit {path} instead"
        )
    return configs.load(path, selected)


# The certificates whose backend is compared with runs of the reference.
COMPARED = [name for name in certificate.FILES if name != "quick"]

try:
    CONFIG = read_config()
    reports.require_free(CONFIG, asked_for=False)
    CELLS = {
        str(cell): cell
        for cell in CONFIG.cells()
        if not find(cell.backend).unusable(cell.device)
    }
    TIMINGS = {
        CONFIG.speed_file(timing.threads, timing.device).stem: timing
        for timing in freshness.timings(CONFIG)
    }
    # What the reference does is also made for those that are compared with it, whoever was selected.
    REFERRED = [
        freshness.of_certificate(CONFIG, REFERENCE, "cpu", name)
        for name in COMPARED
        if certificate.asked(CONFIG, name)
    ]
    WANTED = list(freshness.everything(CONFIG))
    MADE = {result.name: result for result in [*WANTED, *REFERRED]}
    STAMPS = {name: freshness.stamp(CONFIG, result) for name, result in MADE.items()}
    REPORTED = freshness.of_report(CONFIG, WANTED)
    REPORT_STAMP = freshness.stamp(CONFIG, REPORTED)
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
ATTACKS = [
    CONFIG.attack_folder(cell) / output
    for cell in freshness.attacked(CONFIG)
    for output in robustness.OUTPUTS
] + [transfer.path(CONFIG, *side) for side in freshness.transfers(CONFIG)]
PROOF = [CONFIG.certificate(*key) for key in freshness.certificates(CONFIG)]
SPEED = [CONFIG.results / "speed" / f"{name}.json" for name in TIMINGS]
DATA = RESULTS / "data/{source}"
REPORT = CONFIG.reports / "index.html"
CELL = "{experiment}/{backend}/{device}/seed-{seed}"


def known(table, name):
    """What the table has of a job.  Of one that is not the config's Snakemake would print a traceback."""
    if name not in table:
        sys.exit(
            f"{CONFIG.path} has no {name} that can be made here; "
            f"lockstep plan --config {CONFIG.path} lists its runs"
        )
    return table[name]


def stamp_of(name):
    """Of the result that a job makes, whose name has the job's wildcards."""
    return lambda wildcards: known(STAMPS, Path(name.format(**wildcards)))


def read_by(name, files):
    """What a job reads of others, given by a function of its wildcards.

    A result that is done is not done again because of what it was made of, however new that is: its stamp stands
    for the content.  Of others, Snakemake overlooks the stamp where all that they read is `ancient`.
    """

    def found(wildcards):
        result = known(MADE, Path(name.format(**wildcards)))
        return ancient(files(wildcards)) if result.state == "done" else files(wildcards)

    return found


def cell_of(wildcards):
    return known(CELLS, CELL.format(**wildcards))


def data_of_cell(wildcards):
    folder = CONFIG.data_path(cell_of(wildcards).experiment.data.source)
    return [folder / name for name in store.FILES]


def data_of_speed(wildcards):
    source = known(TIMINGS, wildcards.timing).experiment.data.source
    return [CONFIG.data_path(source) / name for name in store.FILES]


def options_of_speed(wildcards):
    timing = known(TIMINGS, wildcards.timing)
    size = timing.experiment.training.batch_size
    peers = " --peers" if timing.peers else ""
    return (
        f"--device {timing.device} --threads {timing.threads}"
        f" --batch-size {size} --rounds {timing.rounds}{peers}"
    )


def backends_of_speed(wildcards):
    return list(known(TIMINGS, wildcards.timing).backends)


def gpus_of_speed(wildcards):
    return int(known(TIMINGS, wildcards.timing).device == "gpu")


def options_of_certificate(wildcards):
    settings = CONFIG.conformance
    return {
        "travel": f"--tier T5 --steps {settings.steps}",
        "seeds": f"--tier T6 --pairs {settings.pairs}",
        "attacks": "--tier T7",
        "band": f"--tier T8 --steps {settings.steps}",
    }[wildcards.name]


def weights_of_cell(wildcards):
    return [CONFIG.folder(cell_of(wildcards)) / "weights.npz"]


def attacks_to_carry(wildcards):
    return [
        CONFIG.attack_folder(cell) / "attacks.npz" for cell in transfer.cells(CONFIG)
    ]


def threads_of_cell(wildcards):
    return cell_of(wildcards).experiment.training.threads


def gpus_of_cell(wildcards):
    return int(wildcards.device == "gpu")
