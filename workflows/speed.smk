# The backends are timed in turn, one job for each device and number of threads.  It takes all cores, so that nothing else
# runs beside it, and waits for the other jobs that are ready: it needs the data alone.


rule throughput:
    input:
        data=read_by("speed/{timing}.json", data_of_speed),
        stamp=stamp_of("speed/{timing}.json"),
    output:
        figures=RESULTS / "speed/{timing}.json",
        processes=directory(RESULTS / "speed/{timing}"),
    log:
        RESULTS / "logs/speed/{timing}.log",
    wildcard_constraints:
        timing="(gpu-)?threads-[0-9]+",
    priority: -1
    conda:
        "envs/lockstep.yaml"
    threads: lambda wildcards: workflow.cores
    resources:
        gpu=gpus_of_speed,
        config=str(CONFIG.path),
    params:
        backends=backends_of_speed,
        options=options_of_speed,
    shell:
        "lockstep time {params.backends:q} {params.options}"
        " --config {resources.config:q} --json {output.figures:q} --keep {output.processes:q} > {log:q} 2>&1"
