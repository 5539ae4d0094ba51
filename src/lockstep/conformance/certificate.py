"""What `lockstep verify` found: the tiers, their checks, the verdict.

T0  the same bits twice, and a fence that waits
T1  float64, step 0: logits, loss, every weight gradient, input gradient
T2  float64, twenty training steps: travel, moments, loss; and all of T1 again after them
T3  float32, step 0
T4  float32, a network without kinks, 100 steps on digits: loss
T5  float64, the classroom's network, 500 steps on digits: travel
T6  accuracy and cross-entropy, paired by seed: two one-sided tests
T7  float32, one network attacked: gradient signs, adversarial images, survivors of both
T8  float32, as T5: travel, against the one-ulp band
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from lockstep.config import Config
from lockstep.config_file import TIERS, Tier
from lockstep.results import SCHEMA, write_json
from lockstep.settings import Settings

QUICK = TIERS[:5]
"""Those that take about a minute."""
FILES: dict[str, tuple[Tier, ...]] = {
    "quick": QUICK,
    "travel": ("T5",),
    "seeds": ("T6",),
    "attacks": ("T7",),
    "band": ("T8",),
}
"""{certificate that the pipeline makes by a job of its own: its tiers}."""

Verdict = Literal["in step", "out of step", "cannot tell", "not yet", "reported"]
WORST_FIRST: tuple[Verdict, ...] = ("out of step", "not yet", "cannot tell", "in step", "reported")
COLOURS: dict[Verdict, str] = {
    "in step": "brightgreen",
    "out of step": "red",
    "not yet": "yellow",
    "cannot tell": "yellow",
    "reported": "lightgrey",
}
"""Of a badge, as shields.io calls them."""
GOOD: tuple[Verdict, ...] = ("in step", "reported", "cannot tell")


class Check(Settings):
    """One line: a quantity of a tier, the worst that was measured, and what is allowed."""

    tier: str
    quantity: str
    measured: float | None
    """None where no number says it: see the note."""
    limit: float | None = None
    verdict: Verdict
    note: str = ""


class Diagnosis(Settings):
    """The first layer and quantity out of step, and the likeliest cause where its pattern is known."""

    spec: str
    layer: str
    quantity: str
    weights: str = ""
    """Of Adam's moments and of travel: in which weights."""
    cause: str = ""

    def __str__(self) -> str:
        weights = f", in {self.weights}" if self.weights else ""
        cause = f"; likeliest cause: {self.cause}" if self.cause else ""
        of = "" if self.quantity.startswith(self.layer) else f" of {self.layer}"
        return f"first out of step: {self.quantity}{of}{weights} (spec {self.spec!r}){cause}"


class Curve(Settings):
    """Travel error by step."""

    label: str
    steps: list[int]
    travel: list[float]


class Pair(Settings):
    """Two runs from one seed, evaluated on the test images."""

    seed: int
    accuracy: tuple[float, float]
    """Reference, backend: shares between 0 and 1."""
    cross_entropy: tuple[float, float]
    churn: float


class Certificate(Settings):
    """In a file, what follows from the fields stands beside them, for other programs; it is not read."""

    model_config = ConfigDict(extra="ignore")

    backend: str
    device: str
    threads: int
    dtypes: list[str]
    """Those that the device has: without float64 the certificate covers float32 only."""
    precision: str = "float32"
    """Of the arithmetic of float32 runs: below float32, limits are wider and float64 says nothing."""
    tiers: list[str]
    checks: list[Check]
    diagnosis: Diagnosis | None = None
    curves: list[Curve]
    pairs: list[Pair]
    environment: dict[str, str]
    versions: dict[str, str]
    hash: str
    """Of the source, settings and versions that it depends on: see `identity.py`."""
    made: str
    """When, in UTC: ISO 8601."""
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The worst of its checks; nothing is in step that was not judged."""
        found = {check.verdict for check in self.checks}
        return next((verdict for verdict in WORST_FIRST if verdict in found), "cannot tell")

    @property
    def scope(self) -> str:
        """What it is about, where that is less than float32 and float64."""
        if self.precision != "float32":
            return f"in {self.precision}"
        return "float32 only" if self.dtypes and "float64" not in self.dtypes else ""

    @property
    def badge(self) -> dict[str, Any]:
        """For shields.io: https://shields.io/badges/endpoint-badge."""
        late = {check.tier for check in self.checks if check.verdict == "out of step"}
        where = {"in step": f", {_ranges(self.tiers)}", "out of step": f" in {_ranges(late)}"}
        scope = f", {self.scope}" if self.scope else ""
        message = f"{self.verdict}{where.get(self.verdict, '')}{scope}"
        return {"schemaVersion": 1, "label": "lockstep", "message": message, "color": COLOURS[self.verdict]}

    @property
    def summary(self) -> str:
        scope = f", {self.scope}" if self.scope else ""
        return f"{self.verdict}{scope} ({', '.join(self.tiers)}; {self.seconds:.0f} s)"

    @property
    def falls_short(self) -> bool:
        return self.verdict not in GOOD


FOLLOWS = ("verdict", "scope", "badge")
"""What a file says beside the fields."""


def _ranges(tiers: Collection[str]) -> str:
    """["T0", "T1", "T2", "T5"] -> "T0-T2, T5"."""
    found: list[list[str]] = []
    for tier in TIERS:
        if tier not in tiers:
            found.append([])
        elif found and found[-1]:
            found[-1].append(tier)
        else:
            found.append([tier])
    return ", ".join("-".join(dict.fromkeys((run[0], run[-1]))) for run in found if run)


class _File(Settings):
    schema_: int = Field(alias="schema", ge=SCHEMA, le=SCHEMA)
    certificates: list[Certificate]


def write(path: Path, certificates: list[Certificate]) -> None:
    def told(made: Certificate) -> dict[str, Any]:
        return {name: getattr(made, name) for name in FOLLOWS} | made.model_dump(mode="json")

    write_json(path, {"certificates": [told(made) for made in certificates]})


def made_by(path: Path) -> str | None:
    """The hash that a certificate's file was made by; None if there is none."""
    try:
        (made,) = read(path)
    except (OSError, ValueError):
        return None
    return made.hash


def asked(config: Config, name: str) -> tuple[Tier, ...]:
    """Those tiers of a file that a config asks for."""
    return tuple(tier for tier in FILES[name] if tier in config.conformance.tiers)


def read(path: Path) -> list[Certificate]:
    """The certificates of a file that `write` wrote.  Raises OSError or ValueError."""
    return _File.model_validate_json(path.read_text()).certificates
