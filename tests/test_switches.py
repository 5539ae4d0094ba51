"""Switches of the environment: dropped, or kept as a part of what a result was made with."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from lockstep import cell as cells
from lockstep import config as configs
from lockstep import discovery, switches
from lockstep.conformance.worker import Worker
from lockstep.data.draws import initial_weights
from lockstep.freshness import of_attack
from lockstep.identity import cell_hash, conformance_hash
from lockstep.optimizer import Adam
from lockstep.spec import Activation, Conv2D, Dense, Flatten, MaxPool, Spec
from lockstep.speed.request import of_config
from lockstep.training import Watcher

ROOT = Path(__file__).parents[1]
HOSTILE = {
    "KERAS_BACKEND": "torch",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "TF_DETERMINISTIC_OPS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "JAX_ENABLE_X64": "0",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_DISABLE_JIT": "1",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_DEBUG_NANS": "1",
    "JAX_PLATFORMS": "tpu",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true --xla_force_host_platform_device_count=3 --xla_no_such",
    "ONEDNN_DEFAULT_FPMATH_MODE": "ANY",
    "DNNL_DEFAULT_FPMATH_MODE": "ANY",
    "TORCH_COMPILE_DISABLE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    "PYTORCH_JIT": "0",
    "NVIDIA_TF32_OVERRIDE": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":16:8",
    "CUPY_TF32": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_SCHEDULE": "dynamic",
    "KMP_AFFINITY": "compact",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NPROC": "1",
}
"""Each of which somebody has set for a program of their own."""
KERAS_JSON = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1, "backend": "torch"}
SPEC = Spec(
    input_shape=(8, 8, 2),
    layers=(Conv2D(filters=4, kernel=3), Activation(function="relu"), MaxPool(), Flatten(), Dense(units=3)),
)


def answers(make) -> dict[str, np.ndarray]:
    """All methods of the contract that compute, on drawn images."""
    drawn, adam = np.random.default_rng(0), Adam()
    backend = make(SPEC, adam)
    backend.load(initial_weights(SPEC, 0, "float64"))
    images, targets = drawn.standard_normal((3, 5, 8, 8, 2)), np.eye(3)[drawn.integers(3, size=(3, 5))]
    logits, pullback = backend.vjp(images[0])
    loss, gradients = backend.loss_and_gradients(images[0], targets[0])
    trained = np.asarray(backend.train_steps(images, targets, {}, adam.scales(1, 3)))
    found = {"logits": logits, "pulled": pullback(targets[0]), "loss": np.array(loss), "trained": trained}
    after = {f"after {name}": value for name, value in backend.dump().items()}
    return {**found, "after": backend.logits(images[0]), **gradients, **after}


def in_process(backend: str) -> dict[str, np.ndarray]:
    """In a process that has this one's environment."""
    process = Worker.start(backend, "float64")
    try:
        return process.call(answers)
    finally:
        process.close()


def hostile(monkeypatch, folder: Path) -> None:
    (folder / "keras.json").write_text(json.dumps(KERAS_JSON))
    for name, value in {**HOSTILE, "KERAS_HOME": str(folder)}.items():
        monkeypatch.setenv(name, value)


def test_every_backend_gives_the_same_bits_whatever_is_set_around_it(backend, worker, monkeypatch, tmp_path):
    plain = worker(backend, "float64").call(answers)
    hostile(monkeypatch, tmp_path)
    found = in_process(backend)
    assert found.keys() == plain.keys()
    assert not [name for name in plain if not np.array_equal(plain[name], found[name])]


def test_a_process_that_the_command_line_starts_has_none_of_them(monkeypatch, tmp_path):
    hostile(monkeypatch, tmp_path)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    code = "import os; from lockstep import process; process.prepare(); print(' '.join(os.environ))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    left = set(done.stdout.split())
    assert left & HOSTILE.keys() == {"KERAS_BACKEND"}
    assert left >= {"OPENBLAS_CORETYPE", "KERAS_HOME", "PATH"}


@pytest.mark.parametrize("name", switches.KERNELS)
def test_what_chooses_kernels_makes_another_run_certificate_and_timing(name, monkeypatch):
    config = configs.load(ROOT / "config/smoke.yaml")
    config = replace(config, speed=configs.load(ROOT / "config/config.yaml").speed)
    cell = next(config.cells())
    assert not switches.dropped(name)

    def hashes() -> list[str]:
        timing = of_config(config, 1)
        assert timing
        proof = conformance_hash(cell.backend, "cpu", ("T1",), 1, 1)
        return [cell_hash(cell), proof, timing.hash, of_attack(config, cell).current]

    monkeypatch.delenv(name, raising=False)
    without = hashes()
    monkeypatch.setenv(name, "another")
    assert not set(without) & set(hashes())
    assert discovery.find(cell.backend).switches[name] == "another"
    monkeypatch.setenv(name, "")
    assert hashes() == without, "nothing chosen is as not set"


def test_a_run_says_what_chose_its_kernels_in_identity_and_environment(monkeypatch, tmp_path):
    content = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
    base = content["base"] | {"model": {"layers": [{"kind": "flatten"}, {"kind": "dense", "units": 10}]}}
    base["data"] = {"train_size": 100}
    text = {"results": str(tmp_path / "results"), "reports": str(tmp_path / "reports"), "seeds": [0]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(text | {"base": base, "experiments": {"a": {}}}))
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "AVX512F")
    config = configs.load(tmp_path / "c.yaml")
    cell = config.cell("a", "numpy", "cpu", 0)
    cells.run(config, cell, Watcher())
    made = json.loads((config.folder(cell) / "provenance.json").read_text())
    for place in (made["identity"]["switches"], made["environment"]):
        assert place["NPY_DISABLE_CPU_FEATURES"] == "AVX512F"
    assert cells.made_by(config, cell) == cell_hash(cell)
    monkeypatch.delenv("NPY_DISABLE_CPU_FEATURES")
    assert cells.made_by(config, cell) != cell_hash(cell)


def test_a_plugin_names_switches_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("MINE_KERNELS", "fast")
    (tmp_path / "backend.py").write_text('api = 1\nswitches = ("MINE_KERNELS", "MINE_OTHER")\n')
    mine = discovery.Plugin("mine", tmp_path)
    assert mine.switches == switches.kept() | {"MINE_KERNELS": "fast"}
    (tmp_path / "backend.py").write_text('api = 1\nswitches = ("MINE_KERNELS", "JAX_ENABLE_X64")\n')
    assert discovery.Plugin("mine", tmp_path).problem == (
        f"{tmp_path / 'backend.py'}: switches: JAX_ENABLE_X64 is dropped before a plugin starts; "
        "set what it means in backend.py"
    )
