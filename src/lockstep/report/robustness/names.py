"""What the page calls attacks, and how it draws them."""

from __future__ import annotations

from lockstep.report.style import PALETTE

TITLES = {
    "clean": "no attack",
    "fgsm": "FGSM",
    "bim": "BIM",
    "pgd": "PGD",
    "pgd_margin": "PGD (margin)",
    "mifgsm": "MI-FGSM",
    "universal": "one pattern for all",
    "worst": "worst case",
    "uniform_noise": "uniform noise",
    "gaussian_noise": "Gaussian noise",
    "salt_and_pepper": "salt and pepper",
    "sticker": "sticker",
}
NOISES = ("uniform_noise", "gaussian_noise", "salt_and_pepper")
"""Controls: they know nothing of the network."""


def title(attack: str) -> str:
    """Corruptions are called what they are called."""
    return TITLES.get(attack, attack)


def condition(attack: str, level: str | float) -> str:
    return f"{attack}={level if isinstance(level, str) else format(level, 'g')}"


COLOURS = dict(
    zip(
        ("pgd", "fgsm", "uniform_noise", "universal", "pgd_margin", "gaussian_noise", "salt_and_pepper"),
        PALETTE,
        strict=False,
    )
) | {"bim": PALETTE[7], "mifgsm": PALETTE[5]}
