"""`lockstep verify` as a plugin's author meets it: unfinished, broken and limited backends; the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lockstep.conformance import badge
from lockstep.conformance.advice import next_step
from lockstep.conformance.certificate import Certificate, Pair, read, write
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


def unfinished(*written: str, **bodies: str) -> str:
    """A backend that borrows NumPy's answers, with some of its methods; `bodies` stand for borrowed ones."""
    lines = METHODS | bodies
    kinds = {name: "    @classmethod\n" if name == "environment" else "" for name in written}
    methods = (f"\n{kinds[n]}    def {n}(self, *arguments):\n        {lines[n]}\n" for n in written)
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
    assert next_step(certificate).startswith(f"write {missing}(")
    lines = {check.quantity for check in done}
    assert ("logits" in lines) == ("logits" in written)
    assert ("input gradient" in lines) == ("vjp" in written)


def test_the_finished_plugin_is_in_step_and_there_is_no_next(tmp_path, certify):
    certificate = certify(plugin(tmp_path, unfinished(*METHODS)), "mine", "T1", "T2")
    assert certificate.verdict == "in step"
    assert next_step(certificate) == ""


ALIASED = """
    def dump(self):
        groups = {"": self.weights, "adam/m/": self.m, "adam/v/": self.v}
        return {prefix + name: tensor for prefix, group in groups.items() for name, tensor in group.items()}
"""
TAKEN = """
    def load(self, state):
        super().load(state)
        self.weights = {name: state[name] for name in self.weights}
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (ALIASED, "mend dump: what it gave changed later ("),
        (TAKEN, "mend load: what it was given changed later ("),
    ],
    ids=["dump", "load"],
)
def test_arrays_that_change_after_they_were_handed_over_are_told(body, said, tmp_path, certify):
    certificate = certify(plugin(tmp_path, on_numpy(body)), "mine", "T1", "T2")
    assert certificate.verdict == "out of step"
    assert next_step(certificate).startswith(said)
    assert "; copy it" in next_step(certificate)


FLOAT32 = "return {k: v.astype('float32') for k, v in self.inner.dump().items()}"
LAZY = """
        class Lazy:
            def __array__(self, *arguments, **settings):
                raise RuntimeError("still in the graph")
        return Lazy()"""


@pytest.mark.parametrize(
    ("method", "body", "told"),
    [
        ("dump", "return None", "nothing is returned yet"),
        ("dump", "return list(self.inner.dump())", "is a list, a dict {name: NumPy array} is expected"),
        (
            "dump",
            "return {'w' + k: v for k, v in self.inner.dump().items()}",
            "12 are unknown, as 'wadam/m/dense1/bias'",
        ),
        (
            "dump",
            "return {k: v.tolist() for k, v in self.inner.dump().items()}",
            "['dense1/kernel'] is a list",
        ),
        ("dump", FLOAT32, "is float32, this run is in float64"),
        ("logits", "return self.inner.logits(*arguments).tolist()", "is a list, a NumPy array is expected"),
        ("logits", "return self.inner.logits(*arguments).astype('float32')", "is float32, this run is in"),
        ("logits", "return self.inner.logits(arguments)", "(backend.py, line 24)"),
        ("loss_and_gradients", "return 0.0", "is a float, a tuple is expected: loss, {weight: its gradient}"),
        ("loss_and_gradients", "return '1', {}", "the loss is a str, a float is expected"),
        (
            "loss_and_gradients",
            "return self.inner.loss_and_gradients(*arguments)[0], {}",
            "the gradients: 4 names are missing, as 'dense1/bias'",
        ),
        ("vjp", "return self.inner.vjp(*arguments)[0]", "is a numpy.ndarray, a tuple is expected"),
        (
            "vjp",
            "return self.inner.vjp(*arguments)[0], lambda cotangent: None",
            "the pullback returns is None",
        ),
        ("vjp", "return self.inner.vjp(*arguments)[0], lambda cotangent: 1 / 0", "ZeroDivisionError"),
        (
            "train_steps",
            "return self.inner.train_steps(*arguments)[-1]",
            "the shape (8, 3), expected (1, 8, 3)",
        ),
        (
            "train_steps",
            LAZY,
            "np.asarray cannot convert the answer, a lockstep_backend_mine.Lazy (RuntimeError: still",
        ),
        ("environment", "return 'numpy'", "is a str, a dict {name: text} is expected"),
    ],
)
def test_an_answer_of_another_kind_is_one_line_about_its_method(method, body, told, tmp_path, certify):
    certificate = certify(plugin(tmp_path, unfinished(*METHODS, **{method: body})), "mine", "T1", "T2")
    step = next(check for check in certificate.checks if check.verdict in ("not yet", "out of step"))
    assert step.quantity == method
    assert told in step.note
    assert len(step.note.splitlines()) == 1
    assert told in next_step(certificate)
    assert "in docs/plugins.md" in next_step(certificate)


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ("pass", "nothing is returned yet"),
        ("return 'cpu'", "is 'cpu', a tuple"),
        ("return ()", "'cpu' is not among []"),
    ],
)
def test_devices_are_asked_before_anything_is_measured(devices, told, tmp_path, certify):
    source = unfinished(*METHODS).replace('return ("cpu",)', devices)
    (check,) = certify(plugin(tmp_path, source), "mine", "T1").checks
    assert check.quantity == "devices"
    assert told in check.note


def test_a_method_with_other_arguments_is_told_the_contracts(tmp_path, certify):
    source = unfinished(*METHODS).replace("def vjp(self, *arguments)", "def vjp(self)")
    certificate = certify(plugin(tmp_path, source), "mine", "T1")
    assert certificate.checks[-1].quantity == "vjp"
    assert "the contract calls vjp(self, images, masks=None)" in next_step(certificate)


def test_a_network_without_weights_is_used_without_load(tmp_path, certify):
    """As the curves of activation functions are measured."""
    source = unfinished(
        *METHODS,
        load="self.loaded = True; self.inner.load(*arguments)",
        vjp="assert self.loaded; return self.inner.vjp(*arguments)",
    )
    (*_, step) = certify(plugin(tmp_path, source), "mine", "T1").checks
    assert "spec 'no weights'" in step.note


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "api is missing, this Lockstep needs `api = 1`"),
        ("api = 1", "must define one subclass of lockstep.backend.Backend, not 0"),
        ("api = 2", "api is 2, this Lockstep needs `api = 1`"),
        ("import no_such_module", "No module named 'no_such_module') (backend.py, line 1)"),
        ("x = 1\nnot Python", "line 2)"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (HEAD + "class Other(Mine): pass", "must define one subclass of lockstep.backend.Backend, not 2"),
    ],
)
def test_a_plugin_that_is_none_yet_is_told_what_is_missing(source, message, tmp_path, certify):
    certificate = certify(plugin(tmp_path, source), "mine", "T1")
    (check,) = certificate.checks
    assert (check.quantity, check.verdict) == ("backend", "not yet")
    assert message in check.note
    assert message in next_step(certificate)


def test_a_missing_package_is_a_certificate_too(tmp_path, certify):
    folder = plugin(tmp_path, unfinished(*METHODS))
    (folder / "backends/mine/requirements.txt").write_text("no-such-package\n")
    certificate = certify(folder, "mine", "T1")
    assert [check.verdict for check in certificate.checks] == ["not yet"]
    assert next_step(certificate).startswith("install what it needs: not installed: no-such")


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
    assert certificate.scope == "float32 only"
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
    assert "Next:" not in done.stdout
    file = json.loads(path.read_text())
    assert file["schema"] == 1
    badge = {"schemaVersion": 1, "label": "lockstep", "message": "in step, T1", "color": "brightgreen"}
    told = file["certificates"][0]
    assert (told["verdict"], told["scope"], told["badge"]) == ("in step", "", badge)


def test_the_command_fails_where_a_backend_falls_short_and_says_why(tmp_path):
    path = tmp_path / "certificate.json"
    done = lockstep("relu_half_at_zero", "--tier", "T1", "--json", str(path), cwd=ROOT / "tests/mutants")
    assert done.returncode == 1
    assert "first out of step: gradient by its input of activation1" in done.stdout
    assert "derivative at 0 is 0.5" in " ".join(done.stdout.split())
    assert read(path)[0].verdict == "out of step"
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("Next: "))
    assert "mend the gradient by its input of activation1 (relu)" in line
    assert not done.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name one or more backends, or say --all"),
        (("numpy", "--all"), "name one or more backends, or say --all"),
        (("nix",), "unknown backend 'nix'; known: numpy"),
        (("nix",), "to begin one: lockstep new-backend nix"),
        (("numpy", "--badge", "badge.png"), "--badge badge.png: name a FILE.svg"),
        (
            ("numpy", "torch", "--badge", "badge.svg"),
            "--badge badge.svg: a badge is of one backend; name one",
        ),
        (("numpy", "--tier", "T9"), "--tier T9: unknown; give T0 to T8"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(arguments, message):
    done = lockstep(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_folder_without_backend_py_is_told_as_such(tmp_path):
    (tmp_path / "backends/mine").mkdir(parents=True)
    done = lockstep("mine", cwd=tmp_path)
    assert done.returncode == 1
    assert "backends/mine: it has no backend.py" in done.stderr


def certificate_of(verdict: str, dtypes: tuple[str, ...] = ("float32", "float64")) -> Certificate:
    checks = [
        {
            "tier": tier,
            "quantity": "logits",
            "measured": None,
            "verdict": verdict if tier == "T2" else "in step",
        }
        for tier in ("T0", "T1", "T2", "T4")
    ]
    lists = {"curves": [], "pairs": [], "environment": {}, "versions": {}}
    rest = {"threads": 2, "hash": "", "made": "", "seconds": 1.0, "tiers": ["T0", "T1", "T2", "T4"]}
    sides = {"backend": "mine", "device": "cpu", "dtypes": list(dtypes)}
    return Certificate.model_validate(sides | rest | lists | {"checks": checks})


@pytest.mark.parametrize(
    ("made", "message", "color"),
    [
        (certificate_of("in step"), "in step, T0-T2, T4", "brightgreen"),
        (certificate_of("in step", ("float32",)), "in step, T0-T2, T4, float32 only", "brightgreen"),
        (certificate_of("out of step"), "out of step in T2", "red"),
        (certificate_of("not yet"), "not yet", "yellow"),
        (certificate_of("cannot tell"), "cannot tell", "yellow"),
    ],
)
def test_a_badge_says_the_verdict_and_its_scope(made, message, color, tmp_path):
    assert made.badge == {"schemaVersion": 1, "label": "lockstep", "message": message, "color": color}
    badge.write(tmp_path / "badge.json", made)
    assert json.loads((tmp_path / "badge.json").read_text()) == made.badge
    badge.write(tmp_path / "badge.svg", made)
    root = ElementTree.parse(tmp_path / "badge.svg").getroot()
    assert [text.text for text in root.iter() if text.tag.endswith("text")] == ["lockstep", message]


def test_a_certificate_of_before_is_read_and_one_of_now_comes_back(tmp_path):
    pair = Pair(seed=0, accuracy=(0.5, 0.25), cross_entropy=(1.0, 2.0), churn=0.0)
    made = certificate_of("out of step").model_copy(update={"pairs": [pair]})
    write(tmp_path / "now.json", [made])
    assert read(tmp_path / "now.json") == [made]
    file = json.loads((tmp_path / "now.json").read_text())
    for name in ("verdict", "scope", "badge"):
        del file["certificates"][0][name]
    (tmp_path / "before.json").write_text(json.dumps(file))
    assert read(tmp_path / "before.json") == [made]


def test_tiers_can_be_named_listed_and_ranged():
    assert selected(["T3", "T0,T5..T6"]) == ("T0", "T3", "T5", "T6")
    with pytest.raises(LockstepError, match="T9"):
        selected(["T1..T9"])


def test_a_certificates_hash_covers_all_that_measures_it():
    code = "import sys, lockstep.conformance.verify; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    ours = {name.removeprefix("lockstep.") for name in names if name.startswith("lockstep.")}
    assert "attacks.gradient" in ours
    rest = {name for name in ours - set(TRAINING_PATH) if name.split(".")[0] != "conformance"}
    assert rest == {"statistics"}  # hashed on its own
