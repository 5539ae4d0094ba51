"""The rows in which a terminal and a page show what was timed, and how their numbers are written."""

from __future__ import annotations

from typing import NamedTuple

from lockstep.speed.subject import BATCH_SIZES
from lockstep.speed.summary import Ratio


class Row(NamedTuple):
    phase: str
    quantity: str
    label: str
    unit: str
    scale: float
    """Of the stored value, in the unit shown."""


ROWS = (
    Row("import", "seconds", "import", "s", 1),
    Row("build", "seconds", "build", "s", 1),
    Row("first_call", "seconds_per_step", "first call, a step", "ms", 1e3),
    Row("train_step", "seconds_per_step", "training, a step", "ms", 1e3),
    Row("train_step", "images_per_second", "training steps", "images/s", 1),
    Row("train_step", "share_of_sgemm", "  of the machine's sgemm", "%", 100),
    Row("train_step", "cores", "  cores used", "", 1),
    Row("epoch", "images_per_second", "whole epochs", "images/s", 1),
    Row("evaluation", "images_per_second", "evaluation", "images/s", 1),
    Row("inference_1024", "images_per_second", "inference, 1,024 images", "images/s", 1),
    Row("inference_1", "p50_seconds", "inference, 1 image: p50", "ms", 1e3),
    Row("inference_1", "p95_seconds", "  p95", "ms", 1e3),
    Row("inference_1", "p99_seconds", "  p99", "ms", 1e3),
    *(
        Row(f"batch_size[{size}]", "images_per_second", f"training, batches of {size:,}", "images/s", 1)
        for size in BATCH_SIZES
    ),
    Row("accuracy", "seconds_to_97", "to 97 % validation accuracy", "s", 1),
    Row("accuracy", "seconds_to_98", "  98 %", "s", 1),
    Row("accuracy", "seconds_to_99", "  99 %", "s", 1),
    Row("accuracy", "validation_accuracy", "  best of the run", "%", 100),
    Row("memory", "peak_bytes", "peak memory, host", "MB", 1e-6),
    Row("memory", "device_bytes", "peak memory, device", "MB", 1e-6),
    Row("sgemm", "flops_per_second", "NumPy's sgemm", "GFLOP/s", 1e-9),
)


def number(value: float) -> str:
    """Three digits, and no fewer than the units; an interval of two rounds may end beyond all bounds."""
    if value >= 1e7:
        return f"{value:.2e}"
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"  # and no "100."


def ratio(found: Ratio | None) -> str:
    """ "1.43 (1.38 to 1.49)"; nothing where there is none."""
    if not found:
        return ""
    if found["low"] is None or found["high"] is None:
        return f"{number(found['ratio'])} (no interval)"
    return f"{number(found['ratio'])} ({number(found['low'])} to {number(found['high'])})"
