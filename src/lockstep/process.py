"""What a process that runs a backend sets up before it imports NumPy or a framework."""

from __future__ import annotations

import contextlib
import ctypes
import os

from lockstep import switches

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""What CUDA, and so each of the frameworks, takes for all the GPUs there are."""
HIDDEN, ALL = "LOCKSTEP_HIDDEN_DEVICES", "all"
"""Keeps what it was before `hide_gpus`; ALL where it was not set."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc's <malloc.h>


def prepare() -> None:
    """Let experiment and backend alone decide (`switches`), and keep freed memory for the next step."""
    switches.drop()
    # A training step frees and takes the same megabytes again.  glibc hands them back to the kernel in
    # between, and getting them again costs up to a third of a step.  The heaps of other threads ignore the
    # first two settings, so all share the main one.  Other C libraries lack the call.
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, 2**30)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_ARENA_MAX, 1)


def share_gpu() -> None:
    """Before a framework is imported in one of several processes on a GPU: take memory as it is needed."""
    switches.drop()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def hide_gpus() -> None:
    """Before a framework is imported for a CPU run: several of them take a GPU's memory when they see it."""
    os.environ.setdefault(HIDDEN, os.environ.get(VISIBLE, ALL))
    os.environ[VISIBLE] = ""


def show_gpus() -> None:
    """Undo `hide_gpus`, for a GPU run that a CPU run's process starts."""
    shown = os.environ.pop(HIDDEN, None)
    if shown is None or os.environ.get(VISIBLE) != "":
        return  # nothing was hidden, or somebody has chosen since
    del os.environ[VISIBLE]
    os.environ.update({VISIBLE: shown} if shown != ALL else {})
