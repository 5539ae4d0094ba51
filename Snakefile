"""Lockstep: one CNN spec, every backend, step for step.

`snakemake --cores all` reproduces config/config.yaml; `--configfile FILE` takes another config, and
`--config backends=torch,jax` a subset of its backends.
"""

from snakemake.utils import min_version

min_version("9.25")


include: "workflows/common.smk"
include: "workflows/data.smk"
include: "workflows/train.smk"
include: "workflows/attack.smk"
include: "workflows/conformance.smk"
include: "workflows/speed.smk"
include: "workflows/report.smk"


rule all:
    default_target: True
    input:
        REPORT,
        MISSING,
        ATTACKS,
        PROOF,
        SPEED,
