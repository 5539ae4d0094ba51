"""Configs: what a person may write, and the one line that answers what they may not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from lockstep.config import load, schema, selection
from lockstep.errors import LockstepError
from lockstep.settings import Settings

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT / "config/config.yaml"


def edited(tmp_path: Path, old: str, new: str) -> Path:
    text = DEFAULT.read_text()
    assert old in text
    path = tmp_path / "edited.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_published_configs_are_valid_by_harness_and_schema(path):
    config = load(path)
    assert list(config.cells())
    content = yaml.safe_load(path.read_text().replace("1e-", "1.0e-").replace("5e-", "5.0e-"))
    jsonschema.validate(json.loads(json.dumps(content)), schema())  # in JSON, sizes are strings


def test_the_published_schema_is_up_to_date():
    assert json.loads((ROOT / "config/schema.json").read_text()) == schema()


def test_the_schema_refuses_an_unknown_key():
    content = yaml.safe_load(DEFAULT.read_text().replace("padding: valid", "paddding: valid"))
    with pytest.raises(jsonschema.ValidationError, match="paddding"):
        jsonschema.validate(content, schema())
    content = yaml.safe_load(
        DEFAULT.read_text().replace("{kind: conv2d, filters: 32, kernel: 5}", "{kind: conv2d}")
    )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


def test_experiments_change_the_base():
    config = load(DEFAULT)
    assert config.experiments["baseline"].spec.parameters == 1_111_946
    assert list(config.experiments["dropout"].spec.dropouts) == ["dropout1"]
    assert not config.experiments["baseline"].spec.dropouts
    functions = {getattr(layer, "function", None) for layer in config.experiments["swish"].spec.layers}
    assert functions == {None, "swish"}


def test_backends_are_all_that_are_found_unless_selected():
    assert load(DEFAULT).backends[0] == "numpy"
    assert load(DEFAULT, ["torch"]).backends == ("torch",)
    with pytest.raises(LockstepError, match="unknown backend 'toch'; known: numpy"):
        load(DEFAULT, ["toch"])
    with pytest.raises(LockstepError, match="the selection of backends is empty"):
        load(DEFAULT, selection(" , "))
    assert selection(None) is None
    assert selection("torch, jax") == selection(["torch", "jax"]) == ["torch", "jax"]


def test_a_selection_outside_the_config_is_refused(tmp_path):
    path = edited(tmp_path, "seeds:", "backends: [numpy]\nseeds:")
    with pytest.raises(LockstepError, match="this config has numpy, not torch"):
        load(path, ["torch"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 5", "epochs: six", 'base.training.epochs: expected a whole number, not "six"'),
        ("epochs: 5", "epochs: true", "base.training.epochs: expected a whole number, not true"),
        ("epochs: 5", "epoch: 6", "base.training.epoch: unknown key (did you mean epochs?); allowed: epochs"),
        ("padding: valid", "padding: vlid", "base.model.padding: expected 'valid', 'same' or 'full'"),
        (
            "{dropout: 0.5}",
            "{dropot: 0.5}",
            "experiments.dropout.model.dropot: unknown key (did you mean dropout",
        ),
        (
            "{dropout: 0.5}",
            "{dropout: 1.5}",
            "experiments.dropout.model.dropout: expected less than 1, not 1.5",
        ),
        ("kernel: 5}", "kernel: 50}", "experiments.baseline.model: conv1: a 50x50 kernel is larger"),
        ("kernel: 5}", "kernl: 5}", "base.model.layers[0].kernl: unknown key (did you mean kernel?)"),
        ("kind: flatten", "kind: flaten", "base.model.layers[6]: unknown kind 'flaten'; allowed: 'conv2d'"),
        (
            "units: 10}",
            "units: 11}",
            "experiments.baseline.model: the last layer gives 11, but mnist-5k has 10",
        ),
        (", slope: 0.01", "", "experiments.leaky_relu.model: activation leaky_relu with slope None"),
        ("source: mnist-5k", "source: cifar", "base.data.source: expected 'mnist-5k' or 'mnist'"),
        ("seeds: [0", "seeds: [-1", "seeds[0]: expected greater than or equal to 0, not -1"),
        ("seeds: [0, 1", "seeds: [1, 1", "seeds: a value is listed twice"),
        ("seeds:", "backends: [numpy, foo]\nseeds:", "backends: unknown backend 'foo'; known: numpy"),
        ("seeds:", "devices: [tpu]\nseeds:", "devices[0]: expected 'cpu' or 'gpu', not \"tpu\""),
        ("results: results/default\n", "", "results: missing"),
        (
            "mnist-5k,",
            "mnist-5k, train_size: 9999,",
            "experiments.baseline.data.train_size: mnist-5k has 3500",
        ),
        ("5e-4", ".inf", "base.optimizer.learning_rate: expected a finite number"),
        ("seeds: [0", f"seeds: [{2**63}", "seeds[0]: expected less than 9223372036854775808"),
        ("seeds:", "backends: []\nseeds:", "backends: "),
        ("baseline: {}", "Base Line: {}", "experiments.Base Line: use up to 64 lower-case letters"),
        ("baseline: {}", "no: {}", ", line 30: not valid YAML: a key must be text"),
        ("baseline: {}", "1.5: {}", ", line 30: not valid YAML: a key must be text"),
        ("baseline: {}", "2024-01-01: {}", ", line 30: not valid YAML: a key must be text"),
        ("epochs: 5", "epochs: 1:30", 'base.training.epochs: expected a whole number, not "1:30"'),
        ("results/default", "results/{x}", "results: "),
        ("seeds:", "baseline: plain\nseeds:", "baseline: 'plain' is not one of its experiments: baseline, "),
        ("seeds:", "baseline: ''\nseeds:", "baseline: '' is not one of its experiments: baseline, "),
        ("reports/default", "results/default", "reports: name another folder than results"),
        ("baseline: {}", "dropout: {}", ", line 31: not valid YAML: the key 'dropout' is there twice"),
        ("base:", "base: [", ", line 10: not valid YAML"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_what_is_allowed(tmp_path, old, new, message):
    path = edited(tmp_path, old, new)
    with pytest.raises(LockstepError) as error:
        load(path)
    text = str(error.value)
    assert text.startswith(str(path))
    assert message in text
    assert "\n" not in text


def test_the_baseline_is_the_first_experiment_or_the_one_that_is_named(tmp_path):
    assert load(DEFAULT).baseline == "baseline"
    assert load(edited(tmp_path, "seeds:", "baseline: dropout\nseeds:")).baseline == "dropout"


@pytest.mark.parametrize(
    ("content", "message"), [("- a\n", "expected `key: value`"), ("", "expected"), (b"\xff\xfe", "UTF-8")]
)
def test_a_file_that_is_no_config(tmp_path, content, message):
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LockstepError, match=message):
        load(path)
    with pytest.raises(LockstepError, match=r"nowhere.yaml: No such file"):
        load(tmp_path / "nowhere.yaml")


def with_runs(tmp_path: Path, runs: str) -> Path:
    text = DEFAULT.read_text()
    path = tmp_path / "edited.yaml"
    path.write_text(f"{text[: text.index('runs:')]}runs: {runs}\n")
    return path


BLOCKS = """
  - {experiments: [baseline]}
  - {backends: [numpy], seeds: [0, 7]}
  - {experiments: [dropout], backends: [torch], train_sizes: {500: {training: {epochs: 9}}, 1000: {}}}
"""


def test_runs_are_the_union_of_their_blocks(tmp_path):
    config = load(with_runs(tmp_path, BLOCKS), ["numpy", "torch"])
    cells = {(cell.name, cell.backend, cell.seed) for cell in config.cells()}
    assert len(list(config.cells())) == len(cells)
    seeds = {0, 1, 2}
    expected = {("baseline", backend, seed) for backend in ("numpy", "torch") for seed in seeds}
    expected |= {(name, "numpy", seed) for name in config.experiments for seed in (0, 7)}
    expected |= {(f"dropout@{size}", "torch", seed) for size in (500, 1000) for seed in seeds}
    assert cells == expected
    small = config.smaller["dropout@500"]
    assert (small.train_size, small.training.epochs) == (500, 9)
    assert small.spec == config.experiments["dropout"].spec
    assert config.cell("dropout@500", "torch", "cpu", 0).experiment == small


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (
            "[{experiments: [nothing]}]",
            "runs[0].experiments: 'nothing' is not one of this config's: baseline",
        ),
        ("[{}, {backends: [cupy]}]", "runs[1].backends: 'cupy' is not one of this config's: numpy"),
        ("[{devices: [gpu]}]", "runs[0].devices: 'gpu' is not one of this config's: cpu"),
        ("[{seeds: [1, 1]}]", "runs[0].seeds: a value is listed twice"),
        ("[{train_sizes: {0: {}}}]", "runs[0].train_sizes"),
        ("[{train_sizes: {4000: {}}}]", "runs[0].train_sizes.4000.data.train_size: mnist-5k has 3500"),
        ("[{train_sizes: {9: {training: {epoch: 1}}}}]", "runs[0].train_sizes.9.training.epoch: unknown key"),
        ("[{train_sizes: {9: {}}}, {train_sizes: {9: {training: {epochs: 1}}}}]", "baseline@9 is another"),
        ("[]", "runs"),
    ],
)
def test_blocks_of_runs_say_what_is_wrong(tmp_path, runs, message):
    with pytest.raises(LockstepError, match=re.escape(message)):
        load(with_runs(tmp_path, runs))


def test_the_sources_are_those_of_all_runs(tmp_path):
    runs = "[{experiments: [baseline]}, {train_sizes: {9: {data: {source: mnist}}}}]"
    assert set(load(with_runs(tmp_path, runs)).sources) == {"mnist-5k", "mnist"}
    text = DEFAULT.read_text().replace("dropout: {model", "dropout: {data: {source: mnist}, model")
    path = tmp_path / "untrained.yaml"
    path.write_text(text[: text.index("runs:")] + "runs: [{experiments: [baseline]}]\n")
    assert set(load(path).sources) == {"mnist-5k"}  # nothing that is trained reads the other


TINY = """
results: results/x
reports: reports/x
backends: [numpy]
seeds: [0]
base:
  model: {layers: [{kind: flatten}, {kind: dense, units: 10}]}
  training: {epochs: 1}
experiments: {one: {}}
"""


def tiny(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(TINY), **changes}))
    return path


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (
            {"augmentation": {"fill_value": 0.5}},
            "augmentation.fill_value: without effect, as it is of fill: con",
        ),
        (
            {"regularisation": {"adversarial": {"attack": "fgsm", "eps": 0.1, "steps": 3}}},
            "regularisation.adversarial.steps: without effect, as it is of attack: pgd; leave it out",
        ),
        (
            {"model": {"activation": "tanh"}},
            "model.activation: without effect, as no activation layer leaves",
        ),
        ({"model": {"slope": 0.1}}, "model.slope: without effect, as no activation layer leaves"),
        (
            {"model": {"padding": "same"}},
            "model.padding: without effect, as no conv2d layer leaves its padding",
        ),
        (
            {"model": {"dropout": 0.5}},
            "model.dropout: without effect, as no dropout layer leaves its rate open",
        ),
        (
            {"model": {"layers": [{"kind": "activation", "slope": 0.1}]}},
            "model.layers[0]: slope has no effect without a function",
        ),
    ],
)
def test_a_key_without_effect_is_refused_where_it_stands(tmp_path, one, message):
    with pytest.raises(LockstepError, match=re.escape(f"tiny.yaml: experiments.one.{message}")):
        load(tiny(tmp_path, experiments={"one": one}))


def test_a_key_of_the_base_that_one_experiment_reads_has_an_effect(tmp_path):
    base = yaml.safe_load(TINY)["base"] | {"augmentation": {"fill_value": 0.5}}
    with pytest.raises(LockstepError, match=r"tiny.yaml: base\.augmentation\.fill_value: without effect"):
        load(tiny(tmp_path, base=base))
    load(tiny(tmp_path, base=base, experiments={"one": {}, "two": {"augmentation": {"fill": "constant"}}}))


def test_the_size_of_a_learning_curve_is_given_once(tmp_path):
    runs = [{"train_sizes": {"100": {"data": {"train_size": 50}}}}]
    with pytest.raises(LockstepError, match=r"runs\[0\]\.train_sizes\.100\.data\.train_size: without effect"):
        load(tiny(tmp_path, runs=runs))


@pytest.mark.parametrize("key", ["results", "reports", "tensorboard", "directory", "dataframe", "images"])
def test_a_home_folder_is_written_out(tmp_path, key):
    source = {"dataframe": "t.csv"} if key == "images" else {}
    base = yaml.safe_load(TINY)["base"] | {"data": {"source": {**source, key: "~/x"}}}
    changes = {key: "~/x"} if key in ("results", "reports", "tensorboard") else {"base": base}
    with pytest.raises(LockstepError, match=rf"{key}: ~ is not expanded; write the folder out, or \./~ for"):
        load(tiny(tmp_path, **changes))


def numbers() -> Iterator[tuple[type[Settings], str, bool]]:
    """(section of a config, key of a number, whether it is an integer)."""
    waiting = Settings.__subclasses__()
    while waiting:
        section = waiting.pop()
        waiting += section.__subclasses__()
        for key, said in section.model_json_schema()["properties"].items():
            kinds = {each.get("type") for each in (said, *said.get("anyOf", ()))}
            if section.__module__.removeprefix("lockstep.") in PLACES and kinds & {"number", "integer"}:
                yield section, key, "integer" in kinds


PLACES = "config_file", "experiment", "spec", "optimizer", "data.augmentation"
NUMBERS = list(numbers())


def test_the_numbers_of_a_config_are_found():
    found = {f"{section.__name__}.{key}" for section, key, _ in NUMBERS}
    assert {"Adam.learning_rate", "Training.epochs", "Activation.slope", "Strong.eps"} <= found


@pytest.mark.parametrize(("section", "key", "integer"), NUMBERS)
def test_a_number_of_a_config_is_finite_and_can_be_counted(section: type[Settings], key: str, integer: bool):
    refused = ["NaN", "Infinity", "-Infinity", "1e400", "true", '"1"']
    for text in [*refused, "1.5", "1e30", str(10**30), "-1"] if integer else refused:
        with pytest.raises(ValidationError) as error:
            section.model_validate_json(f'{{"{key}": {text}}}', strict=True)
        assert (key,) in {found["loc"][:1] for found in error.value.errors()}, text
