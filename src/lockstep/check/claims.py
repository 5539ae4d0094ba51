"""docs/claims.yaml: what is claimed of runs, as a person writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from lockstep.check import measures
from lockstep.config_file import Tier
from lockstep.errors import LockstepError
from lockstep.settings import Settings
from lockstep.yaml_files import read as read_yaml
from lockstep.yaml_files import validate

Positive = Annotated[float, Field(gt=0)]


class About(Settings):
    """What every claim has."""

    claim: str = Field(min_length=1, description="a sentence")
    catches: str = Field(min_length=1, description="a wrong run that it fails")


class Consistent(About):
    """Of every run: metrics.json says what its logits say, and its labels are those of the data."""

    kind: Literal["consistent"]


class InStep(About):
    """Of every backend: its certificates, in those of these tiers that the config asks for."""

    kind: Literal["in_step"]
    tiers: list[Tier] = Field(min_length=1)


class Measured(About):
    """Of the experiments of one reference."""

    reference: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="results/reference/NAME.json")
    measure: str = Field(description="accuracy, cross_entropy, accuracy under pgd=0.3, ...")

    @field_validator("measure")
    @classmethod
    def _known(cls, name: str) -> str:
        measures.find(name)
        return name


class Reproduces(Measured):
    """Every experiment on every backend, against the reference's runs from the same seeds."""

    kind: Literal["reproduces"]
    margin: Positive = Field(description="of the mean difference, in points or nats")
    seed: Positive = Field(description="what a single seed may differ by")
    why: str = Field(min_length=1, description="the reason for these two")


class EqualBackends(Measured):
    """All pairs of backends of one experiment, from the same seeds."""

    kind: Literal["equal_backends"]
    experiment: str
    margin: Positive
    seed: Positive
    why: str = Field(min_length=1)


class Effect(Measured):
    """An experiment minus the baseline from the same seeds: its sign."""

    kind: Literal["effect"]
    experiment: str
    baseline: str = "baseline"
    sign: Literal["higher", "lower"]


class Accuracy(Measured):
    """Of accuracies, which lie between 0 and 100 %."""

    experiment: str

    @field_validator("measure")
    @classmethod
    def _accuracy(cls, name: str) -> str:
        if "accuracy" not in name:
            raise ValueError("expected an accuracy")
        return name


class Bound(Accuracy):
    """Each run's accuracy is at most or at least so much."""

    kind: Literal["bound"]
    at_least: float = Field(default=0, ge=0, le=100, description="percent")
    at_most: float = Field(default=100, ge=0, le=100)

    @model_validator(mode="after")
    def _an_end(self) -> Bound:
        if self.at_least == 0 and self.at_most == 100:
            raise ValueError("give at_least or at_most")
        return self


class Published(Accuracy):
    """Each run's accuracy is a published figure but for a tolerance."""

    kind: Literal["published"]
    figure: float = Field(ge=0, le=100, description="percent")
    tolerance: Positive = Field(description="points")
    source: str = Field(min_length=1)
    why: str = Field(min_length=1, description="why ours may differ")


Claim = Annotated[
    Consistent | InStep | Reproduces | EqualBackends | Effect | Bound | Published,
    Field(discriminator="kind"),
]


class Claims(Settings):
    claims: list[Claim] = Field(min_length=1)


def read(path: Path) -> Claims:
    """Raises LockstepError, with file and key."""
    if not path.is_file():
        raise LockstepError(f"{path}: no such file; run in the checkout, or name one with --claims")
    return validate(Claims, read_yaml(path), str(path))
