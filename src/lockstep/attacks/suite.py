"""What is measured of a finished run under attack, and the pictures that go with it.

Accuracies have conditions such as "pgd=0.1": what was done to the images, and at which size.  What is one for
all images (a universal perturbation, a sticker, patterns) is fitted to validation images, and measured on
test images that it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from lockstep.attacks.attack import Attack
from lockstep.attacks.corruptions import CORRUPTIONS, Shift
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.honesty import CONTROL, FLOAT32, LARGE, TWICE, saturated
from lockstep.attacks.named import named
from lockstep.attacks.patch import Patch
from lockstep.attacks.patterns import MaximumActivation, Universal, pictures
from lockstep.attacks.victim import Victim
from lockstep.config_file import Attacks
from lockstep.data.dataset import Split, spread
from lockstep.evaluation import Measurement, row

NOISES = (CONTROL, "gaussian_noise", "salt_and_pepper")
"""At every eps."""
SHIFTS = (1, 2, 3, 4, 6, 8)
"""Pixels; the mean of four directions."""
STICKER = 8
"""Pixels along a side."""
FIT = 50
"""Validation images that what is one for all images is fitted to."""
PATTERN_STEPS = 10
TRANSFERRED = 200
"""Attacked images that other networks are shown, at most."""

Images = np.ndarray
"""float32 [n, H, W, C] in [0, 1]."""


@dataclass
class Suite:
    """One victim, the digits that it is measured on, and what has been found so far."""

    victim: Victim
    images: Images
    labels: np.ndarray
    fit: tuple[Images, np.ndarray]
    settings: Attacks
    seed: int
    measurements: list[Measurement] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def examples(self) -> np.ndarray:
        """Positions of the first image of each class."""
        return np.unique(self.labels, return_index=True)[1]

    @cached_property
    def fitting(self) -> Victim:
        return replace(self.victim, batch=len(self.fit[0]))

    def right(self, images: Images) -> np.ndarray:
        return self.victim.logits(images).argmax(axis=-1) == self.labels

    def add(self, condition: str, value: float, metric: str = "accuracy", n: int | None = None) -> None:
        self.measurements.append(row("test", metric, value, n or len(self.labels), condition))

    def under(self, condition: str, attack: Attack) -> Images:
        """Measure and return attacked images."""
        images = attack(self.victim, self.images, self.labels, self.seed)
        self.add(condition, self.right(images).mean())
        return images

    def keep(self, name: str, images: Images) -> None:
        """The examples, as this attack leaves them, with what the network says to them."""
        self.arrays[f"examples/{name}"] = images[self.examples]
        self.arrays[f"logits/{name}"] = self.victim.logits(images[self.examples])


def measure(suite: Suite, strongly: bool, advance: Callable[[str], None]) -> None:
    """All of it; `advance` is told before each of `pieces(settings, strongly)` pieces."""
    for part in (_clean, _curves, _for_all, _patterns, _checks, _corruptions):
        for piece in part(suite):
            advance(piece)
    if strongly and (strong := suite.settings.strong):
        advance("strong pgd")
        attack = PGD(strong.eps, steps=strong.steps, restarts=strong.restarts)
        suite.under(f"strong_pgd={strong.eps:g}", attack)


def pieces(settings: Attacks, classes: int, strongly: bool) -> int:
    sizes = len(settings.eps)
    curves = sizes * (len(settings.names) + len(NOISES))
    for_all = sizes + 1 + classes + 1
    return 1 + curves + for_all + 2 + sizes + 2 + int(strongly)


def gradients(settings: Attacks, classes: int, strongly: bool) -> int:
    """About how many gradients of one image it takes."""
    strong = settings.strong.steps * settings.strong.restarts if strongly and settings.strong else 0
    iterated = sum(name != "fgsm" for name in settings.names)
    test = settings.images * (settings.steps * (len(settings.eps) * iterated + 3) + strong)
    return test + FIT * (settings.steps * (len(settings.eps) + 1) + PATTERN_STEPS * classes)


def _clean(suite: Suite) -> Iterator[str]:
    yield "clean"
    logits = suite.victim.logits(suite.images)
    suite.add("clean", (logits.argmax(axis=-1) == suite.labels).mean())
    suite.add("clean", saturated(logits, suite.labels), "saturated")
    suite.arrays["labels"] = suite.labels[suite.examples]
    suite.keep("clean", suite.images)


def _curves(suite: Suite) -> Iterator[str]:
    """Each attack at each eps, and who survives all of those that look at the network."""
    settings = suite.settings
    for eps in settings.eps:
        survivors = np.ones(len(suite.labels), bool)
        for name in (*settings.names, *NOISES):
            yield f"{name} {eps:g}"
            images = suite.under(f"{name}={eps:g}", named(name, eps, settings.steps))
            if name in settings.names:
                survivors &= suite.right(images)
            if eps == settings.shown:
                suite.keep(name, images)
            if (name, eps) == ("pgd", settings.shown):
                suite.arrays["transfer/images"] = images[:TRANSFERRED]
                suite.arrays["transfer/labels"] = suite.labels[:TRANSFERRED]
        suite.add(f"worst={eps:g}", survivors.mean())


def _for_all(suite: Suite) -> Iterator[str]:
    settings = suite.settings
    for eps in settings.eps:
        yield f"universal {eps:g}"
        pattern = Universal(eps, settings.steps).fit(suite.fitting, *suite.fit)
        images = suite.under(f"universal={eps:g}", pattern)
        if eps == settings.shown:
            suite.arrays["universal"] = pattern.delta
            suite.keep("universal", images)
    yield "sticker"
    sticker = Patch(STICKER, steps=settings.steps).fit(suite.fitting, *suite.fit, suite.seed)
    suite.arrays["sticker"] = sticker.patch
    suite.keep("sticker", suite.under(f"sticker={STICKER}", sticker))


def _patterns(suite: Suite) -> Iterator[str]:
    """Of each class: the share of the other classes' images that its pattern turns into it."""
    eps, deltas = suite.settings.shown, []
    classes = range(suite.arrays["logits/clean"].shape[-1])
    for unit in classes:
        yield f"pattern of class {unit}"
        pattern = MaximumActivation(unit, eps, PATTERN_STEPS).fit(suite.fitting, suite.fit[0])
        images = pattern(suite.victim, suite.images, suite.labels)
        found, others = suite.victim.logits(images).argmax(axis=-1), suite.labels != unit
        suite.add(f"pattern_{unit}={eps:g}", (found == suite.labels).mean())
        taken = (found[others] == unit).mean()
        suite.add(f"pattern_{unit}={eps:g}", taken, "taken_for", int(others.sum()))
        deltas.append(pattern.delta)
    suite.arrays["patterns"] = np.stack(deltas)
    yield "pictures of the classes"
    drawing = replace(suite.victim, batch=len(classes))
    suite.arrays["pictures"] = pictures(drawing, suite.fit[0].mean(axis=0), classes)


def _checks(suite: Suite) -> Iterator[str]:
    """What `honesty` asks for and the curves do not say."""
    settings = suite.settings
    yield "pgd with twice the steps"
    twice = PGD(settings.shown, steps=2 * settings.steps)
    suite.under(f"{TWICE}={settings.shown:g}", twice)
    yield f"pgd {LARGE:g}"
    suite.under(f"pgd={LARGE:g}", PGD(LARGE, steps=settings.steps))
    for eps in settings.eps:
        yield f"fgsm in float32 {eps:g}"
        suite.under(f"{FLOAT32}={eps:g}", FGSM(eps, loss="cross_entropy_float32"))


def _corruptions(suite: Suite) -> Iterator[str]:
    yield "corruptions"
    for name, corruption in CORRUPTIONS.items():
        suite.keep(name, suite.under(f"corruption={name}", corruption))
    yield "shifts"
    for pixels in SHIFTS:
        directions = Shift(down=pixels), Shift(down=-pixels), Shift(right=pixels), Shift(right=-pixels)
        moved = [shift(None, suite.images, suite.labels) for shift in directions]
        suite.add(f"shift={pixels}", np.mean([suite.right(images).mean() for images in moved]))


def digits(split: Split, count: int) -> tuple[Images, np.ndarray]:
    """Some images of a split, from all over it, and their labels, int64 [n]."""
    rows = spread(len(split), count)
    return split.images[rows].astype(np.float32) / 255, split.labels[rows].astype(np.int64)
