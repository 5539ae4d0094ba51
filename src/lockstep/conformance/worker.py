"""A process that holds one backend alone, and what it says where the backend does not answer."""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, Concatenate, ParamSpec, TypeVar, cast

from lockstep import discovery, process
from lockstep.backend import Backend
from lockstep.errors import LockstepError, one_line
from lockstep.optimizer import Adam
from lockstep.spec import Spec

THREADS = 2

Make = Callable[[Spec, Adam], Backend]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Stop:
    """Where a backend did not answer: which call of the contract, and why."""

    call: str
    reason: str
    unwritten: bool
    """The plugin says itself, or shows, that this is not there yet."""

    def __str__(self) -> str:
        return f"{self.call}: {self.reason}"


class Stopped(LockstepError):
    def __init__(self, stop: Stop) -> None:
        super().__init__(str(stop))
        self.stop = stop


@dataclass(frozen=True)
class Worker:
    """A long-lived process with one backend, dtype, device and number of threads; close it after use."""

    backend: str
    dtype: str
    device: str
    threads: int
    pool: ProcessPoolExecutor
    log: IO[str]
    """What the framework writes to its own output; shown if the process dies."""

    @classmethod
    def start(cls, backend: str, dtype: str, device: str = "cpu", threads: int = THREADS) -> Worker:
        context = multiprocessing.get_context("spawn")  # a forked copy of a thread pool would hang
        log = tempfile.NamedTemporaryFile("r", errors="replace", prefix="lockstep-", suffix=".log")  # noqa: SIM115
        pool = ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(device, log.name))
        return cls(backend, dtype, device, threads, pool, log)

    def call(self, work: Callable[Concatenate[Make, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """work(make, ...) in the process; raises Stopped where the backend fails in it."""
        key = (self.backend, self.dtype, self.device, self.threads)
        try:
            answer = self.pool.submit(_answer, key, work, args, kwargs).result()
        except BrokenProcessPool:
            last = (self.log.read().strip().splitlines() or ["without a word: killed, or out of memory"])[-1]
            raise Stopped(Stop("backend", f"its process died: {last[:200]}", False)) from None
        if isinstance(answer, Stop):
            raise Stopped(answer)
        return answer

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.log.close()


@dataclass(frozen=True)
class Here:
    """The same in this process, for NumPy, which is no framework and may share one."""

    backend: str
    dtype: str

    def call(self, work: Callable[Concatenate[Make, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        # Built anew: two threads may ask for the same spec, and NumPy compiles nothing.
        make = partial(_make.__wrapped__, self.backend, self.dtype, "cpu", THREADS)
        return work(make, *args, **kwargs)


def _prepare(device: str, log: str) -> None:
    process.prepare()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    process.hide_gpus() if device == "cpu" else process.share_gpu()


def _end_with_parent() -> None:
    """A pool's process does not notice when its parent is killed, and would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _answer(key: tuple[str, str, str, int], work: Callable[..., T], args: Any, kwargs: Any) -> T | Stop:
    try:
        return work(partial(_make, *key), *args, **kwargs)
    except (Exception, SystemExit) as error:  # a plugin may do anything
        return stop(error, discovery.find(key[0]).folder)


def stop(error: BaseException, folder: Path) -> Stop:
    """Told from where in the plugin's folder the error came."""
    if isinstance(error, Stopped):
        return error.stop
    frames = traceback.extract_tb(error.__traceback__)
    loading = any(Path(frame.filename) == Path(discovery.__file__) for frame in frames)
    if loading and error.__cause__:
        frames = traceback.extract_tb(error.__cause__.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    place = f" ({Path(inside[-1].filename).name}, line {inside[-1].lineno})" if inside else ""
    unwritten = isinstance(error, NotImplementedError) or (loading and isinstance(error, LockstepError))
    call = "backend" if loading else _call([frame.name for frame in inside], error)
    return Stop(call, f"{one_line(error)}{place}", unwritten)


def _call(functions: list[str], error: BaseException) -> str:
    """The method of the contract that was called, by the plugin's functions on the stack."""
    if functions:  # the pullback of vjp is the one other function that a plugin hands out
        return next((name for name in functions if hasattr(Backend, name)), "vjp")
    refused = re.search(r"\.(\w+)\(\) ", str(error)) if isinstance(error, TypeError) else None
    return refused[1] if refused and hasattr(Backend, refused[1]) else "backend"


@lru_cache(1)
def _make(backend: str, dtype: str, device: str, threads: int, spec: Spec, adam: Adam) -> Backend:
    """Built once for calls that follow each other: frameworks compile for each new one."""
    plugin = discovery.find(backend)
    cls = _complete(discovery.load(plugin))
    more = plugin.options
    return cls(spec, adam, device=device, dtype=dtype, threads=threads, deterministic=True, **more)


def _complete(cls: type[Backend]) -> type[Backend]:
    """The class, with methods that its author has not written yet filled in by ones that say so.

    So an unfinished plugin can be tried as far as it goes.
    """

    def filler(name: str) -> Any:
        def unwritten(*args: object, **kwargs: object) -> None:
            raise Stopped(Stop(name, f"not written yet. {_purpose(name)}", True))

        return unwritten

    missing: frozenset[str] = cls.__abstractmethods__
    fillers = {name: filler(name) for name in missing}
    return cast(type[Backend], type(cls.__name__, (cls,), fillers)) if missing else cls


def _purpose(method: str) -> str:
    """The first sentence of the contract about a method."""
    text = getattr(Backend, method).__doc__ or ""
    return " ".join(text.split("\n\n")[0].split())
