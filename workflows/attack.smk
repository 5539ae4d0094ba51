# Finished runs under attack, one job each; then the images attacked on one network are shown to the others.

ATTACKED = RESULTS / f"attacks/{CELL}"


rule attack:
    input:
        data=read_by(f"attacks/{CELL}", data_of_cell),
        weights=read_by(f"attacks/{CELL}", weights_of_cell),
        stamp=stamp_of(f"attacks/{CELL}"),
    output:
        measured=ATTACKED / "attacks.json",
        images=ATTACKED / "attacks.npz",
    log:
        RESULTS / f"logs/attack/{CELL}.log",
    conda:
        "envs/lockstep.yaml"
    threads: threads_of_cell
    resources:
        gpu=gpus_of_cell,
        config=str(CONFIG.path),
    shell:
        "lockstep robustness --config {resources.config:q} --experiment {wildcards.experiment:q}"
        " --backend {wildcards.backend:q} --device {wildcards.device:q} --seed {wildcards.seed:q}"
        " > {log:q} 2>&1"


rule transfer:
    input:
        attacks=read_by("transfer/{backend}/{device}.json", attacks_to_carry),
        stamp=stamp_of("transfer/{backend}/{device}.json"),
    output:
        RESULTS / "transfer/{backend}/{device}.json",
    log:
        RESULTS / "logs/transfer/{backend}/{device}.log",
    conda:
        "envs/lockstep.yaml"
    resources:
        gpu=gpus_of_cell,
        config=str(CONFIG.path),
        backends=SELECTED,
    shell:
        "lockstep transfer --config {resources.config:q} --backends {resources.backends:q}"
        " --backend {wildcards.backend:q} --device {wildcards.device:q} > {log:q} 2>&1"
