"""What the certificates of a config's backends say, and why a tier has no verdict.

They are read as they are: `lockstep verify` may have run on another machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from lockstep.config import Config
from lockstep.config_file import TIERS
from lockstep.conformance.certificate import (
    FILES,
    WORST_FIRST,
    Certificate,
    Check,
    Curve,
    Diagnosis,
    Pair,
    asked,
    read,
)
from lockstep.discovery import REFERENCE, find
from lockstep.freshness import of_certificate, remark
from lockstep.report import text
from lockstep.report.runs import Side

NOT_MEASURED, NOT_ASKED = "not measured", "not asked for"
NOT_YET = "not measured yet: run snakemake"
LEFT = "left from before: the config does not ask for it"
FLOAT64, SAME_RUN = ("T1", "T2", "T5"), ("T1", "T2", "T3", "T4", "T5", "T8")
"""Tiers of float64; those that compare one run with the reference's."""
ONE_ULP = "one ulp"
"""How the labels of the band's curves start."""


@dataclass(frozen=True)
class Certified:
    """All that is known of one backend on one device."""

    side: Side
    certificates: dict[str, Certificate]
    """{name of the file: its certificate}."""
    absent: dict[str, str]
    """{tier: why it has no verdict}, of those that were asked for or whose file is damaged."""
    outdated: dict[str, str] = field(default_factory=dict)
    """{tier: why its verdict is of another time}."""

    @cached_property
    def checks(self) -> list[Check]:
        """In the order of the tiers; each tier from the file that is made for it."""
        return [check for name, made in self.certificates.items() for check in _own(name, made)]

    def verdict(self, tier: str) -> str:
        found = _worst(check for check in self.checks if check.tier == tier)
        return found or (NOT_MEASURED if tier in self.absent else NOT_ASKED)

    @property
    def worst(self) -> str:
        """The verdict over all tiers."""
        return _worst(self.checks) or NOT_MEASURED

    @property
    def falls_short(self) -> list[Check]:
        """What is out of step, or not written yet."""
        return [check for check in self.checks if check.verdict in ("out of step", "not yet")]

    @property
    def diagnosis(self) -> Diagnosis | None:
        return next((made.diagnosis for made in self.certificates.values() if made.diagnosis), None)

    @property
    def scope(self) -> str:
        """What the certificates are about, where that is less than float32 and float64."""
        return next((made.scope for made in self.certificates.values() if made.scope), "")

    @property
    def full_precision(self) -> bool:
        return all(made.precision == "float32" for made in self.certificates.values())

    @property
    def is_reference(self) -> bool:
        return self.side == (REFERENCE, "cpu")

    @property
    def float64(self) -> list[Check]:
        """Those of float64 that have a verdict."""
        judged = [check for check in self.checks if check.verdict != "reported"]
        return [check for check in judged if check.tier in FLOAT64]

    @property
    def same_run(self) -> bool:
        """Whether something was compared with the reference, and nothing falls short."""
        return not self.falls_short and any(c.limit is not None and c.tier in SAME_RUN for c in self.checks)

    @property
    def pairs(self) -> list[Pair]:
        return [pair for made in self.certificates.values() for pair in made.pairs]

    @property
    def accuracy(self) -> Check | None:
        """The line of T6 that compares accuracies."""
        return next((c for c in self.checks if c.tier == "T6" and c.quantity.startswith("accuracy")), None)

    def curve(self, label: str) -> Curve | None:
        """Of a run that came to its last step."""
        curves = [curve for made in self.certificates.values() for curve in made.curves]
        last = max((curve.steps[-1] for curve in curves), default=0)
        return next((c for c in curves if c.label == label and c.steps[-1] == last), None)

    @property
    def why_absent(self) -> list[str]:
        """["T5–T6: not measured yet: run snakemake"]"""
        return _by_reason(self.absent)

    @property
    def remarks(self) -> list[str]:
        """On what is out of date, then on what is absent."""
        return _by_reason(self.outdated) + self.why_absent

    @property
    def verdicts(self) -> str:
        """ "out of step in T1; in step in T0, T2–T4" """
        if not self.checks:
            return NOT_MEASURED
        found = {tier: self.verdict(tier) for tier in TIERS}
        judged = [v for v in WORST_FIRST if v != "reported" or self.worst == v]
        tiers = {v: [tier for tier in TIERS if found[tier] == v] for v in judged}
        parts = [f"{v} in {text.tiers(names)}" for v, names in tiers.items() if names]
        return "; ".join([*parts, *([self.scope] if self.scope else [])])

    @property
    def summary(self) -> str:
        """Verdicts, the diagnosis, and what is absent or out of date."""
        cause = [str(self.diagnosis)] if self.diagnosis else []
        return "; ".join([self.verdicts, *cause, *self.remarks])


def read_all(config: Config) -> list[Certified]:
    """Every backend on every device, in the config's order."""
    return [_read(config, Side(b, device)) for b in config.backends for device in config.devices]


def band(certified: Iterable[Certified]) -> list[Curve]:
    """The reference's runs with one weight moved by one ulp, from the first file that has them."""
    for each in certified:
        for made in each.certificates.values():
            if curves := [curve for curve in made.curves if curve.label.startswith(ONE_ULP)]:
                return curves
    return []


def largest(checks: Iterable[Check]) -> float | None:
    """The largest number that was measured, if any."""
    return max((check.measured for check in checks if check.measured is not None), default=None)


def _by_reason(reasons: Mapping[str, str]) -> list[str]:
    """reasons: {tier: reason}"""
    tiers: dict[str, list[str]] = {}
    for tier, reason in reasons.items():
        tiers.setdefault(reason, []).append(tier)
    return [f"{text.tiers(each)}: {reason}" for reason, each in tiers.items()]


def _own(name: str, certificate: Certificate) -> Iterator[Check]:
    return (check for check in certificate.checks if check.tier in FILES[name])


def _worst(checks: Iterable[Check]) -> str | None:
    found = {check.verdict for check in checks}
    return next((verdict for verdict in WORST_FIRST if verdict in found), None)


def _read(config: Config, side: Side) -> Certified:
    certificates: dict[str, Certificate] = {}
    absent: dict[str, str] = {}
    outdated: dict[str, str] = {}
    for name, tiers in FILES.items():
        wanted = asked(config, name)
        path = config.certificate(*side, name)
        if not path.exists():
            absent |= dict.fromkeys(wanted, find(side.backend).unusable(side.device) or NOT_YET)
            continue
        try:
            made = _of_side(side, path)
        except (OSError, ValueError) as error:
            what = (str(error) or type(error).__name__).splitlines()[0][:100]
            absent |= dict.fromkeys(wanted or tiers, f"damaged: {what}; delete {path} and run snakemake")
            continue
        if other := _of_another_config(config, made):
            absent |= dict.fromkeys(wanted or tiers, other)
            continue
        certificates[name] = made
        if why := remark(config, *side, partial(of_certificate, config, *side, name)):
            outdated |= dict.fromkeys((tier for tier in made.tiers if tier in tiers), why if wanted else LEFT)
        with_verdict = {check.tier for check in _own(name, made)}
        for tier in wanted:
            if tier not in with_verdict:
                absent[tier] = "not reached: a check before it failed" if tier in made.tiers else NOT_YET
    return Certified(side, certificates, absent, outdated)


def _of_side(side: Side, path: Path) -> Certificate:
    for certificate in read(path):
        if (certificate.backend, certificate.device) == side:
            _check_curves(certificate.curves)
            return certificate
    raise ValueError(f"it holds no certificate of {side.backend} on {side.device}")


def _check_curves(curves: Sequence[Curve]) -> None:
    """A run that diverged has a short curve; those of the band belong together."""
    lines = {tuple(curve.steps) for curve in curves if curve.label.startswith(ONE_ULP)}
    if len(lines) > 1 or any(len(c.steps) != len(c.travel) or not c.steps for c in curves):
        raise ValueError("its curves have other steps, or none")


def _of_another_config(config: Config, certificate: Certificate) -> str:
    """Why its steps or pairs are not those that the config asks for."""
    steps = {max(curve.steps[-1] for curve in certificate.curves)} if certificate.curves else set()
    counts = (
        ("steps", steps, config.conformance.steps),
        ("pairs", {len(certificate.pairs)} - {0}, config.conformance.pairs),
    )
    for noun, found, wanted in counts:
        if found - {wanted}:
            return f"measured with {max(found)} {noun}, not the config's {wanted}: run snakemake again"
    return ""
