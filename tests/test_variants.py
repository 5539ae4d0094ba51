"""Options of a plugin: each choice is a backend of its own, and is proved, or told from float32, like any."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from lockstep import cell as cells
from lockstep import discovery, results
from lockstep.backend import ROUNDOFF
from lockstep.config import load
from lockstep.conformance import digits as runs
from lockstep.conformance.certificate import Certificate, read, write
from lockstep.conformance.step_zero import LIMITS, WIDEST
from lockstep.conformance.verify import Request, verify
from lockstep.errors import LONGEST, LockstepError, one_line
from lockstep.identity import cell_hash
from lockstep.training import Watcher

OPTIONAL = """
import numpy as np
from lockstep import discovery

api = 1
options = {"wrong": (False, True), "precision": ("float32", "tf32", "bf16")}
Numpy = discovery.load(discovery.find("numpy"))


class Mine(Numpy):
    \"""Logits that are rounded as the precision says, and three times as large where it is wrong.\"""

    def __init__(self, spec, optimizer, *, wrong, precision, **settings):
        super().__init__(spec, optimizer, **settings)
        self.factor, self.rounded = 3 if wrong else 1, precision == "bf16"

    def _said(self, logits):
        logits = self.factor * logits
        if not self.rounded:
            return logits
        return (np.ascontiguousarray(logits, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)

    def logits(self, images, masks=None):
        return self._said(super().logits(images, masks))

    def vjp(self, images, masks=None):
        logits, pullback = super().vjp(images, masks)
        return self._said(logits), pullback
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with `backends/mine`."""
    (tmp_path / "backends/mine").mkdir(parents=True)
    (tmp_path / "backends/mine/backend.py").write_text(OPTIONAL)
    return tmp_path


def logits_in_t3(certificate: Certificate):
    (check,) = (c for c in certificate.checks if (c.tier, c.quantity) == ("T3", "logits"))
    return check


def test_less_precise_arithmetic_is_held_to_limits_as_much_wider(mine, certify, tmp_path):
    exact = certify(mine, "mine", "T1", "T3")
    assert (exact.verdict, exact.precision, exact.scope) == ("in step", "float32", "")
    assert logits_in_t3(exact).limit == LIMITS["T3"]
    rough = certify(mine, "mine+precision=bf16", "T1", "T3")
    assert (rough.verdict, rough.precision, rough.scope) == ("in step", "bf16", "in bf16")
    assert logits_in_t3(rough).limit == WIDEST
    assert logits_in_t3(rough).measured > 100 * LIMITS["T3"]
    between = certify(mine, "mine+precision=tf32", "T3")
    assert logits_in_t3(between).limit == LIMITS["T3"] * ROUNDOFF["tf32"] / ROUNDOFF["float32"] < WIDEST
    (float64,) = (check for check in rough.checks if check.tier == "T1")
    assert (float64.verdict, float64.note[:20]) == ("reported", "bf16 has no float64:")
    write(tmp_path / "rough.json", [rough])
    assert read(tmp_path / "rough.json") == [rough]


def test_a_mistake_is_no_rounding(mine, certify):
    wrong = certify(mine, "mine+wrong+precision=bf16", "T3")
    assert wrong.verdict == logits_in_t3(wrong).verdict == "out of step"


def test_what_the_last_bits_do_is_reported_of_less_precise_arithmetic(mine, certify):
    checks = [check for check in certify(mine, "mine+precision=bf16", "T7").checks if check.tier == "T7"]
    assert {check.verdict for check in checks} == {"reported"}
    assert all(check.measured is not None and "this is bf16" in check.note for check in checks)


def config_of(mine: Path, monkeypatch, text: str) -> Path:
    path = mine / "config.yaml"
    path.write_text(textwrap.dedent(text))
    monkeypatch.chdir(mine)
    discovery.plugins.cache_clear()
    return path


SMALL = """
    results: results/variants
    reports: reports/variants
    backends: [numpy, mine, mine+precision=bf16]
    seeds: [0]
    base:
      data: {source: mnist-5k, train_size: 100}
      model: {layers: [{kind: flatten}, {kind: dense, units: 10}]}
      training: {epochs: 1}
    experiments:
      baseline: {}
      double: {training: {dtype: float64}}
"""


def test_a_variant_is_a_cell_of_its_own(mine, monkeypatch, request):
    request.addfinalizer(discovery.plugins.cache_clear)
    config = load(config_of(mine, monkeypatch, SMALL))
    plain, rough = (config.cell("baseline", name, "cpu", 0) for name in config.backends[1:])
    assert str(rough) == "baseline/mine+precision=bf16/cpu/seed-0"
    assert cell_hash(plain) != cell_hash(rough)
    logits = []
    for cell in (plain, rough):
        cells.run(config, cell, Watcher())
        logits.append(results.read_npz(config.folder(cell) / "predictions.npz")["logits"])
    assert 0 < np.abs(logits[0] - logits[1]).max() < 0.01 * np.abs(logits[0]).max()
    with pytest.raises(LockstepError, match="is of float32 runs"):
        cells.run(config, config.cell("double", "mine+precision=bf16", "cpu", 0), Watcher())


def test_a_config_names_the_options_that_there_are(mine, monkeypatch, request):
    request.addfinalizer(discovery.plugins.cache_clear)
    text = SMALL.replace("mine, mine+precision=bf16", "mine+precision=fp8")
    message = (
        r"config.yaml: backends: backend mine\+precision=fp8: mine has no option 'precision=fp8'; it has"
    )
    with pytest.raises(LockstepError, match=message):
        load(config_of(mine, monkeypatch, text))


def test_a_choice_that_needs_a_path_without_spaces_says_so(mine, monkeypatch, request):
    request.addfinalizer(discovery.plugins.cache_clear)
    file = mine / "backends/mine/backend.py"
    file.write_text(file.read_text().replace("options =", 'no_space = {"wrong": (True,)}\noptions ='))
    config_of(mine, monkeypatch, SMALL)
    monkeypatch.setattr(sys, "prefix", "/home/me/my work/.venv")
    reason = "wrong cannot work where Python's path has a space (/home/me/my work/.venv): move it"
    assert discovery.find("mine+wrong").unusable("cpu") == reason
    assert discovery.find("mine").unusable("cpu") is None
    monkeypatch.setattr(sys, "prefix", "/home/me/project/.venv")
    assert discovery.find("mine+wrong").unusable("cpu") is None


torch = pytest.mark.skipif(
    discovery.find("torch").missing() is not None, reason=f"torch: {discovery.find('torch').missing()}"
)


@torch
@pytest.mark.parametrize(
    ("name", "tiers"),
    [
        ("torch+channels_last=false", ("T1", "T2", "T3")),
        ("torch+precision=bf16", ("T0", "T3", "T4")),
    ],
)
def test_torch_in_other_layouts_and_precisions(name, tiers, digits):
    certificate = verify(Request(name, tiers=tiers), digits, None, lambda what: None)
    assert certificate.verdict == "in step", certificate.checks


@torch
@pytest.mark.skipif(
    discovery.find("torch+compile").unusable("cpu") is not None,
    reason=f"torch+compile: {discovery.find('torch+compile').unusable('cpu')}",
)
def test_torch_compiled_computes_the_same_run(digits, worker):
    """In float64, with dropout and a smaller last batch; all of T1 and T2 compile for minutes."""
    run = runs.experiment("real", "float64")
    plain, compiled = (
        worker(name, "float64").call(runs.segment, digits, run, 1, 30, runs.start(run))
        for name in ("torch", "torch+compile")
    )
    np.testing.assert_allclose(compiled.losses, plain.losses, rtol=1e-12)
    for name, value in plain.state.items():
        np.testing.assert_allclose(compiled.state[name], value, rtol=1e-9, atol=1e-13, err_msg=name)


def test_what_a_compiler_says_is_cut_to_a_line_that_can_be_read():
    long = RuntimeError("C++ compile error\n" + "-L/somewhere " * 200)
    assert one_line(long).startswith("RuntimeError: C++ compile error -L/somewhere")
    assert len(one_line(long)) == LONGEST + 4
    assert one_line(LockstepError("word " * 200)) == ("word " * 200).strip(), "ours are written with care"
