"""A config file as a person writes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from lockstep.settings import Count, Settings, WrittenOut

Device = Literal["cpu", "gpu"]
Tier = Literal["T0", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8"]
TIERS: tuple[Tier, ...] = get_args(Tier)
Folder = Annotated[str, Field(pattern=r"^[^\x00{}]*[^\x00{}/.]$"), WrittenOut]


class Conformance(Settings):
    """Which tiers of the proof the pipeline runs for each backend and device; see docs/contract.md."""

    tiers: list[Tier] = Field(default=[*TIERS[:6], "T7"], description="by default all but T6 and T8")
    steps: Count = Field(default=500, description="of T5 and T8, which cannot tell with fewer")
    pairs: Count = Field(default=8, description="of T6; fewer cannot tell")


Seeds = list[Annotated[int, Field(ge=0, lt=2**63)]]


Key = tuple[str, str, str, int]
"""(experiment, backend, device, seed) of a training run."""


class Block(Settings):
    """Training runs: every combination of what it lists; what it leaves out is all there is."""

    experiments: list[str] | None = Field(default=None, min_length=1)
    backends: list[str] | None = Field(default=None, min_length=1)
    devices: list[Device] | None = Field(default=None, min_length=1)
    seeds: Seeds | None = Field(default=None, min_length=1)

    def holds(self, run: Key) -> bool:
        lists = self.experiments, self.backends, self.devices, self.seeds
        return all(listed is None or value in listed for listed, value in zip(lists, run, strict=True))


class Runs(Block):
    """A block, or learning curves of it."""

    train_sizes: dict[Annotated[str, Field(pattern=r"^[1-9]\d*$")], dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        description="learning curves: run each experiment on fewer images, {size: what else changes}",
    )


Aimed = Literal["fgsm", "bim", "pgd", "pgd_margin", "mifgsm"]
Eps = Annotated[float, Field(gt=0, le=1)]


Step = Annotated[float, Field(gt=0)] | Literal["madry"]


class Strong(Settings):
    """What stands beside published figures, on runs that are worth it: AutoAttack, and PGD with restarts."""

    runs: list[Block] = Field(min_length=1)
    eps: Eps = 0.3
    images: Count = Field(default=1000, description="test images, at most")
    steps: Count = Field(default=100, description="of PGD")
    restarts: Count = Field(default=20, description="of PGD")
    step: Step | None = Field(default=None, description="of PGD, as below")


class Attacks(Settings):
    """Which finished runs are attacked, and how; see docs/attacks.md."""

    runs: list[Block] = Field(default=[Block()], min_length=1, description="default: all that are trained")
    images: Count = Field(default=500, description="test images, at most")
    names: list[Aimed] = Field(
        default=["fgsm", "pgd", "pgd_margin"], min_length=1, description="an image is safe if it survives all"
    )
    eps: list[Eps] = Field(default=[0.05, 0.1, 0.2, 0.3], min_length=1, description="of pixels in [0, 1]")
    shown: Eps = Field(default=0.2, description="the eps of pictures, patterns and transfer")
    steps: Count = Field(default=40, description="of iterated attacks")
    step: Step | None = Field(
        default=None,
        description="of PGD and its kin, in units of eps; default: 2.5 / steps; madry: 0.01 / 0.3, as theirs",
    )
    strong: Strong | None = None

    def strong_of(self, run: Key) -> Strong | None:
        """What a run is attacked with beside the others, if anything."""
        return self.strong if self.strong and any(block.holds(run) for block in self.strong.runs) else None

    def of(self, run: Key) -> dict[str, Any]:
        """All that matters to a run, in plain JSON."""
        strong = self.strong_of(run)
        how = self.model_dump(mode="json", exclude={"runs", "strong"})
        return how | {"strong": strong and strong.model_dump(mode="json", exclude={"runs"})}


class Speed(Settings):
    """Which backends are timed, in interleaved rounds; see docs/speed.md."""

    backends: Annotated[list[str], Field(min_length=1)] | Literal["all"] = Field(
        default="all", description="the first is what the others are compared with"
    )
    threads: list[Count] = Field(default=[1], min_length=1, description="each is a job of its own")
    batch_size: Count | None = Field(default=None, description="default: the baseline's")
    rounds: Count = Field(default=5, description="fewer leave wide intervals")
    peers: bool = Field(default=False, description="time the scripts in benchmarks/peers beside them")


class ConfigFile(Settings):
    """The file as a person writes it."""

    results: Folder = Field(description="folder for the raw data of runs")
    reports: Folder = Field(description="folder for tables and pages")
    backends: Annotated[list[str], Field(min_length=1)] | Literal["all"] = Field(
        default="all", description="names, or all that are found; torch+compile is torch with an option"
    )
    plugins: list[Folder] = Field(default=[], description="folders with further plugins, as backends/")
    devices: list[Device] = Field(default=["cpu"], min_length=1)
    seeds: Seeds = Field(min_length=1)
    conformance: Conformance = Conformance()
    tensorboard: Folder | None = Field(default=None, description="folder for TensorBoard's event files")
    base: dict[str, Any] = Field(description="settings that every experiment starts from")
    experiments: dict[str, dict[str, Any]] = Field(
        min_length=1, description="name: what this experiment changes in the base"
    )
    baseline: str | None = Field(
        default=None, description="the experiment that the others are compared with; default: the first"
    )
    runs: list[Runs] = Field(
        default=[Runs()], min_length=1, description="which of them are trained; default: every combination"
    )
    attacks: Attacks | None = Field(default=None, description="attack trained runs; default: none")
    speed: Speed | None = Field(default=None, description="time the baseline; default: not timed")
