"""What is measured of a finished run under attack, and the pictures that go with it.

Accuracies have conditions such as "pgd=0.1": what was done to the images, and at which size.  What is one for
all images (a universal perturbation, a sticker, patterns) is fitted to validation images, and measured on
test images that it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from lockstep.attacks.apgd import APGD
from lockstep.attacks.attack import Attack
from lockstep.attacks.autoattack import FAST_STEPS, FAST_TARGETS, AutoAttack, Stage
from lockstep.attacks.corruptions import CORRUPTIONS, Corruption, Shift
from lockstep.attacks.fab import FAB
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.honesty import LARGE, saturated
from lockstep.attacks.named import named, taken
from lockstep.attacks.noisy import Noisy
from lockstep.attacks.patch import Patch
from lockstep.attacks.patterns import MaximumActivation, Universal, pictures
from lockstep.attacks.scores import accuracy_under, unsteadiness
from lockstep.attacks.square import Square
from lockstep.attacks.standing import packed, right
from lockstep.attacks.strength import CONTROLS, FLOAT32, OF_NAMES, STRONG, WORST
from lockstep.attacks.victim import Victim
from lockstep.backend import Backend
from lockstep.config_file import Attacks, Strong
from lockstep.data.dataset import Split, spread
from lockstep.evaluation import Measurement, row

NOISES = (CONTROLS["linf"], "gaussian_noise", "salt_and_pepper")
"""At every eps."""
SHIFTS = (1, 2, 3, 4, 6, 8)
"""Pixels; the mean of four directions."""
STICKER = 8
"""Pixels along a side."""
FIT = 50
"""Validation images that what is one for all images is fitted to,"""
PATTERN_FIT, PATTERN_STEPS = 20, 10
"""but for the patterns of classes, of which there are many: each raises an output, which is easier."""
DRAWS = 8
"""Of the noise at inference, whose mean gradient is followed."""
UNITS = 10
"""Of each hidden layer that are drawn."""
TRANSFERRED = 200
"""Attacked images that other networks are shown, at most."""
QUERIES = 100
"""Of Square, as a check: masked gradients show in the first hundred."""
DISTANCES = 200
"""Images whose nearest misclassified one is looked for, at most."""

Images = np.ndarray
"""float32 [n, H, W, C] in [0, 1]."""
Piece = tuple[str, Callable[[], None]]
"""What a piece of work is, and the work."""


@dataclass
class Suite:
    """One victim, the digits that it is measured on, and what has been found so far."""

    victim: Victim
    classes: int
    images: Images
    labels: np.ndarray
    fit: tuple[Images, np.ndarray]
    part: Callable[[str], Backend]
    """The network up to a layer."""
    hidden: Mapping[str, int]
    """{layer with weights: units}, without the last."""
    settings: Attacks
    strong: Strong | None
    others: tuple[Images, np.ndarray]
    """Images and labels that `strong` is measured on; none without it."""
    image_noise: float
    """What the network was trained with."""
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

    @cached_property
    def survivors(self) -> dict[float, np.ndarray]:
        """{eps: bool [n]}: right as it is, and under every attack of this eps so far."""
        standing = right(self.victim.logits(self.images), self.labels)
        return {eps: standing.copy() for eps in self.settings.eps}

    @cached_property
    def stages(self) -> Iterator[Stage]:
        """Of the standard's full set; each next one takes its time."""
        assert self.strong
        return AutoAttack(self.strong.eps).stages(self.victim, *self.others, self.seed)

    @property
    def pgd(self) -> dict[str, Any]:
        """How the config has PGD and its kin."""
        return {"steps": self.settings.steps, "step": self.settings.step}

    def right(self, logits: np.ndarray) -> np.ndarray:
        return right(logits, self.labels)

    def add(self, condition: str, value: float, metric: str = "accuracy", n: int | None = None) -> None:
        self.measurements.append(row("test", metric, value, n or len(self.labels), condition))

    def under(self, condition: str, attack: Attack) -> tuple[Images, np.ndarray]:
        """Attacked images, and what the network says to them; its accuracy is added."""
        images = attack(self.victim, self.images, self.labels, self.seed)
        logits = self.victim.logits(images)
        self.add(condition, self.right(logits).mean())
        return images, logits

    def keep(self, name: str, images: Images, logits: np.ndarray) -> None:
        """The examples, as an attack leaves them, with what the network says to them."""
        self.arrays[f"examples/{name}"] = images[self.examples]
        self.arrays[f"logits/{name}"] = logits[self.examples]


def pieces(suite: Suite) -> Iterator[Piece]:
    """All that is to be done, in its order; nothing is done yet."""
    settings, strong = suite.settings, suite.strong
    yield "clean", partial(_clean, suite)
    for eps in settings.eps:
        for name in (*settings.names, *NOISES):
            yield f"{name} {eps:g}", partial(_point, suite, name, eps)
        yield f"universal {eps:g}", partial(_universal, suite, eps)
        yield f"{FLOAT32} {eps:g}", partial(_fgsm_in_float32, suite, eps)
    yield "autoattack_fast", partial(_autoattack_fast, suite)
    yield "who survives all", partial(_worst, suite)
    for name, attack in further(settings).items():
        yield name, partial(_further, suite, name, attack)
    yield f"apgd {LARGE:g}", partial(_any_image, suite)
    yield "sticker", partial(_sticker, suite)
    yield "patterns of the classes", partial(_patterns, suite)
    yield "pictures of the classes", partial(_pictures, suite)
    for layer, units in suite.hidden.items():
        yield f"pictures of {layer}", partial(_unit_pictures, suite, layer, units)
    for name, corruption in CORRUPTIONS.items():
        yield name, partial(_corruption, suite, name, corruption)
    for pixels in SHIFTS:
        yield f"shift {pixels}", partial(_shift, suite, pixels)
    if suite.image_noise:
        yield "noise at inference", partial(_noisy, suite)
    if strong:
        for name in AutoAttack(strong.eps).parts():
            yield f"strong {name}", partial(_strong_stage, suite, strong)
        yield "strong distances", partial(_strong_distances, suite, strong)
        yield "strong pgd", partial(_strong_pgd, suite, strong)


def further(settings: Attacks) -> dict[str, Attack]:
    """What is tried on who survives all, to see whether that was enough."""
    eps = settings.shown
    return {
        "more_steps": APGD(eps, steps=2 * FAST_STEPS),
        "restart": PGD(eps, steps=settings.steps),
        "other_loss": APGD(eps, steps=FAST_STEPS, loss="dlr"),
        "square": Square(eps, queries=QUERIES),
    }


def gradients(settings: Attacks, strong: Strong | None, classes: int) -> int:
    """About how many gradients of one image it takes, if half of the images survive; logits alone take a
    third of one."""
    targets = min(FAST_TARGETS, classes - 1)
    iterated = sum(name != "fgsm" for name in settings.names)
    test = settings.steps * len(settings.eps) * iterated + FAST_STEPS * (1 + targets / 2)
    survivors = (3 * FAST_STEPS + settings.steps + QUERIES / 3) / 2
    fit = FIT * settings.steps * (len(settings.eps) + 1) + PATTERN_FIT * PATTERN_STEPS * classes
    return int(
        settings.images * (test + survivors) + fit + (_strong_gradients(strong, classes) if strong else 0)
    )


def _strong_gradients(strong: Strong, classes: int) -> float:
    targets = min(FAB(strong.eps).targets, classes - 1)
    apgd, fab = APGD(strong.eps).steps, FAB(strong.eps).steps * targets * 4 / 3
    standing = (apgd * (1 + targets) + fab + Square(strong.eps).queries / 3) / 2
    distances = min(strong.images, DISTANCES) * fab
    return strong.images * (standing + strong.steps * strong.restarts) + distances


def _clean(suite: Suite) -> None:
    logits = suite.victim.logits(suite.images)
    suite.add("clean", suite.right(logits).mean())
    suite.add("clean", saturated(logits, suite.labels), "saturated")
    suite.add("clean", unsteadiness(suite.victim, suite.images), "unsteady")
    suite.arrays["labels"] = suite.labels[suite.examples]
    suite.keep("clean", suite.images, logits)


def _point(suite: Suite, name: str, eps: float) -> None:
    """One attack or noise at one eps."""
    settings = suite.settings
    images, logits = suite.under(f"{name}={eps:g}", named(name, eps, **taken(name, suite.pgd)))
    if name in settings.names:
        suite.survivors[eps] &= suite.right(logits)
    if eps == settings.shown:
        suite.keep(name, images, logits)
    if (name, eps) == ("pgd", settings.shown):
        suite.arrays["transfer/images"] = images[:TRANSFERRED]
        suite.arrays["transfer/labels"] = suite.labels[:TRANSFERRED]


def _autoattack_fast(suite: Suite) -> None:
    """The standard's first attacks at the shown eps, after those of the config."""
    eps, name = suite.settings.shown, "autoattack_fast"
    suite.add(f"{OF_NAMES}={eps:g}", suite.survivors[eps].mean())
    for stage in AutoAttack(eps, fast=True).stages(suite.victim, suite.images, suite.labels, suite.seed):
        suite.add(f"{stage.name}={eps:g}", stage.standing.mean())
        attacked, standing = stage.images, stage.standing
    suite.add(f"{name}={eps:g}", standing.mean())
    suite.survivors[eps] &= standing
    suite.keep(name, attacked, suite.victim.logits(attacked))


def _worst(suite: Suite) -> None:
    """The share of images that are right under every attack that looks at the network.

    What is wrong within one eps is wrong within every larger one.
    """
    standing = np.ones(len(suite.labels), bool)
    for eps in sorted(suite.survivors):
        standing = suite.survivors[eps] = suite.survivors[eps] & standing
        suite.add(f"{WORST}={eps:g}", standing.mean())
    shown = suite.settings.shown
    suite.arrays[f"standing/{WORST}={shown:g}"] = suite.survivors[shown]


def _further(suite: Suite, name: str, attack: Attack) -> None:
    """The share of all images that survive one attack more; nobody else is attacked."""
    eps, standing = suite.settings.shown, suite.survivors[suite.settings.shown].copy()
    if standing.any():
        images, labels = suite.images[standing], suite.labels[standing]
        victim = packed(suite.victim, len(labels))
        # Numbers beyond those of the images: random starts that none of them has had.
        attacked = attack(victim, images, labels, suite.seed, first=len(suite.labels))
        standing[standing] = right(victim.logits(attacked), labels)
    suite.add(f"{name}={eps:g}", standing.mean())


def _universal(suite: Suite, eps: float) -> None:
    pattern = Universal(eps, suite.settings.steps).fit(suite.fitting, *suite.fit)
    attacked = suite.under(f"universal={eps:g}", pattern)
    if eps == suite.settings.shown:
        suite.arrays["universal"] = pattern.delta
        suite.keep("universal", *attacked)


def _fgsm_in_float32(suite: Suite, eps: float) -> None:
    suite.under(f"{FLOAT32}={eps:g}", FGSM(eps, loss="cross_entropy_float32"))


def _any_image(suite: Suite) -> None:
    suite.under(f"apgd={LARGE:g}", APGD(LARGE, steps=FAST_STEPS))


def _strong_stage(suite: Suite, strong: Strong) -> None:
    """The next attack of the standard's full set, on who survived those before."""
    stage, labels = next(suite.stages), suite.others[1]
    names = [STRONG + stage.name]
    if stage.name == "apgd":
        clean = right(suite.victim.logits(suite.others[0]), labels)
        suite.add(f"{STRONG}clean", clean.mean(), n=len(labels))
    if stage.name == "square":
        names.append("autoattack")
        suite.arrays[f"standing/autoattack={strong.eps:g}"] = stage.standing
    for name in names:
        suite.add(f"{name}={strong.eps:g}", stage.standing.mean(), n=len(labels))


def _strong_distances(suite: Suite, strong: Strong) -> None:
    """From some of the images, whether or not they survived, to the nearest that is wrong."""
    images, labels = (each[:DISTANCES] for each in suite.others)
    suite.arrays["strong/distances"] = FAB(strong.eps).nearest(suite.victim, images, labels)[1]


def _strong_pgd(suite: Suite, strong: Strong) -> None:
    attack = PGD(strong.eps, steps=strong.steps, step=strong.step, restarts=strong.restarts)
    accuracy = accuracy_under(attack, suite.victim, *suite.others, suite.seed)
    suite.add(f"{STRONG}pgd={strong.eps:g}", accuracy, n=len(suite.others[1]))


def _sticker(suite: Suite) -> None:
    sticker = Patch(STICKER, steps=suite.settings.steps).fit(suite.fitting, *suite.fit, suite.seed)
    suite.arrays["sticker"] = sticker.patch
    suite.keep("sticker", *suite.under(f"sticker={STICKER}", sticker))


def _patterns(suite: Suite) -> None:
    """Of each class: the share of the other classes' images that its pattern turns into it."""
    eps, seen, deltas = suite.settings.shown, suite.fit[0][:PATTERN_FIT], []
    fitting = replace(suite.victim, batch=len(seen))
    for unit in range(suite.classes):
        pattern = MaximumActivation(unit, eps, PATTERN_STEPS).fit(fitting, seen)
        images = pattern(suite.victim, suite.images, suite.labels)
        found, others = suite.victim.logits(images).argmax(axis=-1), suite.labels != unit
        suite.add(f"pattern_{unit}={eps:g}", (found == suite.labels).mean())
        taken = (found[others] == unit).mean()
        suite.add(f"pattern_{unit}={eps:g}", taken, "taken_for", int(others.sum()))
        deltas.append(pattern.delta)
    suite.arrays["patterns"] = np.stack(deltas)


def _pictures(suite: Suite) -> None:
    drawing = replace(suite.victim, batch=suite.classes)
    suite.arrays["pictures"] = pictures(drawing, suite.fit[0].mean(axis=0), range(suite.classes))


def _unit_pictures(suite: Suite, layer: str, units: int) -> None:
    """Of the first units of a hidden layer, before its activation: a relu that is 0 has no gradient."""
    drawn = range(min(units, UNITS))
    drawing = replace(suite.victim, backend=suite.part(layer), batch=len(drawn))
    suite.arrays[f"pictures/{layer}"] = pictures(drawing, suite.fit[0].mean(axis=0), drawn)


def _corruption(suite: Suite, name: str, corruption: Corruption) -> None:
    suite.keep(name, *suite.under(f"corruption={name}", corruption))


def _shift(suite: Suite, pixels: int) -> None:
    directions = Shift(down=pixels), Shift(down=-pixels), Shift(right=pixels), Shift(right=-pixels)
    moved = [shift(None, suite.images, suite.labels) for shift in directions]
    right = [suite.right(suite.victim.logits(images)).mean() for images in moved]
    suite.add(f"shift={pixels}", np.mean(right))


def _noisy(suite: Suite) -> None:
    """The noise of training at inference too: PGD along one draw's gradient, and along the mean of some."""
    eps = suite.settings.shown
    for name, draws in (("noisy_pgd", 1), ("noisy_pgd_mean", DRAWS)):
        victim = Noisy(**vars(suite.victim), level=suite.image_noise, draws=draws, seed=suite.seed)
        images = PGD(eps, **suite.pgd)(victim, suite.images, suite.labels, suite.seed)
        suite.add(f"{name}={eps:g}", suite.right(victim.logits(images)).mean())
    suite.add("noisy_clean", suite.right(victim.logits(suite.images)).mean())


def digits(split: Split, count: int) -> tuple[Images, np.ndarray]:
    """Some images of a split, from all over it, and their labels, int64 [n]."""
    rows = spread(len(split), count)
    return split.images[rows].astype(np.float32) / 255, split.labels[rows].astype(np.int64)
