# Tables and pages from the files of all cells.  A failed cell keeps this rule from running, so the
# report of the others is then made by `onerror`.


READ = [*METRICS, *ATTACKS, *PROOF, *SPEED]
UNCHANGED = all(result.state == "done" for result in [*MADE.values(), REPORTED])


rule report:
    input:
        ancient(READ) if UNCHANGED else READ,
        stamp=REPORT_STAMP,
    output:
        page=REPORT,
    log:
        RESULTS / "logs/report.log",
    conda:
        "envs/lockstep.yaml"
    resources:
        config=str(CONFIG.path),
    params:
        backends=SELECTED,
    shell:
        "lockstep report --config {resources.config:q} --backends {params.backends:q} > {log:q} 2>&1"


onerror:
    shell(
        "lockstep report --config {CONFIG.path:q} --backends {SELECTED:q} > /dev/null"
    )
