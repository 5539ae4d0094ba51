"""The pipeline end to end: a real snakemake, real files, a tiny config."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from conftest import BOTH
from PIL import Image

from lockstep.conformance.certificate import FILES, read

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
METRICS = "cells/{}/{}/cpu/seed-0/metrics.json"


@pytest.fixture
def house(tmp_path) -> Path:
    """A copy of the repository's pipeline with the NumPy backend alone, so that a test may edit it."""
    return built(tmp_path)


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    """One whose two experiments are trained and reported; a test leaves it as it was."""
    house = built(tmp_path_factory.mktemp("house"))
    assert snakemake(house).returncode == 0
    return house


def built(house: Path) -> Path:
    for name in ("Snakefile", "workflows", "profiles"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, house / name)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "backends/numpy", house / "backends/numpy", ignore=skip)
    (house / "config").mkdir()
    write(house, {"tiny": {}, "other": {"optimizer": {"learning_rate": 0.003}}})
    return house


def write(
    house: Path,
    experiments: dict,
    epochs: int = 1,
    tiers: list[str] | None = None,
    attacks: dict | None = None,
    speed: dict | None = None,
) -> None:
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": 10}]
    content = {
        "results": "results/tiny",
        "reports": "reports/tiny",
        "seeds": [0],
        "conformance": {"tiers": tiers or []},
        "base": {
            "data": {"train_size": 200},
            "model": {"layers": layers},
            "training": {"epochs": epochs, "batch_size": 20},
        },
        "experiments": experiments,
        "attacks": attacks,
        "speed": speed,
    }
    (house / "config/config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}


def snakemake(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["snakemake", "--cores", "2", *arguments],
        cwd=house,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )


def trained(run: subprocess.CompletedProcess[str]) -> int:
    """How many cells a run trained."""
    assert run.returncode == 0, run.stderr
    return run.stderr.count("Finished jobid") and run.stderr.count("rule train:")


def test_a_run_makes_every_file_and_the_second_run_makes_none(house):
    first = snakemake(house)
    assert first.returncode == 0, first.stderr
    assert trained(first) == 2
    assert (house / "reports/tiny/index.html").stat().st_size > 10_000
    rows = list(csv.DictReader((house / "reports/tiny/tables/cells.csv").open()))
    assert {row["outcome"] for row in rows} == {"completed"}
    second = snakemake(house)
    assert "Nothing to be done" in second.stderr + second.stdout


def test_edits_rerun_what_they_change_and_nothing_else(house):
    shutil.copytree(house / "backends/numpy", house / "backends/twin")
    assert snakemake(house).returncode == 0
    backend = house / "backends/twin/backend.py"
    backend.write_text(backend.read_text() + "\n# an edit\n")
    edited = snakemake(house)
    assert trained(edited) == 2
    assert edited.stderr.count("backend=twin") == 2  # both experiments of the twin, none of numpy's
    assert "backend=numpy" not in edited.stderr
    write(house, {"tiny": {}, "other": {"optimizer": {"learning_rate": 0.004}}})
    assert trained(snakemake(house)) == 2  # one experiment, both backends
    write(
        house,
        {
            "tiny": {},
            "other": {"optimizer": {"learning_rate": 0.004}},
            "third": {"training": {"batch_size": 50}},
        },
    )
    assert trained(snakemake(house)) == 2  # the new experiment, both backends


def test_results_that_snakemake_did_not_make_are_rerun_when_they_are_stale(house):
    train = ["lockstep", "train", "--experiment", "tiny", "--backend", "numpy"]
    assert subprocess.run(train, cwd=house, env=environment(), capture_output=True).returncode == 0
    first = snakemake(house)
    assert trained(first) == 1  # the other experiment
    assert "experiment=other" in first.stderr
    write(house, {"tiny": {"training": {"batch_size": 40}}, "other": {"optimizer": {"learning_rate": 0.003}}})
    stale = snakemake(house)
    assert trained(stale) == 1
    assert "experiment=tiny" in stale.stderr
    (house / "results/tiny/cells/tiny/numpy/cpu/seed-0/weights.npz").unlink()
    assert trained(snakemake(house)) == 1


def lockstep(house: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["lockstep", *arguments], cwd=house, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ran(run: subprocess.CompletedProcess[str]) -> Counter[str]:
    """{rule: jobs} of a run or a dry run; nothing where there was nothing to do."""
    assert run.returncode == 0, run.stderr
    return Counter(re.findall(r"^(?:local)?rule (?!all)(\w+):", run.stdout + run.stderr, re.MULTILINE))


def test_results_that_become_stale_after_snakemake_made_them_are_made_again(house):
    """Snakemake ignores a newer input of a content that it has recorded, as the stamp's is when an edit is
    taken back."""
    attacks = {"images": 10, "steps": 1, "eps": [0.1], "shown": 0.1}
    write(
        house, {"tiny": {}, "other": {"optimizer": {"learning_rate": 0.003}}}, tiers=["T1"], attacks=attacks
    )
    first = {"data": 1, "train": 2, "attack": 2, "transfer": 1, "verify": 1, "report": 1}
    assert ran(snakemake(house)) == first
    cell, tiny = house / "results/tiny/cells/tiny", ("--experiment", "tiny", "--backend", "numpy")
    right = (cell / "numpy/cpu/seed-0/metrics.json").read_bytes()
    certificate = house / "results/tiny/conformance/numpy/cpu/quick.json"
    backend, other = house / "backends/numpy/backend.py", house / "of another code"
    source = backend.read_text()
    backend.write_text(source + "\n# an edit\n")
    lockstep(house, "train", *tiny)
    lockstep(house, "robustness", *tiny)
    lockstep(house, "verify", "numpy", "--tier", "T1", "--json", str(certificate))
    shutil.copytree(cell, other)
    backend.write_text(source)

    again = {"train": 1, "attack": 1, "transfer": 1, "verify": 1, "report": 1}
    assert re.search(r"tiny .* stale", lockstep(house, "plan"))
    told = lockstep(house, "summary")
    assert re.search(r"tiny +│ numpy +│ +[0-9.]+ │ +1, 1 stale", told)
    assert "numpy: in step in T1; T1: stale: of other source" in told
    assert "Report, out of date: reports/tiny/index.html" in told
    assert ran(snakemake(house)) == again
    assert (cell / "numpy/cpu/seed-0/metrics.json").read_bytes() == right

    # What is right is not made again: whatever its times, whoever made it, without Snakemake's own records.
    for number, path in enumerate(sorted((house / "results").rglob("*"))):
        os.utime(path, (1e9 + 7919 * (number % 11), 1e9 + 7919 * (number % 11)))
    assert not ran(snakemake(house, "--dry-run"))
    shutil.rmtree(house / ".snakemake")
    lockstep(house, "train", *tiny)
    assert ran(snakemake(house, "--dry-run")) == {"report": 1}  # it shows when a run was made
    assert "stale" not in lockstep(house, "plan")

    shutil.copytree(other, cell, dirs_exist_ok=True)  # the same stale files once more, with their times
    del again["verify"]
    assert ran(snakemake(house, "--dry-run")) == again


def test_finished_runs_are_attacked_and_other_attacks_train_nothing_again(house):
    attacks = {"images": 10, "steps": 1, "eps": [0.1], "shown": 0.1}
    write(house, {"tiny": {}, "diverging": {"optimizer": {"learning_rate": 1e38}}}, attacks=attacks)
    shutil.copytree(house / "backends/numpy", house / "backends/not-selected")
    first = snakemake(house, "--config", "backends=numpy")
    assert (trained(first), first.stderr.count("rule attack:")) == (2, 2)
    found = house / "results/tiny/attacks/tiny/numpy/cpu/seed-0/attacks.json"
    assert json.loads(found.read_text())["measurements"]
    assert (house / "results/tiny/transfer/numpy/cpu.json").exists()
    for path in found.parents[4].parent.rglob("*"):  # copied without their times
        path.touch()
    assert "Nothing to be done" in snakemake(house, "--config", "backends=numpy").stderr
    shutil.rmtree(house / "backends/not-selected")
    (house / "results/tiny/transfer/numpy/cpu.json").unlink()
    assert re.search(r"attacks +│ +2 │ +1 │", lockstep(house, "plan"))
    write(house, {"tiny": {}}, attacks=attacks | {"steps": 2})
    second = snakemake(house)
    assert (trained(second), second.stderr.count("rule attack:"), second.stderr.count("rule transfer:")) == (
        0,
        1,
        1,
    )


def test_speed_is_measured_alone_and_again_after_an_edit_of_a_backend(house, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(house))  # a timing that somebody runs meanwhile is not waited for
    write(house, {"tiny": {}}, speed={"rounds": 1})
    plan = snakemake(house, "--dry-run")
    (job,) = re.findall(r"^rule throughput:\n(?: {4}.+\n)+", plan.stdout, re.MULTILINE)
    assert "threads: 2" in job, "of two cores: nothing runs beside it"
    assert "cells/" not in job
    first = snakemake(house, "results/tiny/speed/threads-1.json")
    assert first.returncode == 0, first.stderr
    assert (trained(first), first.stderr.count("rule throughput:")) == (0, 1)
    assert json.loads((house / "results/tiny/speed/threads-1.json").read_text())["backends"]["numpy"]
    assert (house / "results/tiny/speed/threads-1/numpy-round-1.json").is_file()
    write(house, {"tiny": {}, "other": {"training": {"batch_size": 50}}}, speed={"rounds": 1})
    again = snakemake(house, "results/tiny/speed/threads-1.json")
    assert "Nothing to be done" in again.stderr + again.stdout, "another experiment is not timed"
    backend = house / "backends/numpy/backend.py"
    backend.write_text(backend.read_text() + "\n# an edit\n")
    edited = snakemake(house, "--dry-run", "results/tiny/speed/threads-1.json")
    assert "rule throughput:" in edited.stdout


def test_one_job_a_gpu(house, monkeypatch):
    """A plugin that says that it computes on a GPU, and an nvidia-smi that says that there is one."""
    (house / "backends/both").mkdir()
    (house / "backends/both/backend.py").write_text(BOTH)
    (house / "bin").mkdir()
    (house / "bin/nvidia-smi").write_text("#!/bin/sh\necho '0, GPU-1234, Some GPU, 580.65'\n")
    (house / "bin/nvidia-smi").chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(house))
    monkeypatch.setenv("PATH", f"{house / 'bin'}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    attacks = {"images": 10, "steps": 1, "eps": [0.1], "shown": 0.1}
    write(house, {"tiny": {}, "other": {"training": {"epochs": 2}}}, tiers=["T1"], attacks=attacks, speed={})
    config = house / "config/config.yaml"
    text = config.read_text().replace("seeds:", "backends: [numpy, both]\ndevices: [cpu, gpu]\nseeds:")
    config.write_text(text)
    plan = snakemake(house, "--dry-run").stdout
    jobs = re.findall(r"^rule (\w+):\n((?: {4}.+\n)+)", plan, re.MULTILINE)
    on_gpu = [rule for rule, job in jobs if re.search(r"wildcards: .*(device=gpu|timing=gpu-)", job)]
    assert Counter(on_gpu) == {"train": 2, "attack": 2, "transfer": 1, "verify": 1, "throughput": 1}
    assert on_gpu == [rule for rule, job in jobs if re.search(r"resources: .*\bgpu=1\b", job)]

    cells = [METRICS.format(name, "both").replace("/cpu/", "/gpu/") for name in ("tiny", "other")]
    done = snakemake(house, *(f"results/tiny/{cell}" for cell in cells))
    assert done.returncode == 0, done.stderr
    for cell in cells:
        made = json.loads((house / "results/tiny" / cell).with_name("provenance.json").read_text())
        gpu = {"index": "0", "uuid": "GPU-1234", "name": "Some GPU", "driver": "580.65"}
        assert made["machine"]["gpu"] == gpu
        log = house / "results/tiny/logs/train" / Path(cell).parent.relative_to("cells").with_suffix(".log")
        assert "waiting" not in log.read_text(), "the profile's gpu: 1 lets no second job start"


def test_the_proof_is_part_of_the_pipeline_and_being_out_of_step_a_result(house):
    """NumPy's own long runs are kept while others need them, and made again for an edited plugin alone."""
    shutil.copytree(ROOT / "tests/mutants/backends/relu_half_at_zero", house / "backends/mutant")
    write(house, {"tiny": {}}, tiers=["T1", "T5", "T6", "T7", "T8"])
    config = house / "config/config.yaml"
    config.write_text(config.read_text().replace("conformance:", "conformance:\n  steps: 2\n  pairs: 1"))
    selected = ran(snakemake(house, "--dry-run", "--config", "backends=mutant"))
    assert (selected["verify"], selected["reference"], selected["compare"]) == (1, 4, 4)
    assert snakemake(house).returncode == 0
    folder = house / "results/tiny/conformance"
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}
    assert made == {f"{backend}/cpu/{name}.json" for backend in ("numpy", "mutant") for name in FILES}
    assert not list(folder.rglob("*.npz")), "the reference's runs are kept only as long as they are needed"
    (certificate,) = read(folder / "mutant/cpu/quick.json")
    assert certificate.verdict == "out of step"
    page = (house / "reports/tiny/conformance.html").read_text()
    assert "derivative at 0 is 0.5" in page
    again = snakemake(house)
    assert "Nothing to be done" in again.stderr + again.stdout
    backend = house / "backends/mutant/backend.py"
    backend.write_text(backend.read_text() + "\n# an edit\n")
    edited = snakemake(house)
    assert edited.returncode == 0, edited.stderr
    assert [edited.stderr.count(f"rule {name}:") for name in ("verify", "reference", "compare")] == [1, 4, 4]
    assert not read(folder / "mutant/cpu/seeds.json")[0].falls_short, "one pair cannot tell"


def test_a_changed_image_is_decoded_again_and_its_cells_follow(house):
    for n in range(60):
        folder = house / "images" / "ab"[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 4 * n).save(folder / f"{n:02}.png")
    (house / "images/a/broken.png").write_bytes(b"")
    source = {"directory": "images", "size": [8, 8], "invalid": "skip"}
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": 2}]
    disk = {"data": {"source": source, "train_size": 40}, "model": {"layers": layers}}
    write(house, {"named": {}, "disk": disk})
    first = snakemake(house)
    assert trained(first) == 2
    assert first.stderr.count("rule data:") == 2
    (log,) = (house / "results/tiny/logs/data").glob("images-*.log")
    assert "1 of 61 images" in log.read_text()
    assert "1 of 61 images" in (house / "reports/tiny/index.html").read_text()
    again = snakemake(house)
    assert "Nothing to be done" in again.stderr + again.stdout
    Image.new("L", (8, 8), 255).save(house / "images/a/00.png")
    changed = snakemake(house)
    assert trained(changed) == 1
    assert changed.stderr.count("rule data:") == 1
    assert "experiment=disk" in changed.stderr


def test_one_broken_and_one_uninstalled_backend_leave_the_others_report(house):
    for name in ("broken", "absent"):
        shutil.copytree(house / "backends/numpy", house / "backends" / name)
    (house / "backends/broken/backend.py").write_text("api = 1\nraise RuntimeError('out of order')\n")
    (house / "backends/absent/requirements.txt").write_text("no-such-framework\n")
    run = snakemake(house)
    assert run.returncode != 0
    cells = {
        (row["experiment"], row["backend"]): (row["outcome"], row["reason"])
        for row in csv.DictReader((house / "reports/tiny/tables/cells.csv").open())
    }
    assert cells["tiny", "numpy"] == ("completed", "")
    assert cells["tiny", "broken"][0] == "failed"
    assert "out of order" in cells["tiny", "broken"][1]
    assert cells["other", "absent"] == ("not installed", "not installed: no-such-framework")
    page = (house / "reports/tiny/index.html").read_text()
    assert "out of order" in page
    assert "no-such-framework" in page


@pytest.mark.parametrize("children", ["die too", "live on"])
def test_after_a_kill_unlock_and_the_same_command_end_in_the_same_files(house, children):
    write(house, {"long": {"training": {"epochs": 1500}}})
    with (house / "backends/numpy/backend.py").open("a") as file:  # short runs have checkpoints too
        file.write("\nfrom lockstep import checkpoint\ncheckpoint.SECONDS_BETWEEN = 0.1\n")
    whole = snakemake(house)
    assert whole.returncode == 0, whole.stderr
    metrics = house / "results/tiny" / METRICS.format("long", "numpy")
    history = metrics.with_name("history.csv")
    expected = metrics.read_bytes(), history.read_bytes()
    shutil.rmtree(house / "results")
    shutil.rmtree(house / ".snakemake")

    victim = subprocess.Popen(
        ["snakemake", "--cores", "2"],
        cwd=house,
        env=environment(),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(house.glob("results/tiny/.work/*/checkpoint.npz")):
        assert time.monotonic() < deadline, "training did not start"
        assert victim.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    (os.killpg if children == "die too" else os.kill)(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not metrics.exists()
    assert snakemake(house, "--unlock").returncode == 0
    again = snakemake(house)
    assert again.returncode == 0, again.stderr
    assert (metrics.read_bytes(), history.read_bytes()) == expected
    if children == "die too":
        made = json.loads(metrics.with_name("provenance.json").read_text())
        assert made["times"]["resumed_after_epoch"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "backends=nump"], "unknown backend 'nump'; known: numpy"),
        (["--config", "epochs=3"], "--config epochs: only `backends` can be set there"),
        (["--config", "backends="], "the selection of backends is empty"),
        (["--config", "backends=[a,[b]]"], "names are expected, as in backends=torch,jax, not ['a', ['b']]"),
        (["--config", "backends=7"], "names are expected, as in backends=torch,jax, not 7"),
    ],
)
def test_a_mistake_stops_before_any_job(house, arguments, message):
    run = snakemake(house, *arguments)
    assert run.returncode != 0
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert not (house / "results").exists()


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        (lambda c: c | {"experiments": dict(reversed(c["experiments"].items()))}, {"report": 1}),
        (lambda c: c | {"baseline": "other"}, {"report": 1}),
        (lambda c: c | {"baseline": "tiny"}, {"report": 1}),
    ],
    ids=["order", "another baseline", "the same baseline by name"],
)
def test_the_report_follows_the_config(reported, change, anew):
    """Two experiments, trained and reported once for all of these."""
    path = reported / "config/config.yaml"
    before = path.read_text()
    path.write_text(yaml.safe_dump(change(yaml.safe_load(before)), sort_keys=False))
    assert ran(snakemake(reported, "--dry-run")) == anew
    path.write_text(before)
    assert not ran(snakemake(reported, "--dry-run"))


def test_a_report_that_was_made_by_hand_of_a_subset_is_out_of_date(reported):
    """The backend that is left out has results, and the rest of the config stays as it is."""
    shutil.copytree(reported / "backends/numpy", reported / "backends/twin")
    try:
        lockstep(reported, "report")
        assert ran(snakemake(reported, "--dry-run")) == {"train": 2, "report": 1}
        lockstep(reported, "report", "--backends", "numpy")
        assert "out of date" in lockstep(reported, "summary")
        assert "out of date" not in lockstep(reported, "summary", "--backends", "numpy")
        assert not ran(snakemake(reported, "--dry-run", "--config", "backends=numpy"))
    finally:
        shutil.rmtree(reported / "backends/twin")


UNKNOWN = "has no {} that can be made here; lockstep plan --config config/config.yaml lists its runs"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "results/tiny/cells/none/numpy/cpu/seed-0/metrics.json",
            UNKNOWN.format("cells/none/numpy/cpu/seed-0"),
        ),
        ("results/tiny/cells/tiny/numpy/cpu/seed-7/best.npz", UNKNOWN.format("cells/tiny/numpy/cpu/seed-7")),
        (
            "results/tiny/attacks/tiny/numpy/cpu/seed-0/attacks.json",
            UNKNOWN.format("attacks/tiny/numpy/cpu/seed-0"),
        ),
        ("results/tiny/transfer/numpy/cpu.json", UNKNOWN.format("transfer/numpy/cpu.json")),
        ("results/tiny/conformance/torch/cpu/seeds.json", UNKNOWN.format("conformance/torch/cpu/seeds.json")),
        ("results/tiny/speed/threads-9.json", UNKNOWN.format("speed/threads-9.json")),
        ("results/tiny/data/mnist/images.npy", UNKNOWN.format("data/mnist")),
    ],
)
def test_a_target_outside_the_config_is_one_line(house, target, message):
    run = snakemake(house, "--dry-run", target)
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_a_config_that_names_an_unknown_key_stops_before_any_job(house):
    write(house, {"tiny": {"model": {"dropot": 0.5}}})
    run = snakemake(house)
    assert run.returncode != 0
    assert "experiments.tiny.model.dropot: unknown key (did you mean dropout?)" in run.stderr


def test_an_unwritable_results_folder_is_one_line(house):
    (house / "results").write_text("a file where a folder should be")
    command = ["lockstep", "train", "--experiment", "tiny", "--backend", "numpy"]
    run = subprocess.run(command, cwd=house, env=environment(), capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "results" in run.stderr
    assert "a file stands where a folder is needed" in run.stderr
    pipeline = snakemake(house)
    assert pipeline.returncode != 0
    assert "a file stands where a folder is needed" in pipeline.stderr
    assert "Traceback" not in pipeline.stderr


def test_the_command_line_says_what_it_needs(house):
    def lockstep(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["lockstep", *arguments], cwd=house, env=environment(), capture_output=True, text=True
        )

    plan = lockstep("plan")
    assert "0 jobs done, 3 to do" in plan.stdout
    assert lockstep("train", "--experiment", "tiny", "--backend", "numpy").returncode == 0
    assert "2 jobs done, 1 to do" in lockstep("plan").stdout
    missing = lockstep("train", "--experiment", "tinny", "--backend", "numpy")
    assert missing.returncode == 1
    assert missing.stderr == "lockstep: config/config.yaml: no experiment 'tinny'; it has: tiny, other\n"
    assert "numpy" in lockstep("backends").stdout
    assert "784*10 + 10 = 7,850" in lockstep("spec").stdout
    summary = lockstep("summary")
    assert summary.returncode == 0
    assert "tiny" in summary.stdout
    broken = house / "results/tiny" / METRICS.format("tiny", "numpy")
    assert json.loads(broken.read_text())["outcome"] == "completed"
