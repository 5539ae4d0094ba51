"""Figures of papers, beside those measured here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lockstep.experiment import Experiment
from lockstep.report import text
from lockstep.report.grids import Grid, Group
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.names import condition, title

EPS = 0.3
"""Of every published figure here: linf, pixels in [0, 1]."""
TRAINING = "60,000 digits"
"""All that MNIST has for training, which the papers used."""


class Figure(NamedTuple):
    source: str
    network: str
    attack: str
    accuracy: float
    """In percent, of the 10,000 test digits of MNIST."""


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
    groups = [Group("Published", "all 10,000 test digits", [_published(figure) for figure in PUBLISHED])]
    for name in shown(robustness):
        note = how(robustness.results.config.experiments[name])
        rows = list(_measured(robustness, name))
        nothing = ("here", f"nothing measured at eps {EPS:g}", text.NONE, text.NONE, text.NONE)
        groups.append(Group(name, note, rows or [nothing]))
    return Grid(("source", "attack of eps 0.3", "accuracy, %", "95 % interval", "n seeds"), 2, groups)


def _published(figure: Figure) -> Sequence[str]:
    what = f"{figure.attack} on a network {figure.network}"
    return figure.source, what, f"{figure.accuracy:g}", "not given", text.NONE


def _measured(robustness: Robustness, name: str) -> list[Sequence[str]]:
    settings = robustness.settings
    strong = settings.strong
    attacks = {
        "no attack": "clean",
        "FGSM": condition("fgsm", EPS),
        f"PGD, {text.count(settings.steps, 'step')}": condition("pgd", EPS),
        f"worst case of {text.listed([title(each) for each in settings.names])}": condition("worst", EPS),
    }
    if strong and strong.eps == EPS:
        what = f"PGD, {text.count(strong.steps, 'step')}, {text.count(strong.restarts, 'restart')}"
        attacks[what] = condition("strong_pgd", EPS)
    rows: list[Sequence[str]] = []
    for what, where in attacks.items():
        value = robustness.estimate(name, where)
        if value.n:
            interval = text.interval(value, signed=False, digits=1)
            rows.append(("here", what, f"{value.mean:.1f}", interval, str(value.n)))
    return rows if len(rows) > 1 else []


def how(experiment: Experiment) -> str:
    """ "4,000 training images, 5 epochs, trained on PGD of eps 0.2, 3 steps" """
    adversarial = experiment.regularisation.adversarial
    said = f"{experiment.train_size:,} training images, {text.count(experiment.training.epochs, 'epoch')}"
    if adversarial is None:
        return said
    steps = f", {text.count(adversarial.steps, 'step')}" if adversarial.attack == "pgd" else ""
    return f"{said}, trained on {title(adversarial.attack)} of eps {adversarial.eps:g}{steps}"


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
        f"{'was' if robustness.images == 1 else 'were'} attacked, by PGD of "
        f"{text.count(robustness.settings.steps, 'step')}: a short attack leaves more right than a long one.",
    ]
    if weaker:
        said.append(
            f"{text.listed(weaker)}, less than the {EPS:g} of the table: nobody can expect the published "
            "figures there."
        )
    if not any(_trained_on(robustness, name) for name in robustness.experiments):
        said.append("No attacked experiment of this config trains on attacked images.")
    said.append("So the table says whether the order and the size of the effect are alike, and no more.")
    return said
