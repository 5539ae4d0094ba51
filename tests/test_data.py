"""Sources, splits, preprocessing, and the random numbers of a run."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.conformance.specs import SPECS
from lockstep.data import dataset, draws, mnist, sources, store
from lockstep.errors import LockstepError

CLASSROOM = SPECS["classroom"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "mnist-5k"
    sources.prepare("mnist-5k", path)
    return path


def load(path: Path, preprocessing="centred", seed=0, size=None) -> dataset.Dataset:
    return dataset.load(path, "mnist-5k", preprocessing, seed, size)


def test_the_split_is_stratified_disjoint_and_seeded(prepared):
    data = load(prepared)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [3500, 500, 1000]
    for split, each in ((data.train, 350), (data.validation, 50), (data.test, 100)):
        assert np.bincount(split.labels).tolist() == [each] * 10
    everything = np.concatenate([data.train.index, data.validation.index, data.test.index])
    assert np.array_equal(np.sort(everything), np.arange(5000))
    assert not np.array_equal(load(prepared, seed=1).test.index, data.test.index)


def test_smaller_training_sets_are_nested_and_stratified(prepared):
    whole, small = load(prepared), load(prepared, size=500)
    assert np.array_equal(small.train.index, whole.train.index[:500])
    assert np.array_equal(small.test.index, whole.test.index)
    assert np.abs(np.bincount(small.train.labels) - 50).max() <= 1


def test_centred_removes_each_pixels_mean_and_divides_by_one_deviation(prepared):
    data = load(prepared)
    pixels = data.train.images[:] / 255
    expected = (pixels - pixels.mean(axis=0)) / pixels.std()
    centred = data.transform(data.train.images[:], "float64")
    assert np.abs(centred - expected).max() < 1e-12
    assert np.abs(centred.mean(axis=0)).max() < 1e-12
    assert data.transform(data.test.images[:2], "float32").dtype == np.float32


def test_unit_pixels_lie_between_0_and_1(prepared):
    data = load(prepared, "unit")
    assert np.array_equal(data.transform(data.test.images[:], "float64"), data.test.images[:] / 255)


def test_preprocessing_in_chunks_has_the_bits_of_preprocessing_at_once(prepared, monkeypatch):
    monkeypatch.setattr(dataset, "AT_ONCE", 777)
    chunked = load(prepared)
    train = chunked.train.images[:]
    mean = train.sum(axis=0, dtype=np.int64) / len(train)
    flat = train.reshape(-1)
    square = np.einsum("i,i->", flat, flat, dtype=np.int64) / flat.size
    deviation = np.sqrt(square - mean.mean() ** 2)
    assert np.array_equal(chunked.transform.scale, 255 / deviation)
    assert np.array_equal(chunked.transform.shift, -mean / deviation)


def test_images_stay_on_disk_and_are_read_by_the_batch(prepared):
    data = load(prepared)
    whole = np.load(prepared / "images.npy")
    rows = np.array([5, 0, 3499])
    assert np.array_equal(data.train.images[rows], whole[data.train.index[rows]])
    assert np.array_equal(data.test.images[10:20], whole[data.test.index[10:20]])
    assert type(data.train.images[rows]) is np.ndarray
    for split in (data.train, data.validation, data.test):
        base = split.images.source
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap), "no copy of all images"


@pytest.fixture
def copy(prepared, tmp_path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "mnist-5k"))


@pytest.mark.parametrize("name", store.FILES)
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", None, "cut"])
def test_damaged_prepared_data_is_named(copy, name, content):
    path = copy / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1000] if content == "cut" else content)
    with pytest.raises(LockstepError, match=r"mnist-5k: not prepared data .*delete it"):
        load(copy)


def test_a_changed_pixel_is_named(copy):
    images = np.load(copy / "images.npy")
    images[0, 0, 0, 0] ^= 1
    np.save(copy / "images.npy", images)
    with pytest.raises(LockstepError, match=r"mnist-5k: wrong checksum .*delete it"):
        load(copy)


def test_the_data_of_another_source_is_refused(copy):
    with pytest.raises(LockstepError, match=r"mnist-5k: .*decoded from other data than mnist is now"):
        dataset.load(copy, "mnist", "centred", 0, None)


# The original MNIST: files that a person may have damaged, or that cannot be fetched.


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.randoms())
def test_idx_files_round_trip(shape, random):
    array = np.frombuffer(random.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)
    assert np.array_equal(mnist.parse_idx(idx(array), "x"), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x00\x00\x0d\x01" + bytes(8), "not an IDX file"),
        (idx(np.zeros((2, 3), np.uint8))[:-1], "truncated"),
        (idx(np.zeros((2, 3), np.uint8)) + b"!", "damaged"),
        (b"\x00\x00\x08\x03\x00", "not an IDX file"),
    ],
)
def test_damaged_idx_files_are_refused(content, message):
    with pytest.raises(LockstepError, match=f"^here: .*{message}"):
        mnist.parse_idx(content, "here")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", idx(np.zeros((2, 3), np.uint8)), "wrong checksum"),
        ("train-images-idx3-ubyte.gz", gzip.compress(b"something else"), "wrong checksum"),
        ("train-images-idx3-ubyte.gz", gzip.compress(bytes(10_000))[:-9], "cannot be read"),
        ("train-images-idx3-ubyte.gz", b"no gzip", "cannot be read"),
    ],
)
def test_a_wrong_local_file_is_named_and_never_replaced_by_another(
    tmp_path, monkeypatch, name, content, message
):
    (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("LOCKSTEP_DATA", str(tmp_path))
    with pytest.raises(LockstepError, match=message) as error:
        sources.prepare("mnist", tmp_path / "mnist")
    assert str(tmp_path / name) in str(error.value)
    assert not (tmp_path / "mnist").exists()


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("LOCKSTEP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(LockstepError, match=r"could not be downloaded .*set LOCKSTEP_DATA"):
        sources.prepare("mnist", tmp_path / "mnist")


def test_a_folder_without_the_files_is_named_and_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCKSTEP_DATA", str(tmp_path))
    with pytest.raises(LockstepError, match=r"LOCKSTEP_DATA=.*: there is no train-images-idx3-ubyte or"):
        sources.prepare("mnist", tmp_path / "mnist")


def test_the_original_mnist(tmp_path):
    folder = os.environ.get("LOCKSTEP_DATA", "")
    if not list(Path(folder).glob("train-images-idx3-ubyte*")) or not folder:
        pytest.skip("LOCKSTEP_DATA names no folder with the original MNIST")
    sources.prepare("mnist", tmp_path / "mnist")
    data = dataset.load(tmp_path / "mnist", "mnist", "centred", 0, None)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [55_000, 5_000, 10_000]
    assert data.test.index[0] == 60_000
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]  # the first digits of the original test set


def test_a_source_whose_bytes_changed_is_refused(tmp_path, monkeypatch):
    other = replace(mnist.NAMED["mnist-5k"], sha256=hashlib.sha256(b"").hexdigest())
    monkeypatch.setitem(mnist.NAMED, "mnist-5k", other)
    with pytest.raises(LockstepError, match="wrong checksum"):
        sources.prepare("mnist-5k", tmp_path / "x")


# Random numbers.


def test_weights_are_glorot_uniform_with_zero_biases():
    weights = draws.initial_weights(CLASSROOM, 0, "float64")
    assert list(weights) == list(CLASSROOM.weights)
    assert not weights["conv1/bias"].any()
    limit = np.sqrt(6 / (25 * 32 + 25 * 64))
    assert limit * 0.99 < np.abs(weights["conv2/kernel"]).max() <= limit
    assert weights["conv2/kernel"].std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    single = draws.initial_weights(CLASSROOM, 0, "float32")
    assert np.array_equal(single["dense1/kernel"], weights["dense1/kernel"].astype("float32"))


def test_dropout_changes_no_initial_weight():
    from lockstep.config import load as load_config

    experiments = load_config(Path("config/config.yaml")).experiments
    baseline, dropped = (
        draws.initial_weights(experiments[n].spec, 3, "float32") for n in ("baseline", "dropout")
    )
    assert all(np.array_equal(baseline[name], dropped[name]) for name in baseline)


def test_every_epoch_is_another_permutation_and_can_be_drawn_alone():
    first, again, second = (draws.epoch_order(1000, 5, epoch) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(second), np.arange(1000))


def test_masks_keep_the_right_share_and_differ_between_steps_and_layers():
    spec = SPECS["three channels"]
    mask, layer = draws.dropout_masks(spec, 0, 1, 400).values()
    assert mask.dtype == np.uint8
    assert mask.shape == (400, *spec.dropouts["dropout1"].input_shape)
    share, n = mask.mean(), mask.size
    assert abs(share - 0.7) < 5 * np.sqrt(0.3 * 0.7 / n)
    for other in (layer, draws.dropout_masks(spec, 0, 2, 400)["dropout1"]):
        assert 0.5 < (mask == other).mean() < 0.66  # independent: .7^2 + .3^2 = .58
    assert np.array_equal(draws.dropout_masks(spec, 0, 1, 400)["dropout1"], mask)


def test_streams_do_not_overlap():
    numbers = [
        draws.generator(seed, stream, index, tensor).random(100)
        for seed in (0, 1)
        for stream in draws.Stream
        for index in (0, 1)
        for tensor in (0, 1)
    ]
    assert len(np.unique(np.concatenate(numbers))) == 100 * len(numbers)
