"""Environment variables by which libraries compute otherwise, or faster, behind a program's back.

Of the families that numerical libraries read, all are dropped before a framework is imported: threads,
dtypes, precision and compilers are what the experiment and the backend say.  Kept are those that choose a
processor's kernels, as some hosts need them.  They change last bits and speed, so they are part of what a
result was made with: of its identity and its environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache

FAMILIES = (
    *("OMP_", "GOMP_", "KMP_", "NPROC", "NUMEXPR_", "VECLIB_", "GOTO_"),  # threads
    *("OPENBLAS_", "MKL_", "BLIS_", "NPY_", "NUMPY_", "ONEDNN_", "DNNL_"),
    *("KERAS_", "TF_", "TF2_", "JAX_", "XLA_FLAGS", "LIBTPU_INIT_ARGS"),
    *("TORCH", "PYTORCH_", "ATEN_"),
    *("CUBLAS_", "CUBLASLT_", "CUDNN_", "CUPY_", "NVIDIA_TF32_OVERRIDE", "CUDA_LAUNCH_BLOCKING"),
)
"""How the names begin.  A job runner exports some, and people set others for programs of their own."""
KERNELS = (
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "BLIS_ARCH_TYPE"),
    *("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
    *("MKL_CBWR", "MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS"),
    *("ONEDNN_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "DNNL_MAX_CPU_ISA", "DNNL_CPU_ISA_HINTS"),
    *("ATEN_CPU_CAPABILITY", "TF_ENABLE_ONEDNN_OPTS", "GLIBC_TUNABLES"),
)
"""Which processor's kernels a library takes: kept."""
HARMLESS = (
    *("KERAS_HOME", "TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR", "CUPY_CACHE_DIR"),  # where something lies
    "KERAS_BACKEND",  # what an export runs on; the keras plugin says its own
)
"""Kept, and no part of a result."""


@cache
def drop() -> None:
    """Forget them, once in a process: what a backend or the harness sets afterwards stays."""
    for name in filter(dropped, list(os.environ)):
        del os.environ[name]


def dropped(name: str) -> bool:
    return name.startswith(FAMILIES) and name not in (*KERNELS, *HARMLESS)


def kept(more: Iterable[str] = ()) -> dict[str, str]:
    """{variable: value} of the processor's kernels, and of `more`, that are set here."""
    return {name: os.environ[name] for name in (*KERNELS, *more) if os.environ.get(name)}


def without_kernels() -> dict[str, str]:
    """This environment with every library's own choice of kernels: what the machine can do."""
    return {name: value for name, value in os.environ.items() if name not in KERNELS}
