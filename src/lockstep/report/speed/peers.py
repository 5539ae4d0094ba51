"""Each backend beside the plain script of its framework."""

from __future__ import annotations

from markupsafe import Markup

from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.speed.dots import Dot, draw
from lockstep.report.speed.names import chip
from lockstep.report.speed.ratios import told
from lockstep.report.speed.timings import RATE, Timing, Timings
from lockstep.report.speed.values import shown
from lockstep.report.style import Figure
from lockstep.speed import rows
from lockstep.speed.summary import Ratio

FOLLOWS = {
    "pytorch": ("Learn the Basics", "https://pytorch.org/tutorials/beginner/basics/intro.html"),
    "keras_fit": ("Simple MNIST convnet", "https://keras.io/examples/vision/mnist_convnet/"),
    "jax_optax": (
        "Getting started with optax",
        "https://optax.readthedocs.io/en/latest/getting_started.html",
    ),
    "numpy_im2col": ("the notes of CS231n", "https://cs231n.github.io/convolutional-networks/"),
}
"""{script in benchmarks/peers: (what it follows, where that is)}."""


def figure(timings: Timings) -> Figure | None:
    """backend / peer in whole epochs."""
    panels = {timing.label: dots for timing in timings.usable if (dots := _dots(timings, timing))}
    if not panels:
        return None
    return draw(
        "speed_peers",
        panels,
        "backend / plain script, images a second in whole epochs",
        "Dot plot of the rate of each backend over that of its framework's plain script, with "
        f"{text.listed(list(panels))}.",
        "Right of the line at 1 the backend is faster than the script, with all that the harness does beside "
        "it. Lines: 95 % intervals over rounds; one that crosses 1 cannot tell, an arrow says that it goes "
        f"on, without a line there is no interval. {timings.machine}.",
        ratios=True,
    )


def _dots(timings: Timings, timing: Timing) -> list[Dot]:
    return [
        Dot(f"{timings.label(name)} / {peer['peer']}", timings.side(name), *_ends(peer["ratio"]))
        for name, peer in timing.content["peers"].items()
        if peer["ratio"]
    ]


def _ends(ratio: Ratio) -> tuple[float, float | None, float | None]:
    return ratio["ratio"], ratio["low"], ratio["high"]


def grid(timings: Timings) -> Grid:
    groups = [
        Group(timing.label, rows=[_row(timings, timing, name) for name in timing.content["peers"]])
        for timing in timings.usable
        if timing.content["peers"]
    ]
    columns = (
        "backend",
        "script",
        "follows",
        "backend, images/s",
        "script, images/s",
        "backend / script",
        "",
    )
    return Grid(columns, 3, groups)


def _row(timings: Timings, timing: Timing, name: str) -> tuple[str, ...]:
    peer = timing.content["peers"][name]
    ours = timing.spread(name, "epoch")
    return (
        chip(timings, name),
        Markup("<code>{}.py</code>").format(peer["peer"]),
        _follows(peer["peer"]),
        shown(ours, 1),
        shown(peer["epoch"][RATE], 1),
        rows.ratio(peer["ratio"]) or text.NONE,
        told(peer["ratio"]),
    )


def _follows(script: str) -> Markup:
    if script not in FOLLOWS:
        return Markup("")
    title, address = FOLLOWS[script]
    return Markup('<a href="{}">{}</a>').format(address, title)
