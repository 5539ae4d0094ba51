"""Work that is done before it is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], count: int = 2) -> Iterator[T]:
    """The same items; a thread makes up to `count` of them while the caller is busy with the one before.

    NumPy lets go of Python's lock in its loops, so training does not wait for batches.  An error in the
    thread is raised here, in its place.
    """
    source = iter(items)

    def following() -> list[T]:
        return list(islice(source, 1))  # empty at the end, as StopIteration cannot leave a thread

    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[list[T]]] = deque(thread.submit(following) for _ in range(count))
        while found := waiting.popleft().result():
            waiting.append(thread.submit(following))
            yield from found
