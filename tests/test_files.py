"""Images on disk: what is listed, decoded, split and refused, and that the same pixels give the same run."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from lockstep import cell as cells
from lockstep import config as configs
from lockstep.data import dataset, files, sources, splits, store
from lockstep.data.batches import epoch_chunks
from lockstep.data.files import Dataframe, Directory
from lockstep.errors import LockstepError
from lockstep.identity import cell_hash
from lockstep.training import Watcher

SHAPE = (6, 4)


@pytest.fixture(autouse=True)
def files_are_listed_anew() -> Iterator[None]:
    """A process lists a source once; a test edits files in between."""
    sources._files.cache_clear()
    yield
    sources._files.cache_clear()


def picture(seed: int, mode: str = "L", size: tuple[int, int] = SHAPE) -> Image.Image:
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, *channels), np.uint8))


def fill(root: Path, **classes: int) -> Path:
    """root/class/n.png, so many of each class, every one different."""
    for number, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            picture(1000 * number + n).save(root / name / f"{n:03}.png")
    return root


def table(path: Path, rows: list[tuple[str, str]], columns: tuple[str, str] = ("filename", "class")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def directory(root: Path, **settings: Any) -> Directory:
    return Directory.model_validate_json(json.dumps({"directory": str(root), "size": SHAPE, **settings}))


def dataframe(path: Path, **settings: Any) -> Dataframe:
    return Dataframe.model_validate_json(json.dumps({"dataframe": str(path), "size": SHAPE, **settings}))


def anew(setting: Directory | Dataframe) -> sources.Source:
    sources._files.cache_clear()
    return sources.find(setting)


def decoded(setting: Directory | Dataframe, folder: Path) -> store.Prepared:
    sources._files.cache_clear()
    sources.prepare(setting, folder / "decoded")
    return store.read(folder / "decoded")


def pixels(path: Path, mode: str = "L") -> np.ndarray:
    with Image.open(path) as image:
        array = np.asarray(image.convert(mode))
    return array.reshape(*array.shape[:2], -1)


# What a listing holds.


def test_classes_are_sorted_folders_and_files_sorted_names(tmp_path):
    root = fill(tmp_path / "pets", dog=5, Cat=3, ant=4)
    (root / "notes.txt").write_text("no class")
    (root / "ant" / "notes.txt").write_text("no image")
    source = anew(directory(root))
    assert source.classes == ("Cat", "ant", "dog")
    counts = {"Cat": 3, "ant": 4, "dog": 5}
    names = [f"{name}/{n:03}.png" for name, count in counts.items() for n in range(count)]
    assert source.listing.names == names
    assert source.listing.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 5
    data = decoded(directory(root, validation=0.34, test=0.34), tmp_path)
    for name, image in zip(names, data.images, strict=True):
        assert np.array_equal(image, pixels(root / name))


def test_an_explicit_list_orders_the_classes_and_leaves_others_out(tmp_path):
    root = fill(tmp_path / "d", a=2, b=2, c=2)
    source = anew(directory(root, classes=["c", "a"]))
    assert source.classes == ("c", "a")
    assert source.listing.names == ["c/000.png", "c/001.png", "a/000.png", "a/001.png"]
    assert source.listing.labels.tolist() == [0, 0, 1, 1]


def test_files_below_a_class_folder_and_every_extension_count(tmp_path):
    root = fill(tmp_path / "d", a=1, b=1)
    deep = root / "a" / "deep" / "deeper"
    deep.mkdir(parents=True)
    names = ["x.jpg", "y.JPEG", "z.bmp", "u.PPM", "v.tif", "w.tiff"]
    for n, name in enumerate(names):
        picture(n, "RGB").save(deep / name)
    (deep / "other.gif").write_bytes(b"GIF89a")
    found = anew(directory(root)).listing.names
    assert found == ["a/000.png", *(f"a/deep/deeper/{name}" for name in sorted(names)), "b/000.png"]


def test_rows_keep_their_order_and_labels_are_text(tmp_path):
    root = fill(tmp_path / "images", x=4)
    rows = [("x/003.png", "10"), ("x/000.png", "9"), (str(root / "x/001.png"), "010"), ("x/002.png", "9")]
    path = table(tmp_path / "labels.csv", rows, ("file", "what"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as spreadsheets save it
    source = anew(dataframe(path, images=str(root), x_col="file", y_col="what"))
    assert source.classes == ("010", "10", "9")
    assert source.listing.labels.tolist() == [1, 2, 0, 2]
    assert source.listing.names == [name for name, _ in rows]


def test_images_are_looked_for_beside_the_table_by_default(tmp_path):
    root = fill(tmp_path / "d", a=3, b=3)
    rows = [(f"{c}/00{n}.png", c) for n in range(3) for c in "ab"]
    data = decoded(dataframe(table(root / "t.csv", rows), validation=0.34, test=0.34), tmp_path)
    for (name, _), image in zip(rows, data.images, strict=True):
        assert np.array_equal(image, pixels(root / name))


def test_many_classes_have_wider_labels(tmp_path):
    names = [f"{n:03}" for n in range(300)]
    rows = [("p.png", name) for name in names for _ in range(4)]
    picture(0).save(tmp_path / "p.png")
    data = decoded(dataframe(table(tmp_path / "t.csv", rows), validation=0.25, test=0.25), tmp_path)
    assert data.labels.dtype == np.uint16
    assert data.labels[-1] == 299


# Pixels.


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_colours_and_sizes_are_those_of_pillow(tmp_path, color_mode, interpolation):
    root = fill(tmp_path / "d", a=3, b=3)
    picture(1, "RGB", (17, 9)).save(root / "a/000.png")
    opaque = picture(2, "RGBA", (3, 2))
    opaque.putalpha(255)
    opaque.save(root / "a/001.png")
    picture(3, "RGB", SHAPE).quantize(16).save(root / "a/002.png")
    picture(4, "RGB", (5, 5)).convert("CMYK").save(root / "b/000.jpg")
    setting = directory(root, color_mode=color_mode, interpolation=interpolation, validation=0.34, test=0.34)
    data, names = decoded(setting, tmp_path), sources.find(setting).listing.names
    mode = {"grayscale": "L", "rgb": "RGB"}[color_mode]
    for name, image in zip(names, data.images, strict=True):
        with Image.open(root / name) as file:
            resized = file.convert(mode).resize(SHAPE[::-1], Image.Resampling[interpolation.upper()])
        assert np.array_equal(image, np.asarray(resized).reshape(image.shape))
    assert data.images.shape == (len(names), *SHAPE, len(mode) if mode == "RGB" else 1)


# What cannot be used.


@pytest.fixture
def spoilt(tmp_path) -> Path:
    """Twenty good images and seven that are not."""
    root = fill(tmp_path / "digits", a=10, b=10)
    (root / "a/b1 cut.png").write_bytes((root / "a/000.png").read_bytes()[:50])
    (root / "a/b2 empty.png").write_bytes(b"")
    (root / "a/b3 text.jpg").write_text("not an image")
    (root / "a/b4 gone.png").symlink_to("nowhere.png")
    Image.fromarray(np.zeros(SHAPE, np.uint16)).save(root / "a/b5 deep.png")
    picture(0, size=(5, 5)).save(root / "b/size 1.png")
    picture(0, size=(4, 6)).save(root / "b/size 2.png")
    return root


REASONS = {
    "a/b1 cut.png": "damaged: ",
    "a/b2 empty.png": "an empty file",
    "a/b3 text.jpg": "not a whole PNG, JPEG, BMP, PPM or TIFF image",
    "a/b4 gone.png": "No such file or directory",
    "a/b5 deep.png": "16 bits a channel, expected 8",
    "b/size 1.png": "5x5 pixels, expected 6x4",
    "b/size 2.png": "4x6 pixels, expected 6x4",
}


def test_what_cannot_be_used_fails_in_one_line_and_leaves_nothing(spoilt, tmp_path):
    folder = tmp_path / "decoded"
    with pytest.raises(LockstepError) as error:
        sources.prepare(directory(spoilt, interpolation="none"), folder)
    line = str(error.value)
    first = "a/b1 cut.png (damaged: it ends too early), a/b2 empty.png (an empty file), "
    assert line.startswith(f"{spoilt}: 7 of 27 images cannot be used: {first}")
    assert "b/size 2.png" not in line
    assert line.endswith(" and 2 more; mend them, or set data.source.invalid: skip")
    assert "\n" not in line
    assert not list(folder.iterdir())


def test_what_cannot_be_used_is_skipped_with_a_warning_and_recorded(spoilt, tmp_path, capsys):
    setting = directory(spoilt, interpolation="none", invalid="skip")
    data = decoded(setting, tmp_path)
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert f"warning: 7 of 27 images of {sources.find(setting).name} were skipped: a/b1 cut" in warning
    assert " a/b5 deep.png (16 bits a channel, expected 8) and 2 more; see " in warning
    recorded = dict(data.about["skipped"])
    assert list(recorded) == list(REASONS)
    assert all(recorded[name].startswith(reason) for name, reason in REASONS.items())
    assert data.about["images"] == len(data.images) == len(data.labels) == 20
    assert data.about["per_class"] == [10, 10]
    good = [name for name in sources.find(setting).listing.names if name not in recorded]
    for name, image in zip(good, data.images, strict=True):
        assert np.array_equal(image, pixels(spoilt / name))


def test_rows_that_cannot_be_used(tmp_path, capsys):
    root = fill(tmp_path / "d", a=10, b=10)
    rows = [(f"{c}/{n:03}.png", c) for c in "ab" for n in range(10)]
    bad = [
        ("gone.png", "a"),
        ("a/001.png", "cat"),
        ("a/002.png", ""),
        ("", "a"),
        ("t.csv", "a"),
        (r"a\003.png", "a"),
    ]
    path = table(root / "t.csv", [*bad, *rows])
    with pytest.raises(LockstepError, match=r"6 of 26 images cannot be used: line 3: a/001.png \(unknown"):
        sources.prepare(dataframe(path, classes=["a", "b"]), tmp_path / "decoded")
    data = decoded(dataframe(path, classes=["a", "b"], invalid="skip"), tmp_path)
    assert dict(data.about["skipped"]) == {
        "line 3: a/001.png": "unknown label 'cat'",
        "line 4: a/002.png": "no label",
        "line 5": "no file name",
        "line 6: t.csv": "its name ends in none of .png .jpg .jpeg .bmp .ppm .tif .tiff",
        "gone.png": f"no such file; `images` sets the folder, now {str(root)!r}"[:120],
        r"a\003.png": r"no such file; write / for \ in its name",
    }
    assert len(data.images) == 20


def test_a_class_that_loses_too_many_images_is_an_error_even_when_skipping(tmp_path):
    root = fill(tmp_path / "d", a=10, b=10)
    for path in sorted((root / "b").iterdir())[2:]:
        path.write_bytes(b"")
    cause = (
        r"8 of 20 images cannot be used: b/002.png and 7 more \(an empty file\); so class 'b' has 2 images"
    )
    with pytest.raises(
        LockstepError, match=rf"{cause}, none of them in the .* at least 3: mend those, or add"
    ):
        decoded(directory(root, invalid="skip"), tmp_path)
    assert not store.about(tmp_path / "decoded")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"directory": "nowhere"}, "nowhere: No such file or directory; name a folder that holds"),
        ({"directory": "empty"}, "empty: no folder in it; expected one for each class"),
        ({"directory": "hollow"}, r"hollow/b: a class folder without images \(.png"),
        ({"directory": "good", "classes": ["a", "x"]}, "good: no class folder 'x'; add it, or .*`classes`"),
        ({"directory": "good", "classes": ["a", "B"]}, "good: no class folder 'B'; if it is 'b', write that"),
        ({"directory": "few"}, "few: class 'b' has 2 images, none of .* needs at least 3: add"),
        ({"directory": "good", "split": "subfolders"}, "good: split: subfolders expects train, .* has: a, b"),
        ({"directory": "parts", "classes": ["a", "b"]}, "parts: no class .*: set split: subfolders"),
        ({"directory": "short", "split": "subfolders"}, "short/test: no class folder 'b'; add it, or leave"),
        ({"directory": "parts", "split": "subfolders"}, "parts/test/new: no such class in parts/train"),
        ({"dataframe": "nowhere.csv"}, "nowhere.csv: No such file or directory; name a CSV file"),
        ({"dataframe": "t.csv"}, "t.csv: no column 'filename'; it has: 'file', 'class'; set x_col"),
        ({"dataframe": "t.csv", "x_col": "file", "y_col": "c"}, "t.csv: no column 'c'; .*; set y_col"),
        (
            {"dataframe": "t.csv", "x_col": "file", "images": "away"},
            "away: no such folder; let `images` name",
        ),
        ({"dataframe": "blank.csv"}, "blank.csv: empty; expected a line with the names"),
        ({"dataframe": "head.csv"}, "head.csv: no row has a label in column 'class'"),
        (
            {"dataframe": "binary.csv"},
            "binary.csv, line 2: the byte 0xff is not UTF-8; save it as a CSV file in UTF-8",
        ),
    ],
)
@pytest.mark.parametrize("invalid", ["fail", "skip"])
def test_a_structural_mistake_is_one_line_in_either_mode(tmp_path, monkeypatch, settings, message, invalid):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "good", a=20, b=20)
    fill(tmp_path / "few", a=20, b=2)
    fill(tmp_path / "hollow", a=3, b=0)
    for part, classes in {"train": "ab", "validation": "ab", "test": ["a", "b", "new"]}.items():
        fill(tmp_path / "parts" / part, **dict.fromkeys(classes, 1))
        fill(tmp_path / "short" / part, **dict.fromkeys(classes[: 1 if part == "test" else 2], 1))
    table(tmp_path / "t.csv", [("a.png", "a")], ("file", "class"))
    table(tmp_path / "head.csv", [])
    (tmp_path / "blank.csv").write_text("")
    (tmp_path / "binary.csv").write_bytes(b"filename,class\n\xff\xfe,a\n")
    path = config(tmp_path, {**settings, "invalid": invalid, "size": [6, 4]})
    with pytest.raises(LockstepError, match=rf"experiments\.tiny\.data\.source: {message}") as error:
        configs.load(path)
    assert "\n" not in str(error.value)


ENDINGS = r"its name ends in none of .png .*\)"
MEND = "each class needs at least 3: mend those, or add"


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (
            [(f"{c}/{n:03}", c) for n in range(20) for c in "ab"],
            {},
            rf"40 of 40 images cannot be used: line 2: a/000 and 39 more \({ENDINGS}; so class 'a' has no "
            rf"image; {MEND}",
        ),
        (
            [(f"{c}/{n:03}.png", f"{'ab'.index(c)}.0") for n in range(20) for c in "ab"],
            {"classes": ["0", "1"]},
            r"40 of 40 .*: line 2: a/000.png and 19 more \(unknown label '0.0'; write '0' if it is that "
            rf"class\), line 3: b/000.png and 19 more .* so class '0' has no image; {MEND}",
        ),
        (
            [(f"{c}/{n:03}.png", c if c == "a" or n < 2 else "") for n in range(20) for c in "ab"],
            {"invalid": "skip"},
            rf"18 of 40 .*: line 7: b/002.png and 17 more \(no label\); so class 'b' has 2 images.*; {MEND}",
        ),
        (
            [(f"{c}/{n:03}.png", c) for c in "ab" for n in range(20)],
            {"split": "first"},
            "class 'b' has 20 images, none of them in the validation set; split: first takes the first rows "
            "of the table for validation and the next for test: set split: drawn, or mix the rows",
        ),
    ],
    ids=["no extensions", "numbers with a point", "skipped", "sorted rows"],
)  # fmt: skip
def test_the_cause_comes_first_and_what_helps_last(tmp_path, rows, settings, message):
    path = table(fill(tmp_path / "d", a=20, b=20) / "t.csv", rows)
    with pytest.raises(LockstepError, match=message) as error:
        _ = anew(dataframe(path, **settings)).train
    assert "\n" not in str(error.value)


def test_images_of_another_size_are_told_before_a_class_that_lacks_them(tmp_path):
    setting = directory(fill(tmp_path / "d", a=20, b=20), size=[28, 28], invalid="skip")
    cause = r"40 of 40 images cannot be used: a/000.png and 39 more \(6x4 pixels, expected 28x28.*\)"
    with pytest.raises(LockstepError, match=rf"{cause}; so class 'a' has no image; {MEND}"):
        decoded(setting, tmp_path)


# Splits.


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.45, 0.45), (0.02, 0.9), (1e-3, 1e-3)])
def test_three_images_of_a_class_are_enough_for_a_drawn_split_however_many_more_there_are(validation, test):
    for counts in (
        [3],
        [3, 3],
        [40, 8],
        [13, 10, 9, 8, 7, 6, 5, 4, 3],
        [3] * 300,
        [1000, 3],
        [*range(3, 60)],
    ):
        labels = np.repeat(np.arange(len(counts), dtype=np.uint16), counts)
        shares = [splits.count(share, len(labels)) for share in (validation, test)]
        parts = splits.drawn(labels, 1, *shares)
        assert splits.absent(parts, labels, len(counts)) is None, counts
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
        moved = np.abs(np.subtract([len(part) for part in parts[1:]], shares)).max()
        assert moved <= 2 * len(counts), "a class moves at most an image into each of two parts"


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (1 / 49, 0.5), (0.3, 0.07), (0.5, 0.45)])
def test_the_least_number_of_a_split_by_order_is_the_least(tmp_path, validation, test):
    least = splits.least_of_first(validation, test)

    def enough(images: int) -> bool:
        labels = np.zeros(images, np.uint8)
        parts = splits.first(labels, 0, validation, test, [np.arange(images)])
        return splits.absent(parts, labels, 1) is None

    assert [enough(images) for images in range(2, 3 * least)] == [n >= least for n in range(2, 3 * least)]
    root = fill(tmp_path / "d", a=least - 1, b=least)
    setting = directory(root, split="first", validation=validation, test=test)
    with pytest.raises(
        LockstepError, match=f"with split: first each class needs at least {least}: add images,"
    ):
        _ = anew(setting).train


def test_the_first_share_of_each_class_validates_and_the_next_tests(tmp_path):
    root = fill(tmp_path / "d", a=7, b=11)
    setting = directory(root, split="first", validation=0.3, test=0.2)
    parts = sources.find(setting).split(decoded(setting, tmp_path), 0)
    assert parts.validation.tolist() == [0, 1, 7, 8, 9]
    assert parts.test.tolist() == [2, 10, 11]
    assert sorted(parts.train) == [3, 4, 5, 6, 12, 13, 14, 15, 16, 17]


def test_the_first_share_of_the_rows_validates(tmp_path):
    rows = [(f"{c}/{n:03}.png", c) for n in range(10) for c in "ab"]
    path = table(fill(tmp_path / "d", a=10, b=10) / "t.csv", rows)
    setting = dataframe(path, split="first", validation=0.17, test=0.25)
    parts = sources.find(setting).split(decoded(setting, tmp_path), 0)
    assert (parts.validation.tolist(), parts.test.tolist()) == ([0, 1, 2], [3, 4, 5, 6, 7])


def test_subfolders_hold_the_parts(tmp_path):
    for part, count in {"train": 9, "validation": 2, "test": 3}.items():
        fill(tmp_path / "d" / part, a=count, b=count)
    setting = directory(tmp_path / "d", split="subfolders", invalid="skip")
    (tmp_path / "d/train/a/000.png").write_bytes(b"")
    data = decoded(setting, tmp_path)
    assert data.about["parts"] == [17, 4, 6]
    parts = sources.find(setting).split(data, 0)
    assert sorted(parts.train) == list(range(17))
    assert parts.validation.tolist() == [17, 18, 19, 20]
    assert parts.test.tolist() == list(range(21, 27))
    assert anew(setting).train == 18, "as listed"


@pytest.mark.parametrize("split", ["drawn", "first"])
def test_every_split_is_whole_and_its_training_prefixes_are_stratified(tmp_path, split):
    setting = directory(fill(tmp_path / "d", a=40, b=80), split=split)
    data, source = decoded(setting, tmp_path), sources.find(setting)
    parts = source.split(data, 3)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(120))
    assert [len(parts.validation), len(parts.test), len(parts.train)] == [12, 24, 84]
    assert source.train == 84
    for size in (9, 30, 60):
        assert abs((data.labels[parts.train[:size]] == 0).sum() - size / 3) <= 1
    assert not np.array_equal(source.split(data, 4).train, parts.train)


def test_drawn_is_the_split_of_the_named_digits():
    labels = np.repeat(np.arange(10, dtype=np.uint8), 500)
    shares = splits.drawn(labels, 5, splits.count(0.1, 5000), splits.count(0.2, 5000))
    order = splits.stratified_order(labels, 5)
    for part, positions in zip(shares, (order[1500:], order[1000:1500], order[:1000]), strict=True):
        assert np.array_equal(part, positions)


KERAS = """
import json, sys
import pandas as pd
from keras.src.legacy.preprocessing.image import ImageDataGenerator
root, table, *shares = sys.argv[1:]
options = dict(subset="validation", shuffle=False, target_size=(6, 4), class_mode="sparse")
found = []
for share in map(float, shares):
    make = ImageDataGenerator(validation_split=share)
    folder = make.flow_from_directory(root, **options)
    rows = make.flow_from_dataframe(pd.read_csv(table, dtype=str), root, **options)
    found += [[it.filenames, list(map(int, it.classes)), it.class_indices] for it in (folder, rows)]
print(json.dumps(found))
"""


def test_the_first_share_is_what_keras_takes(tmp_path):
    """In a process of its own, because one process holds one framework."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("keras: not installed")
    root = fill(tmp_path / "d", b=23, a=31, c=100)
    for folder in ("a/z", "a/a", "a-"):
        fill(root / folder, deep=10)
    rows = [(f"{c}/{n:03}.png", c) for n in range(23) for c in "cab"]
    path = table(tmp_path / "t.csv", rows)
    shares = (0.1, 0.25, 0.29, 0.7)
    child = subprocess.run(
        [sys.executable, "-c", KERAS, str(root), str(path), *map(str, shares)],
        env=os.environ | {"KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=True,
    )
    settings = [
        setting
        for share in shares
        for setting in (
            directory(root, split="first", validation=share),
            dataframe(path, images=str(root), split="first", validation=share),
        )
    ]
    theirs = json.loads(child.stdout.splitlines()[-1])
    for setting, (names, labels, numbers) in zip(settings, theirs, strict=True):
        source = sources.find(setting)
        assert {name: number for number, name in enumerate(source.classes)} == numbers
        validation = source._split(source.listing.labels, None, seed=0).validation
        assert [source.listing.names[place] for place in validation] == names
        assert source.listing.labels[validation].tolist() == labels


# Copies.


def copied(path: Path, times: int, images: int = 60) -> Path:
    """A table in which each of a folder's images has a number of rows."""
    root = fill(path.parent / "d", a=images, b=images)
    names = [(f"d/{c}/{n:03}.png", c) for c in "ab" for n in range(images)]
    (root / "b/000.png").write_bytes((root / "a/000.png").read_bytes())
    return table(path, names * times)


def test_copies_are_counted_within_and_across_sets_and_named(tmp_path, capsys):
    setting = dataframe(copied(tmp_path / "t.csv", 2))
    data = decoded(setting, tmp_path)
    train, validation, test = (
        {data.images[place].tobytes() for place in part} for part in sources.find(setting).split(data, 0)
    )
    parts = sources.find(setting).split(data, 0)
    found = data.about["duplicates"]
    assert found["copies"] == 121, "each row twice, and two images alike"
    assert found["test_in_train"] == sum(data.images[place].tobytes() in train for place in parts.test) > 20
    in_train = sum(data.images[place].tobytes() in train for place in parts.validation)
    assert found["validation_in_train"] == in_train > 5
    assert found["test_in_validation"] == sum(data.images[n].tobytes() in validation for n in parts.test)
    assert found["within"] == {
        "train": len(parts.train) - len(train),
        "validation": len(parts.validation) - len(validation),
        "test": len(parts.test) - len(test),
    }
    assert len(found["groups"]) == 119
    assert found["groups"][0] == {
        "images": [0, 60, 120, 180],
        "files": ["d/a/000.png", "d/b/000.png"] * 2,
        "classes": ["a", "b"] * 2,
    }
    copies, labels = capsys.readouterr().err.splitlines()
    name, within = sources.find(setting).name, sum(found["within"].values())
    assert copies.startswith(
        f"warning: 121 of 240 images of {name} are copies of others, byte for byte ({within} within one set)"
        f"; with split_seed 0 {found['test_in_train']} of 48 test images are in the training set too, "
        f"{in_train} of 24 validation images are in the training set too, {found['test_in_validation']} of 48"
    )
    assert ": d/a/000.png = d/b/000.png = d/a/000.png (and 1 more), d/a/001.png = d/a/001.png, " in copies
    assert "and 114 more; duplicates: keep-together puts all copies" in copies
    assert labels.startswith(
        f"warning: 1 different image is there in {name} under more than one label: "
        "d/a/000.png (class 'a') = d/b/000.png (class 'b'); see "
    )


def test_copies_that_are_kept_together_are_in_one_set_whatever_the_seed(tmp_path, capsys):
    setting = dataframe(copied(tmp_path / "t.csv", 3), duplicates="keep-together")
    data, source = decoded(setting, tmp_path), sources.find(setting)
    assert "; with split_seed 0 none is in another set than its original: " in capsys.readouterr().err
    for seed in range(3):
        parts = source.split(data, seed)
        assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(360))
        sets = [{data.images[place].tobytes() for place in part} for part in parts]
        assert [len(each) for each in sets] == [85, 11, 23]
        assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]
        assert np.bincount(data.labels[parts.test]).tolist() == pytest.approx([36, 36], abs=6)
    assert anew(setting).train == len(source.split(data, 0).train)


def test_without_copies_nothing_is_said_and_keeping_together_changes_nothing(tmp_path, capsys):
    root = fill(tmp_path / "d", a=20, b=40)
    split = [
        sources.find(setting).split(decoded(setting, tmp_path), 5)
        for setting in (directory(root), directory(root, duplicates="keep-together"))
    ]
    assert all(map(np.array_equal, *split))
    assert capsys.readouterr().err == ""
    assert store.about(tmp_path / "decoded")["duplicates"] is None


def test_copies_fail_where_they_are_to(tmp_path):
    root = fill(tmp_path / "d", a=20, b=20)
    (root / "a/005.png").write_bytes((root / "b/007.png").read_bytes())
    line = (
        r"d: 1 of 40 images are copies of others, byte for byte: a/005.png = b/007.png; delete them, or set"
    )
    with pytest.raises(LockstepError, match=line):
        decoded(directory(root, duplicates="fail"), tmp_path)
    assert not store.about(tmp_path / "decoded")
    (root / "a/005.png").write_bytes(b"")
    (root / "b/007.png").write_bytes(b"")
    assert len(decoded(directory(root, duplicates="fail", invalid="skip"), tmp_path).images) == 38


def test_a_class_needs_three_images_that_are_no_copies_to_keep_them_together(tmp_path):
    root = fill(tmp_path / "d", a=20, b=20)
    for n in range(2, 20):
        (root / f"b/{n:03}.png").write_bytes((root / "b/000.png").read_bytes())
    assert anew(directory(root)).train == 28
    with pytest.raises(
        LockstepError, match=r"class 'b' has 20 images, none .* at least 3 that are no copies"
    ):
        _ = anew(directory(root, duplicates="keep-together")).train


def test_an_image_in_two_of_the_folders_that_hold_the_sets_is_told(tmp_path, capsys):
    for part, count in {"train": 9, "validation": 2, "test": 3}.items():
        fill(tmp_path / "d" / part, a=count, b=count)  # numbered from one start: all are in train
    decoded(directory(tmp_path / "d", split="subfolders"), tmp_path)
    line = capsys.readouterr().err
    assert "6 of 6 test images are in the training set too, 4 of 4 validation images" in line
    assert "keep-together" not in line, "the folders decide"


# What a source is known by.


def test_whatever_changes_an_image_changes_the_checksum_and_nothing_else_does(tmp_path):
    root = fill(tmp_path / "d", a=3, b=3)
    setting = directory(root)
    seen = [anew(setting).sha256]
    os.utime(root / "a/000.png", (0, 0))
    (root / "a/notes.txt").write_text("no image")
    assert anew(setting).sha256 == seen[0]
    picture(99).save(root / "a/000.png")
    seen.append(anew(setting).sha256)
    (root / "a/001.png").rename(root / "a/007.png")
    seen.append(anew(setting).sha256)
    (root / "b/001.png").unlink()
    seen.append(anew(setting).sha256)
    path = table(tmp_path / "t.csv", [("d/a/000.png", "a"), ("d/b/000.png", "b")])
    seen.append(anew(dataframe(path)).sha256)
    table(path, [("d/a/000.png", "b"), ("d/b/000.png", "a")])
    seen.append(anew(dataframe(path)).sha256)
    assert len(set(seen)) == len(seen)


def test_two_settings_never_share_a_name(tmp_path):
    settings = [
        directory(tmp_path / "Some Digits"),
        directory(tmp_path / "Some Digits", size=[5, 5]),
        directory(tmp_path / "x/Some Digits"),
        directory(tmp_path / "Some Digits", classes=["a"]),
        dataframe(tmp_path / "some digits.csv"),
    ]
    names = [files.Files(setting).name for setting in settings]
    assert len(set(names)) == len(names)
    assert all(name.startswith("some-digits-") and len(name) == 20 for name in names)
    assert files.Files(directory(Path("."))).name.startswith("images-")


def test_an_interrupted_decode_never_looks_finished(tmp_path, monkeypatch):
    root, folder = fill(tmp_path / "d", a=5, b=5), tmp_path / "decoded"
    setting = directory(root, validation=0.2)
    assert not sources.is_prepared(setting, folder)
    sources.prepare(setting, folder)
    assert sources.is_prepared(setting, folder)
    picture(99).save(root / "a/000.png")
    sources._files.cache_clear()
    assert not sources.is_prepared(setting, folder)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        sources.prepare(setting, folder)
    assert not store.about(folder)
    with pytest.raises(LockstepError, match="not prepared data"):
        store.read(folder)


def test_of_two_at_once_one_decodes_and_the_other_waits(tmp_path, monkeypatch):
    setting, folder, calls = directory(fill(tmp_path / "d", a=20, b=20)), tmp_path / "decoded", []
    prepare = sources.prepare

    def slow(*arguments: Any) -> Any:
        calls.append(arguments)
        time.sleep(0.3)
        return prepare(*arguments)

    monkeypatch.setattr(sources, "prepare", slow)
    with ThreadPoolExecutor(2) as pool:
        for waiting in [pool.submit(sources.ensure, setting, folder) for _ in range(2)]:
            waiting.result()
    assert len(calls) == 1
    assert sources.is_prepared(setting, folder)


# The same experiment from memory and from disk.


def config(folder: Path, source: Any, **data: Any) -> Path:
    content = {
        "results": str(folder / "results"),
        "reports": str(folder / "reports"),
        "backends": ["numpy"],
        "seeds": [0],
        "base": {
            "data": {"source": source, **data},
            "model": {"layers": [{"kind": "flatten"}, {"kind": "dense", "units": 2}]},
            "training": {"epochs": 1, "batch_size": 64},
        },
        "experiments": {"tiny": {}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(path: Path) -> dict[str, bytes]:
    """Weights, predictions and history of the first cell of a config."""
    loaded = configs.load(path)
    cell = next(iter(loaded.cells()))
    cells.run(loaded, cell, Watcher())
    found = {"history": (loaded.folder(cell) / "history.csv").read_bytes()}
    for name in ("weights.npz", "best.npz", "predictions.npz"):
        with np.load(loaded.folder(cell) / name) as file:
            found |= {f"{name} {key}": file[key].tobytes() for key in file.files}
    return found


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """The 5,000 digits as files, root/class/NNNNN.png, and a table of them."""
    folder = tmp_path_factory.mktemp("digits")
    sources.prepare("mnist-5k", folder / "prepared")
    data, rows = store.read(folder / "prepared"), []
    for name in "0123456789":
        (folder / "png" / name).mkdir(parents=True)
    for n, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        rows.append((f"{label}/{n:05}.png", str(label)))
        Image.fromarray(image[..., 0]).save(folder / "png" / rows[-1][0])
    table(folder / "png" / "labels.csv", rows)
    return folder / "png"


def test_digits_from_files_give_the_bits_of_digits_from_memory(tmp_path, digits):
    layers = [
        {"kind": "conv2d", "filters": 2, "kernel": 5, "stride": 3},
        {"kind": "activation"},
        {"kind": "flatten"},
        {"kind": "dropout", "rate": 0.2},
        {"kind": "dense", "units": 10},
    ]
    found = []
    for place, source in enumerate(
        ("mnist-5k", {"directory": str(digits)}, {"dataframe": str(digits / "labels.csv")})
    ):
        folder = tmp_path / str(place)
        folder.mkdir()
        path = config(folder, source, train_size=1000)
        content = yaml.safe_load(path.read_text())
        content["base"]["model"]["layers"] = layers
        path.write_text(yaml.safe_dump(content))
        found.append(run(path))
    memory, from_folder, from_table = found
    assert from_folder == memory
    assert from_table == memory


def test_a_changed_image_makes_the_cell_stale_and_is_decoded_again(tmp_path):
    root = fill(tmp_path / "d", a=30, b=30)
    path = config(tmp_path, {"directory": str(root), "size": [6, 4]})
    before, loaded = run(path), configs.load(path)
    cell = next(iter(loaded.cells()))
    made = cell_hash(cell)
    assert cells.made_by(loaded, cell) == made
    picture(99).save(root / "a/000.png")
    sources._files.cache_clear()
    assert cell_hash(cell) != made
    assert run(path) != before
    assert cells.made_by(loaded, cell) == cell_hash(cell)


def test_batches_come_from_the_map(tmp_path):
    setting = directory(fill(tmp_path / "d", a=40, b=40))
    decoded(setting, tmp_path)
    data = dataset.load(tmp_path / "decoded", setting, "unit", 0, None)
    path = config(tmp_path, setting.model_dump(mode="json"))
    experiment = configs.load(path).experiments["tiny"]
    whole = np.load(tmp_path / "decoded/images.npy")
    chunks = [c.images.reshape(-1, 24) for c in epoch_chunks(data, experiment, experiment.spec, 0, 0)]
    expected = (whole[data.train.index] / 255).astype("float32").reshape(-1, 24)
    assert sorted(map(bytes, np.concatenate(chunks))) == sorted(map(bytes, expected))


# What a person writes, and reads.


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"directory": "d", "sise": [1, 2]},
            ".sise: unknown key (did you mean size?); allowed: classes",
        ),
        ({"dataframe": "t.csv", "xcol": "f"}, ".xcol: unknown key (did you mean x_col?); allowed: classes"),
        ({"directory": "d", "x_col": "f"}, ".x_col: unknown key; allowed: classes, size, color_mode"),
        ({"directory": "d", "dataframe": "t"}, ": expected 'mnist-5k' or 'mnist', or keys with either"),
        ({"size": [1, 2]}, ": expected 'mnist-5k' or 'mnist', or keys with either directory or dataframe"),
        (5, ": expected 'mnist-5k' or 'mnist', or keys with either directory or dataframe, not 5"),
        ({"directory": "d", "size": [1]}, ".size[1]: missing"),
        ({"directory": "d", "size": [0, 1]}, ".size[0]: expected greater than 0, not 0"),
        ({"directory": "d", "classes": [0]}, ".classes[0]: expected text, not 0; put it in quotes"),
        ({"directory": "d", "classes": ["a", "a"]}, ".classes: a class is listed twice; list each once"),
        ({"directory": "d", "classes": []}, ".classes: expected a list that is not empty, not []"),
        ({"directory": "d", "classes": "ab"}, '.classes: expected a list, not "ab"'),
        ({"directory": "d", "classes": ["a", "../b"]}, ".classes: '../b' is a path; name the folders that"),
        ({"directory": "d", "classes": ["a", "."]}, ".classes: '.' is a path; name the folders that"),
        ({"directory": "d", "size": [100000, 9]}, ".size[0]: expected less than or equal to 10000, not"),
        ({"directory": "d", "color_mode": "grey"}, ".color_mode: expected 'grayscale' or 'rgb', not \"grey"),
        ({"directory": "d", "split": "frist"}, ".split: expected 'drawn', 'first' or 'subfolders', not"),
        ({"dataframe": "d", "split": "subfolders"}, ".split: expected 'drawn' or 'first', not"),
        ({"directory": "d", "validation": 0}, ".validation: expected greater than 0, not 0"),
        ({"directory": "d", "validation": 0.9}, ": validation and test together must be less than 1"),
        ({"directory": "d", "split": "subfolders", "test": 0.1}, ": with split: subfolders the folders"),
        ({"directory": ""}, ".directory: expected text that is not empty, not"),
        ({"directory": "d", "duplicates": "drop"}, ".duplicates: expected 'warn', 'fail' or 'keep-together'"),
        (
            {"directory": "d", "duplicates": "keep-together", "split": "subfolders"},
            ": duplicates: keep-together needs split: drawn; with split: subfolders the order or the folders",
        ),
        (
            {"dataframe": "d", "duplicates": "keep-together", "split": "first"},
            ": duplicates: keep-together needs",
        ),
        ({"dataframe": "d", "classes": ["a", "b "]}, ".classes: labels are read without the spaces around"),
    ],
)
def test_a_mistake_in_a_source_is_one_line(tmp_path, source, message):
    with pytest.raises(LockstepError) as error:
        configs.load(config(tmp_path, source))
    text = str(error.value)
    assert text.startswith(f"{tmp_path / 'config.yaml'}: base.data.source{message}"), text
    assert "\n" not in text


def test_what_does_not_fit_the_listing_is_told_at_once(tmp_path):
    source = {"directory": str(fill(tmp_path / "pets", a=20, b=20, c=20)), "size": [6, 4]}
    with pytest.raises(LockstepError, match=r"gives 2, but pets-\w{8} has 3 classes; end with .* 3 units"):
        configs.load(config(tmp_path, source))
    with pytest.raises(LockstepError, match=r"data.train_size: pets-\w{8} has 28 training images, not 29"):
        configs.load(config(tmp_path, {**source, "classes": ["a", "b"]}, train_size=29))


def test_skipping_may_leave_fewer_training_images_than_asked_for(tmp_path):
    root = fill(tmp_path / "d", a=20, b=20)
    for n in range(3):
        (root / f"a/{n:03}.png").write_bytes(b"")
    path = config(tmp_path, {"directory": str(root), "size": [6, 4], "invalid": "skip"}, train_size=28)
    with pytest.raises(LockstepError, match=r"d-\w+ has 27 training images, not 28; it skipped 3"):
        run(path)


def test_the_command_prepares_what_a_config_reads(tmp_path):
    root = fill(tmp_path / "pets", a=20, b=20)
    (root / "a/zzz.png").write_bytes(b"")
    path = config(tmp_path, {"directory": str(root), "size": [6, 4], "invalid": "skip"})

    def lockstep(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lockstep", "data", *arguments, "--config", str(path)]
        return subprocess.run(command, capture_output=True, text=True)

    (name,) = configs.load(path).sources
    first = lockstep()
    assert first.returncode == 0
    assert first.stderr.count("\n") == 1
    assert first.stderr.startswith(f"warning: 1 of 41 images of {name} were skipped: a/zzz.png (an empty")
    assert first.stdout.startswith(
        f"{name}: 40 images of 2 classes ('a', 'b') in {tmp_path}/results/data/{name}"
    )
    assert "1 of 41 images" in first.stdout
    about = tmp_path / "results/data" / name / "source.json"
    made = about.stat().st_mtime_ns
    again = lockstep(name)
    assert (again.stdout, again.stderr) == (first.stdout, "")
    assert about.stat().st_mtime_ns == made, "what is up to date is not decoded again"
    wrong = lockstep("pats")
    assert wrong.returncode == 1
    assert wrong.stderr == f"lockstep: {path}: no data source 'pats'; its experiments read: {name}\n"


LARGE = 60_000


@pytest.mark.skipif(not os.environ.get("LOCKSTEP_LARGE"), reason="60,000 files: set LOCKSTEP_LARGE=1")
def test_sixty_thousand_files(tmp_path, capsys):
    for label in range(10):
        (tmp_path / "d" / str(label)).mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (LARGE, 28, 28), np.uint8)
    for n, image in enumerate(noise):
        Image.fromarray(image).save(tmp_path / "d" / str(n % 10) / f"{n:05}.png")
    (tmp_path / "d/0/00000.png").write_bytes(b"")
    setting = Directory(directory=str(tmp_path / "d"), invalid="skip")
    times = {}

    def timed(what: str, call: Any) -> Any:
        start = time.perf_counter()
        made = call()
        times[what] = time.perf_counter() - start
        return made

    source = sources.find(setting)
    assert timed("list", lambda: source.train) == 42_000
    timed("checksum", lambda: source.sha256)
    timed("decode", lambda: sources.prepare(setting, tmp_path / "decoded"))
    data = timed("open", lambda: dataset.load(tmp_path / "decoded", setting, "centred", 0, None))
    assert len(data.train) + len(data.validation) + len(data.test) == LARGE - 1
    names = sources.find(setting).listing.names
    for place in (0, 17, 4999):
        n = int(Path(names[1 + data.train.index[place]]).stem)
        assert np.array_equal(data.train.images[place : place + 1][0, ..., 0], noise[n])
    with capsys.disabled():
        print("", *(f"{what} {seconds:.2f} s" for what, seconds in times.items()), sep="\n")
