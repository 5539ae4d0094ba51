"""Image files as people have them: which pixels they become, why some are refused, what folders leave out."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lockstep.data import dataset, decode, formats, listing, sources, store
from lockstep.data.files import Dataframe, Directory, Files
from lockstep.data.listing import Listing
from lockstep.data.store import Remarks
from lockstep.errors import LockstepError

SIZE = (6, 4)
DRAW = np.random.default_rng(0)
GREY = DRAW.integers(0, 256, SIZE, np.uint8)
COLOURS = DRAW.integers(0, 256, (*SIZE, 3), np.uint8)
ALPHA = DRAW.integers(0, 256, SIZE, np.uint8)
RAMP = np.add.outer(np.arange(28) * 5, np.arange(28) * 4).astype(np.uint8)


@pytest.fixture(autouse=True)
def files_are_listed_anew() -> Iterator[None]:
    yield
    sources._files.cache_clear()


def saved(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None, **how: Any) -> bytes:
    file, image = BytesIO(), Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, kind, **how)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(depth: int, colour: int, rows: list[bytes], *more: bytes) -> bytes:
    """By hand, for what Pillow does not write: `rows` of packed pixels 4 wide, `more` chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, len(rows), depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return formats.PNG + header + b"".join(more) + body + chunk(b"IEND", b"")


def deep_png(colour: int, channels: int) -> bytes:
    return png(16, colour, [bytes(range(8 * channels))] * 6)


def decoded(
    content: bytes,
    folder: Path,
    background: float | None = None,
    mode: decode.ColourMode = "grayscale",
    interpolation: decode.Interpolation = "none",
    size: tuple[int, int] = SIZE,
) -> tuple[np.ndarray | str, Remarks]:
    """Pixels, or the reason why there are none."""
    (folder / "x.png").write_bytes(content)
    remarks = Remarks()
    one = Listing(str(folder), ("a", "b"), ["x.png"], np.zeros(1, np.uint8))
    (block,) = decode.blocks(one, size, mode, interpolation, background, remarks)
    if block.refused:
        return block.refused[0][1], remarks
    return np.frombuffer(block.pixels, np.uint8).reshape(*size, -1), remarks


# Depth.


@pytest.mark.parametrize(
    ("content", "bits"),
    [
        (deep_png(0, 1), 16),
        (deep_png(2, 3), 16),
        (deep_png(4, 2), 16),
        (deep_png(6, 4), 16),
        (b"P6\n4 6\n65535\n" + bytes(144), 16),
        (b"P6 # a comment\n4 # 9 9 9\n#\n6\n1023\n" + bytes(144), 10),
        (b"P5\n4 6\n65535\n" + bytes(48), 16),
        (b"P5\n4 6\n4095\n" + bytes(48), 12),
        (b"P3\n4 6\n300\n" + b"1 " * 72, 9),
        (saved(GREY.astype(np.uint16), "TIFF"), 16),
        (saved(GREY.astype(np.float32), "TIFF"), 32),
        (saved(GREY.astype(np.int32), "TIFF"), 32),
        (saved(GREY, "JPEG").replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc0\0\x0b\x0c"), 12),
    ],
)
def test_more_than_eight_bits_are_refused_whatever_pillow_makes_of_them(tmp_path, content, bits):
    assert decoded(content, tmp_path)[0] == f"{bits} bits a channel, expected 8"


@pytest.mark.parametrize("samples", [1, 3, 4])
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_more_bits_is_refused_in_either_byte_order(tmp_path, samples, bits, order):
    reason = decoded(tiff(samples, bits, order), tmp_path)[0]
    unknown = "not a whole PNG, JPEG, BMP, PPM or TIFF image"  # 12 bits: grey alone
    known = {f"{bits} bits a channel, expected 8", unknown}
    assert isinstance(reason, str)
    assert reason in known


def tiff(samples: int, bits: int, order: str, sample_format: int = 1, extra: int = 2) -> bytes:
    """Uncompressed, 4 x 6, by hand."""
    entries = [
        (256, 3, 1, 4), (257, 3, 1, 6), (259, 3, 1, 1), (262, 3, 1, 1 if samples < 3 else 2),
        (273, 4, 1, 0), (277, 3, 1, samples), (278, 3, 1, 6), (279, 4, 1, 24 * samples * bits // 8),
    ]  # fmt: skip
    extras = [(338, 3, 1, extra)] if samples in (2, 4) else []
    count = len(entries) + len(extras) + 2
    after = 8 + 2 + 12 * count + 4
    entries += [(258, 3, samples, bits if samples < 3 else after), *extras, (339, 3, 1, sample_format)]
    start = after + 2 * samples
    made = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8) + struct.pack(
        f"{order}H", count
    )
    for tag, kind, values, value in sorted(entries):
        value = start if tag == 273 else value
        packed = struct.pack(f"{order}HH" if kind == 3 and values <= 2 else f"{order}I", *(
            ([value, value if values == 2 else 0]) if kind == 3 and values <= 2 else [value]
        ))  # fmt: skip
        made += struct.pack(f"{order}HHI", tag, kind, values) + packed
    made += bytes(4) + struct.pack(f"{order}{samples}H", *[bits] * samples)
    return made + bytes(range(1, 25)) * (samples * bits // 8) + bytes(8)


def test_what_is_not_0_to_255_or_has_no_meaning_is_refused(tmp_path):
    assert np.array_equal(decoded(tiff(1, 8, "<"), tmp_path)[0][..., 0].ravel(), np.arange(1, 25))
    assert decoded(tiff(1, 8, "<", sample_format=2), tmp_path)[0].startswith(
        "signed or floating-point pixels"
    )
    assert decoded(tiff(4, 8, "<", extra=0), tmp_path)[0].startswith("a channel of unknown meaning")
    bmp = saved(np.dstack([COLOURS, ALPHA]), "BMP")
    assert decoded(bmp, tmp_path)[0].startswith("a channel of unknown meaning")
    assert decoded(saved(COLOURS, "TIFF", "LAB"), tmp_path)[0].startswith(
        "colours in LAB, expected grey, RGB"
    )
    floats = b"Pf\n4 6\n-1.0\n" + bytes(96)
    assert decoded(floats, tmp_path)[0] == "pixels of kind F, expected 8 bits a channel"


@pytest.mark.parametrize(
    ("content", "row"),
    [
        (png(1, 0, [b"\xa0"] * 6), [255, 0, 255, 0]),
        (png(2, 0, [b"\x1b"] * 6), [0, 85, 170, 255]),
        (png(4, 0, [b"\x0f\x12"] * 6), [0, 255, 17, 34]),
        (b"P4\n4 6\n" + b"\x50" * 6, [255, 0, 255, 0]),
        (b"P5\n4 6\n15\n" + bytes([0, 5, 10, 15] * 6), [0, 85, 170, 255]),
    ],
)
def test_fewer_than_eight_bits_spread_over_0_to_255(tmp_path, content, row):
    assert decoded(content, tmp_path)[0][..., 0].tolist() == [row] * 6


# Transparency.

SHADES = chunk(b"PLTE", bytes(value for level in (0, 85, 170, 255) for value in [level] * 3))
TRANSPARENT = {
    "RGBA": saved(np.dstack([COLOURS, ALPHA])),
    "LA": saved(np.dstack([GREY, ALPHA])),
    "TIFF RGBA": saved(np.dstack([COLOURS, ALPHA]), "TIFF"),
    "TIFF LA": saved(np.dstack([GREY, ALPHA]), "TIFF"),
    "palette": png(8, 3, [bytes([0, 1, 2, 3])] * 6, SHADES, chunk(b"tRNS", bytes([0, 255, 51, 102]))),
    "palette, one": png(8, 3, [bytes([0, 1, 2, 3])] * 6, SHADES, chunk(b"tRNS", b"\0")),
    "grey": png(8, 0, [bytes([7, 1, 7, 2])] * 6, chunk(b"tRNS", b"\0\7")),
    "four bits": png(4, 0, [b"\xf0\xf1"] * 6, chunk(b"tRNS", b"\0\x0f")),
    "one bit": png(1, 0, [b"\xa0"] * 6, chunk(b"tRNS", b"\0\1")),
    "one bit, black": png(1, 0, [b"\xa0"] * 6, chunk(b"tRNS", b"\0\0")),
    "colour": png(8, 2, [bytes([7, 8, 9, 1, 2, 3] * 2)] * 6, chunk(b"tRNS", bytes([0, 7, 0, 8, 0, 9]))),
}
TRUTH = {
    "palette": ([0, 85, 170, 255], [0, 255, 51, 102]),
    "palette, one": ([0, 85, 170, 255], [0, 255, 255, 255]),
    "grey": ([7, 1, 7, 2], [0, 255, 0, 255]),
    "four bits": ([255, 0, 255, 17], [0, 255, 0, 255]),
    "one bit": ([255, 0, 255, 0], [0, 255, 0, 255]),
    "one bit, black": ([255, 0, 255, 0], [255, 0, 255, 0]),
}


@pytest.mark.parametrize("name", TRANSPARENT)
@pytest.mark.parametrize("background", [0.0, 0.6, 1.0])
def test_transparent_pixels_lie_on_the_background_and_are_refused_without(tmp_path, name, background):
    refused, _ = decoded(TRANSPARENT[name], tmp_path)
    assert refused == "transparent pixels; set background: 0 for black to 1 for white"
    mode: decode.ColourMode = "rgb" if name.endswith(("RGBA", "colour")) else "grayscale"
    found, _ = decoded(TRANSPARENT[name], tmp_path, background, mode)
    if name in TRUTH:
        colours, alpha = (np.tile(row, (6, 1))[..., None] for row in TRUTH[name])
    elif name == "colour":
        colours = np.tile([[7, 8, 9], [1, 2, 3]], (6, 2, 1))
        alpha = np.tile([[0], [255]], (6, 2, 1))
    else:
        colours, alpha = COLOURS if mode == "rgb" else GREY[..., None], ALPHA[..., None]
    share = alpha / 255
    expected = share * colours + (1 - share) * round(255 * background)
    assert np.abs(found - expected).max() <= 1  # Pillow composes in integers: it rounds twice by half a level
    assert np.array_equal(
        found[alpha[..., 0] == 0], np.full_like(found[alpha[..., 0] == 0], round(255 * background))
    )


def test_grey_that_is_multiplied_by_its_alpha_is_divided_again(tmp_path):
    content = tiff(2, 8, "<", extra=1)  # grey 1 of alpha 2, 3 of 4, ...
    assert isinstance(decoded(content, tmp_path)[0], str)
    on_black = decoded(content, tmp_path, 0.0)[0][..., 0].ravel()
    premultiplied = np.array([*range(1, 25)] * 2)[0::2]  # what it is on black
    assert (
        np.abs(on_black.astype(int) - premultiplied).max() <= 2
    )  # divided and multiplied again, in integers


def test_an_alpha_channel_that_hides_nothing_asks_for_nothing(tmp_path):
    opaque = np.full(SIZE, 255, np.uint8)
    for pixels, mode in ((np.dstack([COLOURS, opaque]), "rgb"), (np.dstack([GREY, opaque]), "grayscale")):
        for kind in ("PNG", "TIFF"):
            assert np.array_equal(decoded(saved(pixels, kind), tmp_path, mode=mode)[0], pixels[..., :-1])


# Damage.


def test_every_wrong_bit_of_a_png_is_found(tmp_path):
    good = saved(GREY)
    for place in range(len(good)):
        for bit in (1, 128):
            bad = bytearray(good)
            bad[place] ^= bit
            assert isinstance(decoded(bytes(bad), tmp_path)[0], str), place
    assert np.array_equal(decoded(good + b"anything behind it", tmp_path)[0][..., 0], GREY)


@pytest.mark.parametrize(
    "content",
    [saved(GREY), saved(COLOURS, "BMP"), saved(COLOURS, "PPM"), saved(COLOURS, "TIFF"), saved(RAMP, "JPEG"),
     saved(RAMP, "JPEG", progressive=True), saved(COLOURS, "TIFF", compression="tiff_lzw")],
)  # fmt: skip
def test_a_file_that_was_cut_is_refused(tmp_path, content):
    size = (28, 28) if content.startswith(formats.JPEG) else SIZE
    assert isinstance(decoded(content, tmp_path, size=size)[0], np.ndarray)
    for share in (0.3, 0.6, 0.9):
        cut = content[: int(share * len(content))]
        assert isinstance(decoded(cut, tmp_path, size=size)[0], str), share


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (lambda good: good[:-60] + b"\xff\xd9", "damaged: its pixels end too early"),
        (lambda good: good[:-60] + bytes(58) + b"\xff\xd9", "damaged: its pixels end too early"),
        (lambda good: good[:-60] + bytes(60), "damaged: it ends too early"),
        (lambda good: good[:-2] + bytes(range(1, 60)) + b"\xff\xd9", "damaged: its pixels end too late"),
        (lambda good: good[:-2], "damaged: it ends too early"),
    ],
    ids=["cut and closed", "zeros and closed", "zeros", "more than there is", "no end"],
)
def test_a_jpeg_whose_pixels_end_too_early_or_too_late_is_refused(tmp_path, lost, reason):
    assert decoded(lost(saved(RAMP, "JPEG", quality=95)), tmp_path, size=(28, 28))[0] == reason


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (28, 28), (61, 33)])
@pytest.mark.parametrize(
    "how",
    [{}, {"quality": 100}, {"quality": 1, "optimize": True}, {"subsampling": 0}, {"subsampling": 2},
     {"progressive": True}, {"restart_marker_rows": 1}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_whole_jpegs_of_every_kind_are_taken_as_pillow_reads_them(tmp_path, shape, how, mode):
    for pixels in (DRAW.integers(0, 256, (*shape, 3), np.uint8), np.full((*shape, 3), 9, np.uint8)):
        content = saved(pixels, "JPEG", mode, **how)
        found, _ = decoded(content + b"junk", tmp_path, mode="rgb", size=shape)
        assert np.array_equal(found, np.asarray(Image.open(BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("palette", [[], [SHADES]], ids=["none", "of four colours"])
def test_a_colour_that_is_not_in_the_palette_is_refused(tmp_path, palette):
    content = png(8, 3, [bytes([0, 1, 2, 4])] * 6, *palette)
    assert decoded(content, tmp_path)[0] == "damaged: a pixel's colour is not in its palette"


@pytest.mark.parametrize(
    "content",
    [
        *(saved(RAMP, "TIFF", compression=how)[:100] + bytes(60) + saved(RAMP, "TIFF", compression=how)[160:]
          for how in ("tiff_lzw", "tiff_adobe_deflate")),
        tiff(9, 8, "<"),
        b"",
        b"\x89PNG",
    ],
    ids=["lzw", "deflate", "nine channels", "empty", "a few bytes"],
)  # fmt: skip
def test_decoders_print_nothing(tmp_path, capfd, content):
    assert isinstance(decoded(content, tmp_path, size=(28, 28), interpolation="nearest")[0], str)
    assert capfd.readouterr() == ("", "")


# What is neither damaged nor usable, and what is not applied.


def test_a_large_image_is_called_large_and_warns_of_nothing(tmp_path, recwarn):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
    huge = formats.PNG + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    assert decoded(huge, tmp_path)[0] == "more than 178,956,970 pixels, too large; make it smaller"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0))
    large = formats.PNG + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    assert decoded(large, tmp_path)[0].startswith("10000x10000 pixels, expected 6x4")
    assert not recwarn.list


def test_pages_frames_and_rotations_are_counted(tmp_path):
    rotated = Image.Exif()
    rotated[274] = 6
    first, second = Image.fromarray(GREY), Image.fromarray(GREY.T.copy().reshape(SIZE))
    several = "only the first page or frame is read"
    for kind in ("TIFF", "PNG"):
        file = BytesIO()
        first.save(file, kind, save_all=True, append_images=[second])
        found, remarks = decoded(file.getvalue(), tmp_path)
        assert np.array_equal(found[..., 0], GREY)
        assert remarks == {several: (1, "x.png")}
    found, remarks = decoded(saved(GREY, "PNG", exif=rotated), tmp_path)
    assert np.array_equal(found[..., 0], GREY)
    assert remarks == {"EXIF rotation is not applied": (1, "x.png")}
    file = BytesIO()
    first.save(file, "TIFF", tiffinfo={274: 3})
    found, remarks = decoded(file.getvalue(), tmp_path)
    assert np.array_equal(found[..., 0], GREY[::-1, ::-1]), "Pillow turns a TIFF"
    assert not remarks


# What is no file, and names that are none.


def test_what_is_no_regular_file_is_told_and_never_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.png")
    Path("gone.png").symlink_to("nowhere.png")
    Path("loop.png").symlink_to("loop.png")
    Path("folder.png").mkdir()
    Path("linked.png").symlink_to("folder.png")
    Path("device.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.png")
        names = [
            "pipe.png",
            "gone.png",
            "loop.png",
            "folder.png",
            "linked.png",
            "device.png",
            "socket.png",
            "a\0.png",
        ]
        found = Listing(str(tmp_path), ("a", "b"), names, np.zeros(len(names), np.uint8))
        assert listing.sha256(listing.contents(found))
        (block,) = decode.blocks(found, SIZE, "grayscale", "none", None, Remarks())
    no_file = "not a regular file"
    assert dict(block.refused) == {
        "pipe.png": no_file,
        "gone.png": "No such file or directory",
        "loop.png": "Too many levels of symbolic links",
        "folder.png": no_file,
        "linked.png": no_file,
        "device.png": no_file,
        "socket.png": no_file,
        "a\0.png": "no file can have this name",
    }


def test_names_that_no_terminal_shows_are_escaped():
    assert store.shown("plain é.png") == "plain é.png"
    assert store.few([("a\nb.png", "why"), (os.fsdecode(b"\xff.png"), "how")]) == (
        r"'a\nb.png' (why), '\udcff.png' (how)"
    )


# Folders.


def fill(folder: Path, count: int, first: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        pixels = np.random.default_rng(first + n).integers(0, 256, SIZE, np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:03}.png")


def test_what_a_folder_leaves_out_is_counted_and_said(tmp_path):
    root = tmp_path / "d"
    for n, name in enumerate("ab"):
        fill(root / name, 20, 100 * n)
    for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".thumbnails"):
        fill(root / "a" / name, 3)
        fill(root / name, 3)
    fill(root / "results/mine/cells/x/numpy/cpu/seed-0", 1)
    fill(root / "results/mine/data/d-1", 0)
    (root / "a/._000.png").write_bytes(b"resource fork")
    (root / "a/Thumbs.db").write_bytes(b"")
    (root / "b/one.webp").write_bytes(b"")
    (root / "b/two.WEBP").write_bytes(b"")
    (root / "b/bare").write_bytes(b"")
    (root / "loose.png").write_bytes(b"")
    (root / "b/more").symlink_to(root / "a")
    (root / "c").symlink_to("a disk that is not there")
    setting = Directory(directory=str(root), size=SIZE)
    assert sources.find(setting).listing.names == [f"{name}/{n:03}.png" for name in "ab" for n in range(20)]
    about = sources.prepare(setting, tmp_path / "out")
    out = "left out, "
    assert about["classes"] == ["a", "b"]
    assert about["remarks"] == {
        f"{out}files beside the class folders": [1, "loose.png"],
        f"{out}hidden and system folders": [8, ".ipynb_checkpoints"],
        f"{out}hidden files": [1, "a/._000.png"],
        f"{out}other files (.db)": [1, "a/Thumbs.db"],
        f"{out}other files (.webp)": [2, "b/one.webp"],
        f"{out}other files (no extension)": [1, "b/bare"],
        f"{out}linked folders": [1, "b/more"],
        f"{out}links that lead nowhere": [1, "c"],
        f"{out}results and reports of Lockstep": [1, "results/mine"],
    }
    line = store.summary(tmp_path / "out").splitlines()[-1]
    assert "left out, other files (.webp): 2 (b/one.webp)" in line


@pytest.mark.parametrize(
    "names",
    [
        ("train", "test"),
        ("Train", "val", "test"),
        ("training", "validation", "x"),
        ("digits_test", "trainSet"),
    ],
)
def test_parts_that_stand_where_classes_are_expected_are_asked_about(tmp_path, names):
    for name in names:
        fill(tmp_path / "d" / name / "a", 5)
        fill(tmp_path / "d" / name / "b", 5)
    with pytest.raises(LockstepError, match=r"look like the parts of a split, not .* set split: subfolders"):
        Files(Directory(directory=str(tmp_path / "d"))).listing  # noqa: B018
    chosen = Directory(directory=str(tmp_path / "d"), classes=names)
    assert Files(chosen).classes == names, "who lists them means them"


def test_parts_within_classes_are_asked_about(tmp_path):
    for name in ("a/train", "a/test", "b/train", "b/test"):
        fill(tmp_path / "d" / name, 5)
    with pytest.raises(LockstepError, match=r"d/a: train, test look like the parts of a split, but would be"):
        Files(Directory(directory=str(tmp_path / "d"))).listing  # noqa: B018
    assert Files(Directory(directory=str(tmp_path / "d"), classes=("a", "b"))).listed == 20


def test_a_folder_that_is_called_train_may_be_a_class(tmp_path):
    for name in ("car", "train"):
        fill(tmp_path / "d" / name, 5)
    assert Files(Directory(directory=str(tmp_path / "d"))).classes == ("car", "train")


def test_one_class_and_names_that_cannot_be_printed_are_refused(tmp_path):
    fill(tmp_path / "d/only", 5)
    with pytest.raises(LockstepError, match=r"d: only one class \('only'\); there is nothing to tell apart"):
        Files(Directory(directory=str(tmp_path / "d"))).listing  # noqa: B018
    (tmp_path / "t.csv").write_text("filename,class\nd/only/000.png,a\n")
    with pytest.raises(LockstepError, match=r"t.csv: only one class \('a'\)"):
        Files(Dataframe(dataframe=str(tmp_path / "t.csv"))).listing  # noqa: B018
    fill(tmp_path / "d/two\nlines", 5)
    with pytest.raises(LockstepError, match=r"d: the class 'two\\nlines' holds what cannot be") as error:
        Files(Directory(directory=str(tmp_path / "d"))).listing  # noqa: B018
    assert "\n" not in str(error.value)


# Training images that cannot be told apart.


def images(array: np.ndarray) -> dataset.Images:
    return dataset.Images(array, np.arange(len(array)))


def test_training_images_that_are_alike_are_told_and_never_divided_by(tmp_path):
    pattern = np.broadcast_to(RAMP[..., None], (9, 28, 28, 1))
    for alike in (np.full((9, 5, 5, 1), 255, np.uint8), np.zeros((9, 5, 5, 3), np.uint8), pattern):
        with pytest.raises(LockstepError, match="all 9 training images are alike; there is nothing to learn"):
            dataset.fit("centred", images(alike))
        assert dataset.fit("unit", images(alike)) is dataset.UNIT
    one_pixel = np.full((5000, 28, 28, 1), 255, np.uint8)
    one_pixel[7, 3, 3] = 254
    with pytest.raises(
        LockstepError, match=r"differ by less than 1/1000 of a grey level.*preprocessing: unit"
    ):
        dataset.fit("centred", images(one_pixel))
    one_pixel[7, 3, 3] = 0
    assert np.isfinite(dataset.fit("centred", images(one_pixel)).scale)


def test_a_training_set_of_one_class_is_refused(tmp_path):
    for n, name in enumerate("ab"):
        fill(tmp_path / "d" / name, 20, 100 * n)
    setting = Directory(directory=str(tmp_path / "d"), size=SIZE)
    sources.prepare(setting, tmp_path / "out")
    with pytest.raises(
        LockstepError, match=r"train_size: the 1 training images of d-\w+ are of one class; use more"
    ):
        dataset.load(tmp_path / "out", setting, "unit", 0, 1)


def test_nothing_but_the_result_is_printed(tmp_path):
    """Pillow's warnings are lines that nobody wrote for the reader."""
    fill(tmp_path, 1)
    script = (
        "import sys\nfrom lockstep.data import decode, listing, store\nimport numpy as np\n"
        "one = listing.Listing(sys.argv[1], ('a', 'b'), ['big.png'], np.zeros(1, np.uint8))\n"
        "print(*decode.blocks(one, (6, 4), 'rgb', 'nearest', None, store.Remarks()))"
    )
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 1, 3, 0, 0, 0))
    parts = header, SHADES, chunk(b"tRNS", b"\xff\xff"), chunk(b"IDAT", b""), chunk(b"IEND", b"")
    (tmp_path / "big.png").write_bytes(formats.PNG + b"".join(parts))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cannot be decoded: image file is truncated" in done.stdout
