"""What the machine can do in matrix products, by NumPy's BLAS.

    python -m lockstep.speed.sgemm THREADS

One product of two float32 matrices for every line that it reads, each answered by a line.  It is a process of
its own, since kernels are chosen when NumPy is imported: a switch that makes a backend slow must not make its
yardstick short.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from lockstep.switches import without_kernels

SIDE = 1_024
FLOPS = 2 * SIDE**3


class Ended(Exception):
    """Some hosts set a switch because the machine's own kernels do not work there."""


@contextmanager
def product(threads: int) -> Iterator[Callable[[], None]]:
    """One product a call, in a process that has the kernels of the machine's own processor."""
    command = [sys.executable, "-m", "lockstep.speed.sgemm", str(threads)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=without_kernels()) as process:
        assert process.stdin
        assert process.stdout
        ask, answer = process.stdin, process.stdout

        def once() -> None:
            with suppress(BrokenPipeError):
                ask.write("\n")
                ask.flush()
            if not answer.readline():
                raise Ended("NumPy cannot compute here with the kernels that it takes by itself")

        yield once
        with suppress(BrokenPipeError):
            ask.close()


def main(threads: int) -> None:
    import numpy as np
    from threadpoolctl import threadpool_limits

    matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)
    with threadpool_limits(threads, user_api="blas"):
        for _ in sys.stdin:
            matrix @ matrix
            print(flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
