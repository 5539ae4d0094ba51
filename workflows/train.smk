# One job per cell.  The identity holds everything the result depends on, so an edit in one backend's
# folder, or in an experiment, reruns those cells and no others.


rule train:
    input:
        data=lambda wildcards: CONFIG.data_path(cell_of(wildcards).experiment.data.source),
    output:
        metrics=RESULTS / f"cells/{CELL}/metrics.json",
        history=RESULTS / f"cells/{CELL}/history.csv",
        predictions=RESULTS / f"cells/{CELL}/predictions.npz",
        weights=RESULTS / f"cells/{CELL}/weights.npz",
        best=RESULTS / f"cells/{CELL}/best.npz",
        provenance=RESULTS / f"cells/{CELL}/provenance.json",
    params:
        identity=lambda wildcards: cell_hash(cell_of(wildcards)),
    log:
        RESULTS / f"logs/train/{CELL}.log",
    threads: lambda wildcards: cell_of(wildcards).experiment.training.threads
    resources:
        gpu=lambda wildcards: int(wildcards.device == "gpu"),
    shell:
        "lockstep train --config {CONFIG.path:q} --experiment {wildcards.experiment:q}"
        " --backend {wildcards.backend:q} --device {wildcards.device:q} --seed {wildcards.seed:q}"
        " > {log:q} 2>&1"
