"""One process on a GPU at a time.

A process that is going to run a framework on a GPU holds that GPU's lock, and sees no other.  The processes
that it starts inherit both.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from filelock import FileLock, Timeout

from lockstep.process import VISIBLE, show_gpus

HELD = "LOCKSTEP_GPU"
"""Says to the processes of a holder that they need not ask again: the identity of the GPU."""
ANY = "gpu"
"""Of a machine whose GPUs nothing tells apart."""
QUERY = "index,uuid,name,driver_version"
PATIENCE = 0.5
"""Seconds between two looks for a free GPU."""


@dataclass(frozen=True)
class Gpu:
    """As nvidia-smi names it; where it knows nothing, or is not there, fields are empty."""

    index: str = ""
    uuid: str = ""
    name: str = ""
    driver: str = ""

    @property
    def identity(self) -> str:
        return self.uuid or ANY

    def __str__(self) -> str:
        """ "NVIDIA H100 (index 0, GPU-8f1d..., driver 580.65)"."""
        parts = [
            f"index {self.index}" * bool(self.index),
            self.uuid,
            f"driver {self.driver}" * bool(self.driver),
        ]
        return f"{self.name or 'GPU'} ({', '.join(filter(None, parts)) or 'nvidia-smi does not tell which'})"


@contextmanager
def held(device: str) -> Iterator[Gpu | None]:
    """Hold one GPU for this process and those that it starts; enter it before a framework is imported.

    device: "gpu"; of any other nothing is held, and None is given.  The first free of `usable` is taken;
    where none is, a printed line says so, and the first that becomes free is waited for.  Without nvidia-smi,
    as with GPUs of other makers, there is one lock for "the gpu" and nothing is hidden.  A process that ends,
    however it does, frees its GPU.
    """
    if device != "gpu":
        yield None
        return
    show_gpus()
    if HELD in os.environ:
        known = [gpu for gpu in listed() if gpu.uuid == os.environ[HELD]]
        yield known[0] if known else Gpu(uuid=os.environ[HELD].removeprefix(ANY))
        return
    found = usable() or [Gpu()]
    gpu, lock = _first_free(found)
    before = {name: os.environ.get(name) for name in (VISIBLE, HELD)}
    os.environ[HELD] = gpu.identity
    if gpu.uuid:
        os.environ[VISIBLE] = gpu.uuid
    try:
        yield gpu
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})
        lock.release()


def listed() -> list[Gpu]:
    """All of this machine, or of this job where a scheduler hides the others; none where nothing tells."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[field.strip() for field in line.split(",")] for line in answer.splitlines()]
    return [Gpu(*row) for row in rows if len(row) == len(fields(Gpu))]


def usable() -> list[Gpu]:
    """Those of `listed` that $CUDA_VISIBLE_DEVICES leaves, in its order.

    It holds indices, which here are those of nvidia-smi, or UUIDs, whole or their beginning; what is not
    listed, such as a part of a GPU ("MIG-..."), is taken as it is named, and -1 ends the list, as in CUDA.
    """
    everyone = listed()
    if VISIBLE not in os.environ:
        return everyone
    found: list[Gpu] = []
    for name in filter(None, (part.strip() for part in os.environ[VISIBLE].split(","))):
        if name == "-1":
            break
        if name.isdecimal():
            found += [gpu for gpu in everyone if gpu.index == name]
        else:
            found += [gpu for gpu in everyone if gpu.uuid.startswith(name)] or [Gpu(uuid=name)]
    return found


def _first_free(gpus: Sequence[Gpu]) -> tuple[Gpu, FileLock]:
    # Whoever runs on this machine may lock them.  The folder is one that lets nobody remove another's file.
    folder = Path(tempfile.gettempdir())
    locks = [FileLock(folder / f"lockstep-{gpu.identity.replace('/', '-')}.lock", mode=0o666) for gpu in gpus]
    said = False
    while True:
        for gpu, lock in zip(gpus, locks, strict=True):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return gpu, lock
        if not said:
            which = "held by another run" if len(gpus) == 1 else f"all {len(gpus)} are held by other runs"
            print(f"gpu: {which} of Lockstep; waiting", flush=True)
            said = True
        time.sleep(PATIENCE)
