"""`lockstep.open` and `lockstep.train` on small runs that the NumPy backend trains."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import NO_CUPY, ROOT

import lockstep
from lockstep.attacks.apgd import APGD
from lockstep.attacks.losses import NEEDED
from lockstep.errors import LockstepError
from lockstep.evaluation import probabilities

LAYERS = [
    {"kind": "conv2d", "filters": 4, "kernel": 5, "stride": 2},
    {"kind": "activation"},
    {"kind": "flatten"},
    {"kind": "dense", "units": 10},
]
EPS = 0.15


def write_config(folder: Path, **changes) -> Path:
    content = {
        "results": str(folder / "results"),
        "reports": str(folder / "reports"),
        "seeds": [0],
        "base": {
            "data": {"train_size": 800},
            "model": {"layers": LAYERS},
            "optimizer": {"learning_rate": 0.005},
            "training": {"epochs": 3, "batch_size": 32},
        },
        "experiments": {
            "small": {},
            "moved": {"augmentation": {}, "training": {"epochs": 1}},
            "hot": {"optimizer": {"learning_rate": 1e30}, "training": {"epochs": 1}},
        },
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return write_config(tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="module")
def run(config):
    return lockstep.train(config, "small", "numpy")


@pytest.fixture(scope="module")
def moved(config):
    return lockstep.train(config, "moved", "numpy")


def python(script: str, *arguments: object, cwd: Path = ROOT) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_lockstep_imports_nothing_heavy():
    script = (
        "import sys, lockstep; print(*dir(lockstep)); print(*{name.split('.')[0] for name in sys.modules})"
    )
    names, imported = python(script).splitlines()
    assert {"open", "train"} <= set(names.split())
    assert "lockstep" in imported.split()
    assert not {"numpy", "pandas", "pydantic", "torch", "tensorflow", "keras", "jax"} & set(imported.split())
    with pytest.raises(AttributeError, match="no attribute 'close'"):
        lockstep.close  # noqa: B018


def test_opening_a_run_and_computing_with_numpy_import_no_framework(run):
    script = (
        "import sys, lockstep\n"
        "run = lockstep.open(sys.argv[1])\n"
        "assert abs(run.features(run.test.images) - run.test.logits).max() < 1e-4\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    assert not {"torch", "tensorflow", "keras", "jax"} & set(python(script, run.folder).split())


def test_training_prints_its_epochs_and_is_done_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a notebook's kernel does
    config = write_config(tmp_path)
    first = lockstep.train(str(config), "moved", backend="numpy", seed=1)
    printed = capsys.readouterr().out
    assert printed.startswith("epoch 1/1  train loss")
    assert "\x1b" not in printed
    assert "moved/numpy/cpu/seed-1: test accuracy" in printed
    made = (first.folder / "provenance.json").read_bytes()
    again = lockstep.train(config, "moved", backend="numpy", seed=1)
    assert capsys.readouterr().out == ""
    assert (again.folder / "provenance.json").read_bytes() == made
    write_config(tmp_path, experiments={"moved": {"training": {"epochs": 2}}})
    assert len(lockstep.train(config, "moved", backend="numpy", seed=1).history) == 2


def test_predictions_are_those_that_were_stored(run):
    test, rows = run.test, run.data.test.images[:]
    assert np.array_equal(run.predict(rows), probabilities(test.logits))
    assert np.allclose(run.predict(test.images), probabilities(test.logits), atol=1e-6)
    assert np.allclose(run.predict(test.images).sum(axis=1), 1)
    assert run.accuracy(test.images, test.labels) == (test.logits.argmax(axis=1) == test.labels).mean()


def test_images_are_taken_in_every_shape(run):
    image = run.test.images[:1]
    for same in (image, image[0], image[..., 0], image[0, ..., 0], image.astype(np.float64)):
        assert np.allclose(run.predict(same), run.predict(image), atol=1e-6)
    many = run.predict(run.test.images[:3, ..., 0])
    assert np.allclose(many, run.predict(run.test.images[:3]))
    assert many.shape == (3, 10)


def test_features_are_what_the_weights_make_of_an_image(run):
    kernel, bias = run.weights("conv1")
    assert kernel.shape == (5, 5, 1, 4)
    assert np.array_equal(run.weights("conv1/bias"), bias)
    found = run.features(run.data.test.images[:2], "conv1")
    image = run.data.transform(run.data.test.images[:2], "float64")[1, ..., 0]
    by_hand = (image[2:7, 4:9] * kernel[..., 0, 3]).sum() + bias[3]
    assert found.shape == (2, 12, 12, 4)
    assert found[1, 1, 2, 3] == pytest.approx(by_hand, rel=1e-5)
    assert np.array_equal(run.features(run.test.images, "dense1"), run.features(run.test.images))


def test_weights_are_copies(run):
    run.weights("conv1").kernel[:] = 0
    run.weights("conv1/kernel")[:] = 0
    assert run.weights("conv1").kernel.any()


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_an_attack_beats_noise_and_stays_in_its_ball(run, name):
    attacked, noise = run.attack(name, EPS, n=60), run.attack("uniform_noise", EPS, n=60)
    for found in (attacked, noise):
        assert np.abs(found.images - found.clean).max() <= EPS + 1e-6
        assert found.images.min() >= 0
        assert found.images.max() <= 1
        assert found.accuracy == run.accuracy(found.images, found.labels)
        assert found.clean_accuracy == run.accuracy(found.clean, found.labels)
    assert attacked.accuracy < noise.accuracy - 0.2
    assert repr(attacked).startswith(f"Attacked(attack='{name}', eps={EPS}, clean_accuracy=")


def test_one_s_own_images_are_attacked(run):
    images, labels = run.data.test.images[:5], run.data.test.labels[:5]
    found = run.attack("fgsm", 0.1, images, labels)
    assert np.allclose(found.clean, images / 255)
    assert np.array_equal(found.labels, labels)


def test_augmented_images_are_drawn_by_the_seed(moved):
    images = moved.test.images[:20]
    first, again, other = moved.augmented(images), moved.augmented(images), moved.augmented(images, seed=1)
    assert (first.shape, first.dtype) == (images.shape, np.float32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, again)
    assert np.abs(first - images).mean() > 0.01
    assert np.abs(first - other).mean() > 0.01


def test_tables_are_those_of_the_files(run):
    assert list(run.history.index) == [1, 2, 3]
    assert {"train_loss", "validation_accuracy"} <= set(run.history)
    rows = run.metrics.query("split == 'test' and metric == 'accuracy' and condition == ''")
    table = run.confusion
    assert table.to_numpy().sum() == len(run.test.labels)
    assert np.trace(table) / table.to_numpy().sum() == pytest.approx(rows["value"].item())
    assert (table.sum(axis=1) == np.bincount(run.test.labels)).all()
    assert run.layers.loc["conv1", "parameters"] == "5*5*1*4 + 4 = 104"
    assert run.spec.parameters == run.experiment.spec.parameters
    assert isinstance(run.metrics, pd.DataFrame)


def test_a_run_says_what_it_is(run):
    right = 100 * run.accuracy(run.test.images, run.test.labels)
    assert repr(run) == (
        f"<small/numpy/cpu/seed-0: {right:.2f} % of 1,000 test images right after 3 epochs on 800 images>"
    )
    assert "<table" in run._repr_html_()
    assert "5*5*1*4 + 4 = 104" in run._repr_html_()


def test_one_process_holds_one_framework_and_numpy(run, tmp_path):
    """Two plugins stand for frameworks: what counts is that they are not the reference."""
    for name in ("one", "two"):
        shutil.copytree(ROOT / "backends/numpy", tmp_path / "backends" / name)
    script = (
        "import sys, lockstep\n"
        "from lockstep.errors import LockstepError\n"
        "one, two, three = (lockstep.open(sys.argv[1], backend=name) for name in ('one', 'two', 'numpy'))\n"
        "image = one.test.images[:1]\n"
        "print(repr(one))\n"
        "assert (one.predict(image) == three.predict(image)).all()\n"
        "assert len(two.history) == 3\n"
        "try:\n"
        "    two.predict(image)\n"
        "except LockstepError as error:\n"
        "    print(error)\n"
        "one.features(image, 'conv1')"
    )
    shown, error = python(script, run.folder, cwd=tmp_path).splitlines()
    assert shown.startswith("<small/one/cpu/seed-0:")
    assert error == (
        "this process runs one and cannot run two too: restart the kernel, or open with "
        'lockstep.open(folder, backend="numpy"), which computes the same up to rounding'
    )


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda run: lockstep.open(run.folder.parent), "not a finished cell"),
        (lambda run: lockstep.open(run.folder, "mxnet"), "unknown backend 'mxnet'; known: numpy"),
        (
            lambda run: run.weights("conv9"),
            "no weights 'conv9'; .* has: conv1, dense1, conv1/kernel, conv1/bias",
        ),
        (lambda run: run.features(run.test.images, "conv9"), "no layer 'conv9' in this spec; it has: conv1"),
        (
            lambda run: run.predict(np.zeros((2, 27, 28))),
            r"float64 of shape \(2, 27, 28\), expected \(n, 28, 28, 1\)",
        ),
        (lambda run: run.predict(np.zeros((0, 28, 28, 1))), "n 1 or more"),
        (lambda run: run.predict(None), r"images: found object of shape \(\), expected \(n, 28, 28, 1\)"),
        (lambda run: run.predict(0.5), r"images: found float64 of shape \(\), expected"),
        (lambda run: run.predict([[0.5], [0.5, 0.5]]), r"images: expected an array \(ValueError: setting"),
        (lambda run: run.accuracy(run.test.images[:2], [[1], [1, 2]]), r"labels: expected an array \("),
        (lambda run: run.accuracy(run.test.images[:2], None), r"labels: found object of shape \(\)"),
        (lambda run: run.predict(np.zeros((28, 28), int)), "int64 .* expected uint8 or floats"),
        (lambda run: run.predict(np.full((28, 28), 255.0)), r"from 255 to 255, expected pixels in \[0, 1\]"),
        (lambda run: run.predict(np.full((28, 28), np.nan)), "from nan to nan"),
        (lambda run: run.predict(np.full((28, 28), np.inf)), "from inf to inf"),
        (lambda run: run.predict(np.full((28, 28), -0.01)), "from -0.01 to -0.01"),
        (lambda run: run.predict(np.ones((28, 28), bool)), "bool .* expected uint8 or floats"),
        (lambda run: run.predict(np.ones((28, 28), complex)), "complex128 .* expected uint8 or floats"),
        (lambda run: run.predict(np.full((28, 28), "0.5")), "<U3 .* expected uint8 or floats"),
        (lambda run: run.predict([]), r"of shape \(0,\), expected \(n, 28, 28, 1\), n 1 or more"),
        (
            lambda run: run.predict(np.zeros((1, 28, 28, 3))),
            r"28, 28, 3\), expected \(n, 28, 28, 1\)",
        ),
        (lambda run: run.predict("digit.png"), r"images: found <U9 of shape \(\), expected"),
        (lambda run: run.accuracy(run.test.images[:1], [-1]), "labels: found -1 to -1, expected 0 to 9"),
        (lambda run: run.accuracy(run.test.images[:1], [True]), "labels: found bool"),
        (lambda run: run.accuracy(run.test.images[:1], ["7"]), "labels: found <U1"),
        (
            lambda run: run.accuracy(run.test.images[:1], 7),
            r"labels: found int64 of shape \(\), expected an integer",
        ),
        (
            lambda run: run.accuracy(run.test.images[:1], np.eye(10)[:1]),
            r"labels: found float64 of shape \(1, 10\)",
        ),
        (
            lambda run: run.accuracy(run.test.images, run.test.labels[1:]),
            r"shape \(999,\), expected an integer",
        ),
        (lambda run: run.accuracy(run.test.images[:2], np.array([0, 10])), "found 0 to 10, expected 0 to 9"),
        (lambda run: run.accuracy(run.test.images[:2], np.array([0.0, 1])), "labels: found float64"),
        (lambda run: run.attack("nudge", 0.1), "unknown attack 'nudge'; known: fgsm, "),
        (lambda run: run.attack("pgd", 2), "eps: found 2.0, expected a number, 0 to 1"),
        (lambda run: run.attack("pgd", 0.1, run.test.images), "images or labels alone"),
        (lambda run: run.augmented(run.test.images), "trained without augmentation"),
    ],
)
def test_mistakes_are_one_line(run, work, message):
    with pytest.raises(LockstepError, match=message) as error:
        work(run)
    assert "\n" not in str(error.value)


NO_INTEGERS = [
    1.5,
    1.0,
    np.float64(2),
    -1,
    True,
    np.True_,
    "1",
    None,
    [1],
    np.zeros(2, int),
    2**63,
    float("nan"),
]
NO_NUMBERS = ["0.1", None, [0.1], True, 1j, float("inf"), np.float32("nan"), 10**400, np.ones(100)]
NO_TEXTS = [3, b"fgsm", ["fgsm"], {}, Path("fgsm"), np.arange(9)]
NO_PATHS = [None, 3, b"x", ["x"], {}, ""]
# {argument: (a call with a value of it, values that are refused, what is expected)}
HANDED_OVER = {
    "attack: seed": (lambda r, v: r.attack("pgd", 0.1, seed=v), NO_INTEGERS, "an integer, 0"),
    "pgd: steps": (lambda r, v: r.attack("pgd", 0.1, steps=v), [*NO_INTEGERS, 0], "an integer, 1 or more"),
    "attack: n": (lambda r, v: r.attack("pgd", 0.1, n=v), [*NO_INTEGERS, 0], "an integer, 1 or more"),
    "attack: eps": (lambda r, v: r.attack("pgd", v), NO_NUMBERS, "a finite number"),
    "attack: name": (lambda r, v: r.attack(v, 0.1), [*NO_TEXTS, None], "text"),
    "augmented: seed": (lambda r, v: r.augmented(np.zeros((28, 28)), v), NO_INTEGERS, "an integer, 0"),
    "features: layer": (lambda r, v: r.features(np.zeros((28, 28)), v), NO_TEXTS, "text"),
    "weights: name": (lambda r, v: r.weights(v), [*NO_TEXTS, None], "text"),
    "open: cell": (lambda r, v: lockstep.open(v), NO_PATHS, "a path"),
    "open: backend": (lambda r, v: lockstep.open(r.folder, v), NO_TEXTS, "text"),
    "train: config": (lambda r, v: lockstep.train(v, "moved", "numpy"), NO_PATHS, "a path"),
    "train: experiment": (lambda r, v: lockstep.train(of(r), v, "numpy"), [*NO_TEXTS, None], "text"),
    "train: backend": (lambda r, v: lockstep.train(of(r), "moved", v), [*NO_TEXTS, None], "text"),
    "train: device": (lambda r, v: lockstep.train(of(r), "moved", "numpy", 0, v), [*NO_TEXTS, None], "text"),
    "train: seed": (lambda r, v: lockstep.train(of(r), "moved", "numpy", v), NO_INTEGERS, "an integer, 0"),
}  # fmt: skip


def of(run) -> Path:
    """Its config."""
    return run.folder.parents[5] / "config.yaml"


@pytest.mark.parametrize(
    ("argument", "call", "values", "expected"), [(k, *v) for k, v in HANDED_OVER.items()]
)
def test_what_is_handed_over_is_named_with_its_value_and_what_was_expected(
    moved, argument, call, values, expected
):
    for value in values:
        with pytest.raises(LockstepError) as error:
            call(moved, value)
        said = f"{argument}: found {' '.join(repr(value).split())[:60]}"
        assert str(error.value).startswith(said)
        assert f"({type(value).__name__}), expected {expected}" in str(error.value)
        assert "\n" not in str(error.value)


def test_an_attack_takes_the_options_that_it_has(run):
    images, labels = run.attack("apgd", 0.125, n=3).clean, run.attack("apgd", 0.125, n=3).labels
    found = run.attack("apgd", 0.125, images, labels, steps=4, restarts=2, seed=1)
    expected = APGD(0.125, steps=4, restarts=2)(run._victim(3), images, labels, 1)
    assert np.array_equal(found.images, expected)
    with pytest.raises(LockstepError, match="^apgd: no option 'step'; it has steps, restarts$"):
        run.attack("apgd", 0.125, step=0.1)
    with pytest.raises(LockstepError, match="^fgsm: no option 'steps'; it has loss$"):
        run.attack("fgsm", 0.125, steps=10)


def test_a_loss_that_the_classes_do_not_allow_is_said(run, monkeypatch):
    """Ten classes are enough for every loss, so here one wants more."""
    monkeypatch.setitem(NEEDED, "dlr", 11)
    with pytest.warns(UserWarning, match="^apgd_dlr: the DLR loss needs 11 classes and there are 10"):
        run.attack("apgd_dlr", 0.125, n=3, steps=1)


def test_numbers_of_numpy_are_numbers(run):
    plain = run.attack("pgd", 0.125, n=3, steps=2, seed=7)
    numpy = run.attack("pgd", np.float32(0.125), n=np.int64(3), steps=np.uint8(2), seed=np.array(7))
    assert np.array_equal(plain.images, numpy.images)
    assert repr(plain) == repr(numpy)


@pytest.mark.parametrize(
    ("experiment", "name", "device", "message"),
    [
        ("dropuot", "numpy", "cpu", "no experiment 'dropuot'; it has: hot, moved, small"),
        ("small", "numpyy", "cpu", "unknown backend 'numpyy'"),
        pytest.param("small", "numpy", "gpu", "seed-0: backend numpy: not installed: cupy", marks=NO_CUPY),
        ("hot", "numpy", "cpu", "this run diverged"),
    ],
)
def test_mistakes_in_training_are_one_line(config, experiment, name, device, message, capsys):
    with pytest.raises(LockstepError, match=message) as error:
        lockstep.train(config, experiment, name, device=device)
    assert "\n" not in str(error.value)
    assert str(error.value) not in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half a file"])
@pytest.mark.parametrize(("name", "asked"), [("history.csv", "history"), ("predictions.npz", "confusion")])
def test_a_missing_or_damaged_file_is_named(run, tmp_path, name, asked, content):
    copy = tmp_path / "results/cells/small/numpy/cpu/seed-0"
    shutil.copytree(run.folder, copy)
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(LockstepError, match=f"{name}: missing or damaged; train the cell again"):
        getattr(lockstep.open(copy), asked)


CELL = "small/numpy/cpu/seed-0"


CELLS = "house/results/cells"
# {what is a link: (what is moved where, a link of one's own and its target, from where, what is opened)}
LINKED = {
    "nothing": ("", "", "house", f"results/cells/{CELL}"),
    "cells": (f"{CELLS} disk/c", "", ".", f"{CELLS}/{CELL}"),
    "cells, under their name": (f"{CELLS} disk/cells", "", "house", f"results/cells/{CELL}"),
    "cells, from inside": (f"{CELLS} disk/cells", "", f"{CELLS}/small", "numpy/cpu/seed-0"),
    "cells, by their child's parent": (f"{CELLS} disk/c", "", "disk", f"../{CELLS}/small/../{CELL}"),
    "the experiment": (f"{CELLS}/small disk/small", "", ".", f"{CELLS}/{CELL}"),
    "the seed": (f"{CELLS}/{CELL} disk/seed-7", "", f"{CELLS}/small", "numpy/cpu/seed-0"),
    "results": ("house/results disk/r", "", "disk", f"../{CELLS}/{CELL}"),
    "results, by its parent": ("house/results disk/far/r", "", "house/results", f"../r/cells/{CELL}"),
    "all": ("house disk/far/h", "", "house", f"results/cells/{CELL}"),
    "a name of one's own": ("", f"mine {CELLS}/{CELL}", ".", "mine"),
    "a name of one's own, and cells": (f"{CELLS} disk/cells", f"x/y {CELLS}/small", "x", f"y/{CELL[6:]}"),
}  # fmt: skip


@pytest.mark.parametrize(("moved", "named", "cwd", "cell"), LINKED.values(), ids=list(LINKED))
def test_a_cell_is_found_through_links_and_nothing_is_written_beside_their_targets(
    run, tmp_path, monkeypatch, moved, named, cwd, cell
):
    results = tmp_path / "house/results"
    shutil.copytree(run.folder.parents[4], results, ignore=shutil.ignore_patterns("data", "moved", "hot"))
    (tmp_path / "disk/far").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    for link, target in filter(None, (moved.split(), named.split())):
        if link in moved:
            (tmp_path / link).rename(tmp_path / target)
        (tmp_path / link).symlink_to(os.path.relpath(tmp_path / target, (tmp_path / link).parent))
    monkeypatch.chdir(tmp_path / cwd)
    monkeypatch.setenv("PWD", str(tmp_path / cwd))  # as a shell does
    for asked in (Path(cell), tmp_path / cwd / cell):
        opened = lockstep.open(asked)
        assert repr(opened).startswith(f"<{CELL}:")
        assert np.array_equal(opened.data.test.labels, run.test.labels)
        (written,) = (path.parent for path in tmp_path.rglob("source.json"))
        assert written.samefile(results / "data/mnist-5k")


def test_data_are_decoded_into_no_folder_but_one_of_lockstep(run, tmp_path):
    """Somebody may keep other things in a folder `data` beside a copy of `cells`."""
    (tmp_path / "data").mkdir()
    shutil.copytree(run.folder, tmp_path / "cells" / CELL)
    with pytest.raises(LockstepError, match=f"{tmp_path} holds no data of mnist-5k, and was not made by"):
        lockstep.open(tmp_path / "cells" / CELL).data  # noqa: B018
    assert not list((tmp_path / "data").iterdir())


def test_a_run_of_other_images_than_the_source_has_now_is_refused(run, tmp_path):
    copy = tmp_path / "cells" / CELL
    shutil.copytree(run.folder, copy)
    shutil.copytree(run.folder.parents[4] / "data", tmp_path / "data")
    known = json.loads((copy / "provenance.json").read_text())
    known["identity"]["data"] = "e" * 64
    (copy / "provenance.json").write_text(json.dumps(known))
    with pytest.raises(LockstepError, match="trained on other images than mnist-5k has now; train the cell"):
        lockstep.open(copy).data  # noqa: B018


@pytest.mark.parametrize("place", ["a/b/c/d", "a/b/c/d/e/f/g"])
def test_a_cell_that_was_copied_alone_has_no_data(run, tmp_path, place):
    shutil.copytree(run.folder, tmp_path / place)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(LockstepError, match=r"not in a results folder \(\.\.\./cells/.*; copy the whole"):
        lockstep.open(tmp_path / place).predict(np.zeros((28, 28)))
    assert set(tmp_path.rglob("*")) == before


def test_a_notebook_shows_a_mistake_without_a_traceback(tmp_path):
    pytest.importorskip("IPython", reason="IPython comes with the extra `test`")
    script = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell().run_cell('import lockstep; lockstep.open(\"nowhere\")')"
    )
    shown = python(script)
    assert shown.startswith("LockstepError: nowhere: not a finished cell")
    assert len(shown.splitlines()) == 1
