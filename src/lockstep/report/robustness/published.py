"""Figures of papers, beside those measured here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lockstep.attacks.gradient import MADRY as MADRY_STEP
from lockstep.attacks.gradient import stride
from lockstep.config_file import Step
from lockstep.experiment import Experiment
from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.robustness import bounds, checks
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.checks import Judged
from lockstep.report.robustness.names import title

EPS = 0.3
"""Of every published figure here: linf, pixels in [0, 1]."""
TRAINING = "60,000 digits"
"""All that MNIST has for training, which the papers used."""


class Figure(NamedTuple):
    source: str
    network: str
    attack: str
    accuracy: float
    """In percent, of all test digits."""


DIGITS = 10_000
"""For testing, of MNIST: what the papers attacked."""
MADRY = "Madry et al. 2018"
TRADES = "Zhang et al. 2019 (TRADES)"
PUBLISHED = (
    Figure(MADRY, "trained as usual", "FGSM", 6.4),
    Figure(MADRY, "trained on PGD", "no attack", 98.8),
    Figure(MADRY, "trained on PGD", "FGSM", 95.6),
    Figure(MADRY, "trained on PGD", "PGD, 40 steps", 93.2),
    Figure(MADRY, "trained on PGD", "PGD, 100 steps", 91.8),
    Figure(MADRY, "trained on PGD", "PGD, 100 steps, 20 restarts", 89.3),
    Figure(TRADES, "trained by TRADES", "no attack", 99.48),
    Figure(TRADES, "trained by TRADES", "AutoAttack", 92.81),
)
"""Madry, Makelov, Schmidt, Tsipras & Vladu (2018), "Towards deep learning models resistant to adversarial
attacks", ICLR; Zhang, Yu, Jiao, Xing, El Ghaoui & Jordan (2019), "Theoretically principled trade-off between
robustness and accuracy", ICML, its accuracy under AutoAttack from Croce & Hein (2020)."""


def shown(robustness: Robustness) -> list[str]:
    """The baseline, and experiments that train on attacked images."""
    return [
        name
        for name in robustness.experiments
        if name == robustness.baseline or _trained_on(robustness, name)
    ]


def _trained_on(robustness: Robustness, name: str) -> bool:
    return robustness.results.config.experiments[name].regularisation.adversarial is not None


def grid(robustness: Robustness) -> Grid:
    groups, judged = [Group("Published", rows=list(map(_published, PUBLISHED)))], checks.judge(robustness)
    for name in shown(robustness):
        note = how(robustness.results.config.experiments[name])
        rows = list(_measured(robustness, judged, name))
        nothing = ("here", f"nothing measured at eps {EPS:g}", *[text.NONE] * 5)
        groups.append(Group(name, note, rows or [nothing]))
    return Grid(("source", f"attack of eps {EPS:g}", "accuracy, %", *bounds.SPREAD), 2, groups)


def _published(figure: Figure) -> Sequence[str]:
    what = f"{figure.attack} on a network {figure.network}"
    spread = (bounds.over_images(figure.accuracy, DIGITS), "not given", f"{DIGITS:,}", text.NONE)
    return figure.source, what, f"{figure.accuracy:g}", *spread


def _measured(robustness: Robustness, judged: Sequence[Judged], name: str) -> list[Sequence[str]]:
    settings = robustness.settings
    strong = settings.strong
    attacks = {
        "clean": "no attack",
        "fgsm": "FGSM",
        "pgd": f"PGD, {steps(settings.steps, settings.step)}",
        "worst": f"worst case of {text.listed(bounds.counted(robustness, EPS))}",
        "autoattack_fast": title("autoattack_fast"),
    }
    if strong:
        often = text.count(strong.restarts, "restart")
        attacks |= {
            "strong_clean": "no attack",
            "strong_pgd": f"PGD, {steps(strong.steps, strong.step)}, {often}",
            "autoattack": title("autoattack"),
        }
    rows: list[Sequence[str]] = []
    for attack, what in attacks.items():
        kept = bounds.kept(robustness, judged, name, attack, EPS)
        if kept.value.n:
            rows.append(("here", what, kept.shown, *kept.spread))
    return rows if any(row[1] != "no attack" for row in rows) else []


def steps(count: int, step: Step | None) -> str:
    """ "40 steps of 0.062 eps", which is the default; "40 steps of 0.033 eps, as Madry et al." """
    size = MADRY_STEP if step == "madry" else step or stride(count)
    return f"{text.count(count, 'step')} of {size:.2g} eps{', as Madry et al.' * (step == 'madry')}"


def how(experiment: Experiment) -> str:
    """ "4,000 training images, 5 epochs, trained on PGD of eps 0.2, 3 steps" """
    adversarial = experiment.regularisation.adversarial
    said = f"{experiment.train_size:,} training images, {text.count(experiment.training.epochs, 'epoch')}"
    if adversarial is None:
        return said
    how = f", {steps(adversarial.steps, adversarial.step)}" if adversarial.attack == "pgd" else ""
    trades = f", by TRADES with weight {adversarial.trades:g}" if adversarial.trades else ""
    return f"{said}, trained on {title(adversarial.attack)} of eps {adversarial.eps:g}{how}{trades}"


def sentences(robustness: Robustness) -> list[str]:
    """What keeps the two from being compared like for like."""
    config = robustness.results.config
    sizes = sorted({config.experiments[name].train_size for name in shown(robustness)})
    trained = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    weaker = [
        f"{name} trained on attacks of eps {adversarial.eps:g}"
        for name in shown(robustness)
        if (adversarial := config.experiments[name].regularisation.adversarial) and adversarial.eps < EPS
    ]
    said = [
        f"The papers trained on {TRAINING} for many more steps and attacked 10,000 test digits. Here "
        f"networks saw {trained} images, and {text.count(robustness.images, 'test digit')} "
        f"{'was' if robustness.images == 1 else 'were'} attacked, unless the table says otherwise. A weaker "
        "attack leaves more right than a stronger one, so AutoAttack here stands against AutoAttack there.",
    ]
    if weaker:
        said.append(
            f"{text.listed(weaker)}, less than the {EPS:g} of the table: do not expect the published "
            "figures there."
        )
    if not any(_trained_on(robustness, name) for name in robustness.experiments):
        said.append("No attacked experiment of this config trains on attacked images.")
    said.append("So the table says whether the order and the size of the effect are alike, and no more.")
    return said
