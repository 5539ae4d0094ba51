# Each source is decoded once, and its checksum asserted.


rule data:
    output:
        RESULTS / "data/{source}.npz",
    log:
        RESULTS / "logs/data/{source}.log",
    conda:
        "envs/lockstep.yaml"
    shell:
        "lockstep data {wildcards.source:q} {output:q} > {log:q} 2>&1"
