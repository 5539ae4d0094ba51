"""How much of what the machine can do in matrix products the backends turn into training."""

from __future__ import annotations

from lockstep.report import text
from lockstep.report.speed.dots import Dot, draw
from lockstep.report.speed.timings import Timing, Timings
from lockstep.report.style import Figure
from lockstep.speed import rows


def figure(timings: Timings) -> Figure | None:
    panels = {timing.label: dots for timing in timings.usable if (dots := _dots(timings, timing))}
    if not panels:
        return None
    names = text.listed(list(map(timings.label, timings.backends)))
    return draw(
        "speed_share",
        panels,
        "products in training, % of the machine's own rate",
        f"Dot plot of the share of the machine's rate of matrix products that training reaches, for {names}.",
        f"FLOPs of a training image ({_flops(timings)}) times images a second in training steps, over the "
        f"rate of NumPy's float32 matrix product with as many threads and the kernels of this processor "
        f"({_rates(timings)}). Only products are "
        "counted as FLOPs, so pooling, activations and Adam lower the share. Dots: medians over rounds; "
        f"lines: 10 % to 90 % quantile. {timings.machine}.",
        ratios=False,
    )


def _flops(timings: Timings) -> str:
    """The same in all files: those of another network are stale."""
    found = timings.usable[0].content["flops_per_image"]
    training, forward = (f"{found[name] / 1e6:,.2f}" for name in ("training", "forward"))
    return f"{training} MFLOP: three times the {forward} of a forward pass"


def _rates(timings: Timings) -> str:
    """Medians over the backends' processes, each of which measures it."""
    said = []
    for timing in timings.usable:
        if timing.device != "cpu":
            continue
        found = [timing.median(name, "sgemm", "flops_per_second") for name in timing.backends]
        known = sorted(1e-9 * rate for rate in found if rate)
        low, high = (rows.number(each) for each in (known[0], known[-1])) if known else (text.NONE, text.NONE)
        said.append(f"{timing.label}: {low if low == high else f'{low} to {high}'} GFLOP/s")
    return "; ".join(said)


def _dots(timings: Timings, timing: Timing) -> list[Dot]:
    found = {name: timing.spread(name, "train_step", "share_of_sgemm") for name in timing.backends}
    return [
        Dot(timings.label(name), timings.side(name), *(100 * spread[key] for key in ("median", "q10", "q90")))
        for name, spread in found.items()
        if spread
    ]
