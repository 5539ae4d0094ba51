# One job per cell.  Its stamp is renewed by whatever the result depends on, so an edit in one backend's
# folder, or in an experiment, reruns those cells and no others.


rule train:
    input:
        data=read_by(f"cells/{CELL}", data_of_cell),
        stamp=stamp_of(f"cells/{CELL}"),
    output:
        metrics=RESULTS / f"cells/{CELL}/metrics.json",
        history=RESULTS / f"cells/{CELL}/history.csv",
        predictions=RESULTS / f"cells/{CELL}/predictions.npz",
        weights=RESULTS / f"cells/{CELL}/weights.npz",
        best=RESULTS / f"cells/{CELL}/best.npz",
        units=RESULTS / f"cells/{CELL}/units.csv",
        functions=RESULTS / f"cells/{CELL}/functions.npz",
        provenance=RESULTS / f"cells/{CELL}/provenance.json",
    log:
        RESULTS / f"logs/train/{CELL}.log",
    conda:
        "envs/lockstep.yaml"
    threads: threads_of_cell
    resources:
        gpu=gpus_of_cell,
        # A resource and not a parameter: a config file that moves reruns nothing.
        config=str(CONFIG.path),
    shell:
        "lockstep train --config {resources.config:q} --experiment {wildcards.experiment:q}"
        " --backend {wildcards.backend:q} --device {wildcards.device:q} --seed {wildcards.seed:q}"
        " > {log:q} 2>&1"
