# The backends are timed in turn, one job for each number of threads.  It takes all cores, so that nothing else
# runs beside it, and waits for the other jobs that are ready: it needs the data alone.


rule throughput:
    input:
        data=data_of_speed,
        stamp=stamp_of_speed,
    output:
        figures=RESULTS / "speed/threads-{threads}.json",
        processes=directory(RESULTS / "speed/threads-{threads}"),
    log:
        RESULTS / "logs/speed/threads-{threads}.log",
    wildcard_constraints:
        threads="[0-9]+",
    priority: -1
    conda:
        "envs/lockstep.yaml"
    threads: lambda wildcards: workflow.cores
    resources:
        config=str(CONFIG.path),
    params:
        backends=backends_of_speed,
        options=options_of_speed,
    shell:
        "lockstep time {params.backends:q} --threads {wildcards.threads:q} {params.options}"
        " --config {resources.config:q} --json {output.figures:q} --keep {output.processes:q} > {log:q} 2>&1"
