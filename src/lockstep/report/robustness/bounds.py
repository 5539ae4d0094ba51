"""An accuracy under attack as every page writes it: whether it is an upper bound, and both intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from lockstep.check.evidence import of_share
from lockstep.report import text
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.checks import Judged, upper_bound
from lockstep.report.robustness.names import FAST, condition, title
from lockstep.statistics import CONFIDENCE, Estimate

SPREAD = ("95 % interval, over images", "95 % interval, over seeds", "test images", "n seeds")
"""Columns: other images for such a network; other networks on the same images; and how many of both."""


class Kept(NamedTuple):
    """What an experiment keeps under one attack, in percent."""

    value: Estimate
    """Over seeds."""
    images: int
    reasons: Sequence[str]
    """Why the attack may be too weak; then the network is at most as robust as the number says."""

    @property
    def shown(self) -> str | Markup:
        return marked(text.number(self.value.mean, ".1f"), self.reasons)

    @property
    def over_seeds(self) -> str:
        return text.interval(self.value, signed=False, digits=1)

    @property
    def over_images(self) -> str:
        return over_images(self.value.mean, self.images) if self.value.n else text.NONE

    @property
    def spread(self) -> tuple[str, str, str, str]:
        """Of the columns `SPREAD`."""
        return self.over_images, self.over_seeds, f"{self.images:,}", str(self.value.n)


def kept(robustness: Robustness, judged: Sequence[Judged], name: str, attack: str, eps: float) -> Kept:
    under = condition(attack, eps)
    reasons = upper_bound(judged, name, attack, eps)
    return Kept(robustness.estimate(name, under), robustness.images_of(name, under), reasons)


def over_images(percent: float, n: int) -> str:
    """ "65.7 to 82.5": Wilson's interval of a share of n images."""
    low, high = of_share(percent / 100, n, CONFIDENCE)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def marked(number: str, reasons: Sequence[str]) -> str | Markup:
    """ "75.0"; where it is an upper bound "⚠ ≤ 75.0"."""
    return signed(text.at_most(number), reasons) if reasons else number


def signed(what: str, reasons: Sequence[str]) -> str | Markup:
    """With the sign before it, where there are reasons."""
    return Markup("{} {}").format(sign(reasons), what) if reasons else what


def sign(reasons: Sequence[str]) -> Markup:
    """It says why to who points at it, or has it read; nothing without reasons."""
    if not reasons:
        return Markup("")
    return Markup('<abbr class="warning" title="{}">⚠</abbr>').format("; ".join(reasons))


def label(robustness: Robustness, judged: Sequence[Judged], name: str, attack: str) -> str:
    """ " (≤)" behind what a figure's legend calls numbers of which any is an upper bound."""
    found = any(upper_bound(judged, name, attack, eps) for eps in robustness.settings.eps)
    return " (≤)" if found else ""


def counted(robustness: Robustness, eps: float) -> list[str]:
    """What the worst case at an eps is the worst of."""
    *_, fast = FAST
    names = list(map(title, robustness.settings.names))
    return [*names, title(fast)] if f"{eps:g}" in robustness.levels(fast) else names


def moves(robustness: Robustness) -> str:
    """How far other images would move an accuracy that is measured on as many, at most."""
    low, high = of_share(0.5, robustness.images, CONFIDENCE)
    images = text.count(robustness.images, "image")
    return f"other {images} would move each point too, by up to ±{50 * (high - low):.0f}"
