"""What files call conditions, and what the page calls attacks."""

from __future__ import annotations

TITLES = {
    "clean": "no attack",
    "fgsm": "FGSM",
    "bim": "BIM",
    "pgd": "PGD",
    "pgd_margin": "PGD (margin)",
    "mifgsm": "MI-FGSM",
    "apgd": "APGD",
    "apgd_targeted": "APGD, targeted",
    "autoattack_fast": "AutoAttack (fast)",
    "autoattack": "AutoAttack",
    "strong_pgd": "PGD with restarts",
    "universal": "one pattern for all",
    "worst": "worst case",
    "uniform_noise": "uniform noise",
    "gaussian_noise": "Gaussian noise",
    "salt_and_pepper": "salt and pepper",
    "sticker": "sticker",
}
NOISES = ("uniform_noise", "gaussian_noise", "salt_and_pepper")
"""Controls: they know nothing of the network."""
FAST = ("apgd", "apgd_targeted", "autoattack_fast")
"""At the shown eps, beside the attacks of the config: what APGD leaves, what it and targeted APGD leave, and
that again as the number of the set."""
STRONG = (
    "strong_clean",
    "strong_pgd",
    "strong_apgd",
    "strong_apgd_targeted",
    "strong_fab",
    "strong_square",
    "autoattack",
)
"""Where a config's `strong` names the run, on its images: PGD with restarts; and AutoAttack, part by part."""


def title(attack: str) -> str:
    """Corruptions are called what they are called."""
    return TITLES.get(attack, attack)


def condition(attack: str, level: str | float) -> str:
    """ "pgd=0.2"; images that nobody attacked have no level: "clean", "strong_clean"."""
    if attack.endswith("clean"):
        return attack
    return f"{attack}={level if isinstance(level, str) else format(level, 'g')}"
