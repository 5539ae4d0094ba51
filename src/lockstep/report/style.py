"""How figures look, and how matplotlib's SVG becomes part of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from lockstep.discovery import plugins
from lockstep.report.runs import Side

# Okabe and Ito (2008), "Color Universal Design"; black first, yellow last because it is faint on white.
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, GREY, RULE = "#222222", "#767676", "#d9d9d9"

WIDTH = 10.0
"""Inches of a figure as wide as the page."""
PIXELS_PER_POINT = 1.42
"""Width of a figure on the page; it makes 9 point text about as large as the page's."""

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, and is wide: in any other font the text fits
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.scale_dashes": False,  # lines of any width dash alike, so that they lie on top of each other
    "axes.unicode_minus": True,
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "svg.hashsalt": "lockstep",  # equal results give equal files
    "image.interpolation": "none",
}


@dataclass(frozen=True)
class Figure:
    """A finished figure: `svg` is a whole file, `alt` says what one sees, `caption` how to read it."""

    name: str
    svg: str
    alt: str
    caption: str

    @property
    def inline(self) -> str:
        """The SVG as an element of a page: ids of its own, no fixed size, an accessible name."""
        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(r' id="image[0-9a-f]+"', "", body)  # equal pictures have equal ones
        body = re.sub(r'\bid="', f'id="{self.name}-', body)
        body = re.sub(r'href="#', f'href="#{self.name}-', body)
        body = body.replace("url(#", f"url(#{self.name}-")
        width = re.search(r'width="([\d.]+)pt"', body)
        assert width is not None
        pixels = round(PIXELS_PER_POINT * float(width[1]))
        size = f'role="img" aria-label="{_attribute(self.alt)}" style="--width:{pixels}px"'
        return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', lambda match: size, body, count=1)


@contextmanager
def canvas(width: float, height: float) -> Iterator[Canvas]:
    """An empty figure in this style; both it and its axes have to be used inside the `with`."""
    with matplotlib.rc_context(SETTINGS):
        yield Canvas(figsize=(width, height), layout="constrained")


def finish(figure: Canvas, name: str, alt: str, caption: str) -> Figure:
    text = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing)
    return Figure(name, text.getvalue(), alt, caption)


def colour(side: Side) -> str:
    return PALETTE[_place(side.backend) % len(PALETTE)]


def marker(side: Side) -> str:
    """Variants have that of their family."""
    family = side.backend.partition("+")[0]
    return MARKERS[_place(family if family in plugins() else side.backend) % len(MARKERS)]


def face(side: Side) -> str:
    """Filled on the CPU, hollow on another device."""
    return colour(side) if side.device == "cpu" else "white"


def _place(backend: str) -> int:
    """Of all backends that are found, so that a selection of them keeps its colours."""
    known = [*plugins(), *(each.name for plugin in plugins().values() for each in plugin.found.values())]
    return known.index(backend) if backend in known else len(known)


def space(figure: Canvas, w_pad: float | None = None, h_pad: float | None = None) -> None:
    """Inches around each axes."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(w_pad=w_pad, h_pad=h_pad)


def few_ticks(axes: Axes, count: int = 5) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(count))


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
