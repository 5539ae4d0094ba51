"""`lockstep verify` as a plugin's author meets it: unfinished, broken and limited backends; the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep.conformance.certificate import read
from lockstep.conformance.terminal import selected
from lockstep.errors import LockstepError
from lockstep.identity import TRAINING_PATH

ROOT = Path(__file__).parents[1]
METHODS = {
    "load": "self.inner.load(*arguments)",
    "dump": "return self.inner.dump()",
    "logits": "return self.inner.logits(*arguments)",
    "loss_and_gradients": "return self.inner.loss_and_gradients(*arguments)",
    "vjp": "return self.inner.vjp(*arguments)",
    "train_steps": "return self.inner.train_steps(*arguments)",
    "synchronize": "pass",
    "environment": 'return {"numpy": "some"}',
}
"""In the order in which a certificate asks for them."""
HEAD = """
from lockstep import discovery
from lockstep.backend import Backend

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mine(Backend):
    def __init__(self, spec, optimizer, **settings):
        self.inner = Numpy(spec, optimizer, **settings)

    @classmethod
    def devices(cls):
        return ("cpu",)
"""


def plugin(folder: Path, source: str) -> Path:
    path = folder / "backends/mine/backend.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    return folder


def unfinished(*written: str) -> str:
    """A backend that borrows NumPy's answers, with some of its methods."""
    methods = (f"\n    def {name}(self, *arguments):\n        {METHODS[name]}\n" for name in written)
    return HEAD + "".join(methods)


def on_numpy(body: str) -> str:
    return f"""
import os
from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mine(Numpy):
{body}
"""


@pytest.mark.parametrize("missing", METHODS)
def test_an_unfinished_plugin_is_told_the_next_step_alone(missing, tmp_path, certify):
    written = list(METHODS)[: list(METHODS).index(missing)]
    certificate = certify(plugin(tmp_path, unfinished(*written)), "mine", "T1", "T2")
    assert certificate.verdict == "not yet"
    assert certificate.falls_short
    *done, step = certificate.checks
    assert {check.verdict for check in done} <= {"in step"}
    assert (step.quantity, step.verdict) == (missing, "not yet")
    assert "not written yet" in step.note
    lines = {check.quantity for check in done}
    assert ("logits" in lines) == ("logits" in written)
    assert ("input gradient" in lines) == ("vjp" in written)


def test_the_finished_plugin_is_in_step(tmp_path, certify):
    assert certify(plugin(tmp_path, unfinished(*METHODS)), "mine", "T1", "T2").verdict == "in step"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "api is missing, this Lockstep needs `api = 1`"),
        ("api = 1", "must define one subclass of lockstep.backend.Backend, not 0"),
        ("import no_such_module", "cannot be imported (ModuleNotFoundError"),
    ],
)
def test_a_plugin_that_is_none_yet_is_told_what_is_missing(source, message, tmp_path, certify):
    (check,) = certify(plugin(tmp_path, source), "mine", "T1").checks
    assert check.verdict == "not yet"
    assert message in check.note


def test_a_layer_that_is_not_there_yet_names_the_spec(tmp_path, certify):
    body = """
    def __init__(self, spec, optimizer, **settings):
        if any(getattr(layer, "padding", "") == "full" for layer in spec.layers):
            raise NotImplementedError("full padding")
        super().__init__(spec, optimizer, **settings)
"""
    certificate = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1")
    step = certificate.checks[-1]
    assert step.verdict == "not yet"
    assert "full padding" in step.note
    assert "spec 'full'" in step.note
    assert "backend.py, line" in step.note


def test_a_crash_is_one_line_with_its_place(tmp_path, certify):
    body = "    def vjp(self, images, masks=None):\n        return images.no_such_attribute\n"
    certificate = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1")
    step = certificate.checks[-1]
    assert (step.quantity, step.verdict) == ("vjp", "out of step")
    assert "no_such_attribute" in step.note
    assert "(backend.py, line 11)" in step.note


def test_a_process_that_dies_is_a_line_too(tmp_path, certify):
    body = "    def dump(self):\n        os.write(2, b'out of luck\\n')\n        os._exit(3)\n"
    (check,) = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1").checks
    assert "its process died: out of luck" in check.note
    assert check.verdict == "out of step"


def test_a_stub_that_returns_nothing_is_not_yet_there(tmp_path, certify):
    body = "    def logits(self, images, masks=None):\n        pass\n"
    (*_, step) = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1").checks
    assert (step.quantity, step.verdict) == ("logits", "not yet")
    assert "nothing is returned yet" in step.note


def test_what_is_measured_is_kept_when_the_process_dies_later(tmp_path, certify):
    body = """
    def vjp(self, images, masks=None):
        if "conv1/kernel" in self.weights:
            os._exit(3)
        return super().vjp(images, masks)
"""
    certificate = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1", "T3")
    assert ("T1", "input gradient", "in step") in {
        (c.tier, c.quantity, c.verdict) for c in certificate.checks
    }
    ends = [check for check in certificate.checks if "its process died" in check.note]
    assert {(check.tier, check.verdict) for check in ends} == {("T1", "out of step"), ("T3", "out of step")}
    assert all("spec 'valid'" in check.note for check in ends)


def test_an_error_is_not_hidden_by_what_is_missing(tmp_path, certify):
    body = """
    def logits(self, images, masks=None):
        return 2 * super().logits(images, masks)

    def vjp(self, images, masks=None):
        raise NotImplementedError
"""
    certificate = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1")
    assert certificate.verdict == "out of step"
    assert certificate.checks[-1].verdict == "not yet"
    assert certificate.diagnosis is not None
    assert certificate.diagnosis.quantity == "output"


def test_a_run_that_ends_in_nan_is_a_verdict(tmp_path, certify):
    body = """
    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        return super().train_steps(images, targets, masks, scales * float("nan"), weight_noise)
"""
    certificate = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1", "T2", "T4", "T0")
    assert certificate.verdict == "out of step"
    assert certificate.diagnosis is not None
    assert "NaN or infinite" in certificate.diagnosis.cause


def test_a_wrong_shape_is_told_as_such(tmp_path, certify):
    body = "    def logits(self, images, masks=None):\n        return super().logits(images, masks).T\n"
    certificate = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1")
    (logits,) = (check for check in certificate.checks if check.quantity == "logits")
    assert "shape (3, 8), expected (8, 3)" in logits.note
    assert "its shape is" in str(certificate.diagnosis)


def test_without_float64_the_certificate_says_float32_only(tmp_path, certify):
    body = """
    @classmethod
    def dtypes(cls, device):
        return ("float32",)

    def __init__(self, spec, optimizer, *, dtype, **settings):
        assert dtype == "float32"
        super().__init__(spec, optimizer, dtype=dtype, **settings)
"""
    certificate = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1", "T2", "T3")
    assert certificate.float32_only
    assert "float32 only" in certificate.summary
    assert certificate.verdict == "in step"
    verdicts = {(check.tier, check.verdict) for check in certificate.checks}
    assert verdicts == {("T1", "reported"), ("T2", "reported"), ("T3", "in step")}


def lockstep(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lockstep", "verify", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_the_command_prints_a_table_and_writes_the_certificate(tmp_path):
    path = tmp_path / "deep/certificate.json"
    done = lockstep("numpy", "--tier", "T1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert "weight gradients" in done.stdout
    assert "numpy on cpu: in step (T1;" in done.stdout
    (certificate,) = read(path)
    assert certificate.backend == "numpy"
    assert json.loads(path.read_text())["schema"] == 1


def test_the_command_fails_where_a_backend_falls_short_and_says_why(tmp_path):
    path = tmp_path / "certificate.json"
    done = lockstep("relu_half_at_zero", "--tier", "T1", "--json", str(path), cwd=ROOT / "tests/mutants")
    assert done.returncode == 1
    assert "first out of step: gradient by its input of activation1" in done.stdout
    assert "derivative at 0 is 0.5" in " ".join(done.stdout.split())
    assert read(path)[0].verdict == "out of step"
    assert not done.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name one or more backends, or say --all"),
        (("numpy", "--all"), "name one or more backends, or say --all"),
        (("nix",), "unknown backend 'nix'; known: numpy"),
        (("numpy", "--tier", "T9"), "--tier T9: unknown; give T0 to T7"),
        (("numpy", "--device", "gpu"), "backend numpy: not written for gpu"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(arguments, message):
    done = lockstep(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_tiers_can_be_named_listed_and_ranged():
    assert selected(["T3", "T0,T5..T6"]) == ("T0", "T3", "T5", "T6")
    with pytest.raises(LockstepError, match="T8"):
        selected(["T1..T8"])


def test_a_certificates_hash_covers_all_that_measures_it():
    code = "import sys, lockstep.conformance.verify; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    ours = {name.removeprefix("lockstep.") for name in names if name.startswith("lockstep.")}
    assert "attacks.gradient" in ours
    rest = {name for name in ours - set(TRAINING_PATH) if name.split(".")[0] != "conformance"}
    assert rest == {"statistics"}  # hashed on its own
