# Each source is decoded once.  Its stamp is renewed by whatever the decoded arrays depend on: an image,
# the settings of the source, the code and the package that decode.


rule data:
    input:
        stamp=stamp_of("data/{source}"),
    output:
        images=DATA / "images.npy",
        labels=DATA / "labels.npy",
        about=DATA / "source.json",
    log:
        RESULTS / "logs/data/{source}.log",
    wildcard_constraints:
        source="[a-z0-9-]+",
    conda:
        "envs/lockstep.yaml"
    resources:
        config=str(CONFIG.path),
    shell:
        "lockstep data {wildcards.source:q} --config {resources.config:q} > {log:q} 2>&1"
