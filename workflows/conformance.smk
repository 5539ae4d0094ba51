# The proof that the backends are in step: one certificate for the quick tiers, one for the long runs in
# float64 (T5), one for whole runs from many seeds (T6), one for attacks (T7) and one for the long runs in float32 (T8), for
# each backend and device.
#
# `lockstep verify` exits with 1 where a backend falls short.  Here that is a result like any other, as
# long as there is a certificate that says so.

REFERENCES = RESULTS / "conformance/reference"
CERTIFICATE = RESULTS / "conformance/{backend}/{device}"
LOG = RESULTS / "logs/conformance"


# NumPy's own job keeps what the others are compared with.
ruleorder: reference > compare


rule verify:
    input:
        stamp=stamp_of("conformance/{backend}/{device}/quick.json"),
    output:
        CERTIFICATE / "quick.json",
    log:
        LOG / "{backend}/{device}/quick.log",
    conda:
        "envs/lockstep.yaml"
    threads: 2
    resources:
        gpu=gpus_of_cell,
    params:
        tiers=",".join(certificate.asked(CONFIG, "quick")),
    shell:
        "lockstep verify {wildcards.backend:q} --device {wildcards.device:q} --tier {params.tiers:q}"
        " --json {output:q} > {log:q} 2>&1 || test -s {output:q}"


rule reference:
    input:
        stamp=stamp_of(f"conformance/{REFERENCE}/cpu/{{name}}.json"),
    output:
        certificate=RESULTS / f"conformance/{REFERENCE}/cpu/{{name}}.json",
        runs=temp(REFERENCES / "{name}.npz"),
    log:
        LOG / f"{REFERENCE}/cpu/{{name}}.log",
    wildcard_constraints:
        name="|".join(COMPARED),
    conda:
        "envs/lockstep.yaml"
    threads: 2
    params:
        options=options_of_certificate,
        folder=REFERENCES,
        reference=REFERENCE,
    shell:
        "lockstep verify {params.reference:q} {params.options} --references {params.folder:q}"
        " --json {output.certificate:q} > {log:q} 2>&1 || test -s {output.certificate:q}"


rule compare:
    input:
        stamp=stamp_of("conformance/{backend}/{device}/{name}.json"),
        # Its content is the same whenever it is made again; the stamp says when this job is out of date.
        runs=ancient(REFERENCES / "{name}.npz"),
    output:
        CERTIFICATE / "{name}.json",
    log:
        LOG / "{backend}/{device}/{name}.log",
    wildcard_constraints:
        name="|".join(COMPARED),
    conda:
        "envs/lockstep.yaml"
    threads: 2
    resources:
        gpu=gpus_of_cell,
    params:
        options=options_of_certificate,
        folder=REFERENCES,
    shell:
        "lockstep verify {wildcards.backend:q} --device {wildcards.device:q} {params.options}"
        " --references {params.folder:q} --json {output:q} > {log:q} 2>&1 || test -s {output:q}"
