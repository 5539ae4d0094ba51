# Tables and pages from the files of all cells.  A failed cell keeps the rule from running, so the
# report of the others is then made by `onerror`.


rule report:
    input:
        metrics=[CONFIG.folder(cell) / "metrics.json" for cell in CELLS.values()],
    output:
        page=REPORT,
    params:
        backends=SELECTED,
        source=source_hash("report"),
    log:
        RESULTS / "logs/report.log",
    shell:
        "lockstep report --config {CONFIG.path:q} --backends {params.backends:q} > {log:q} 2>&1"


onerror:
    shell("lockstep report --config {CONFIG.path:q} --backends {SELECTED:q}")
