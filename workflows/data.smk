# Each source is decoded once, and its checksum asserted.


rule data:
    output:
        RESULTS / "data/{source}.npz",
    log:
        RESULTS / "logs/data/{source}.log",
    shell:
        "lockstep data {wildcards.source:q} {output:q} 2> {log:q}"
