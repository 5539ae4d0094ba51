"""What `lockstep time` left on disk for a config, and why a file cannot be shown.

Like certificates, files are read as they are: they are compared with the config's settings, and may be of
another machine, source or version than those here, which is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import product
from typing import Any

from lockstep.config import Config
from lockstep.errors import LockstepError
from lockstep.freshness import of_speed, remark
from lockstep.report.runs import Results
from lockstep.report.speed.timings import RATE, Timing, Timings
from lockstep.results import SCHEMA
from lockstep.speed.request import of_config, timed


def read(results: Results) -> Timings | None:
    """None where the config asks for no times."""
    settings = results.config.speed
    if settings is None:
        return None
    wanted = product(results.config.devices, settings.threads)
    return Timings(results, [_read(results.config, *each) for each in wanted])


def _read(config: Config, device: str, threads: int) -> Timing:
    path = config.speed_file(threads, device)
    if not path.is_file():
        return Timing(threads, path, reason=_why_missing(config, device, threads), device=device)
    try:
        content = json.loads(path.read_text())
        _check(content)
    except Exception as error:  # whatever a damaged file leads to
        what = " ".join(f"{type(error).__name__} {error}".split())[:100]
        return Timing(
            threads, path, reason=f"damaged: {what}; delete {path} and run snakemake", device=device
        )
    if other := _of_another_config(config, device, threads, content):
        return Timing(threads, path, reason=other, device=device)
    return Timing(threads, path, content, remark=_remark(config, device, threads), device=device)


def _why_missing(config: Config, device: str, threads: int) -> str:
    try:
        if of_config(config, threads, device) is None:
            return "not timed: none of the backends can run here"
    except LockstepError as error:
        return f"not timed: {error}"
    log = config.results / "logs/speed" / f"{config.speed_file(threads, device).stem}.log"
    return f"not timed yet: run snakemake, or see {log}"


def _check(content: Mapping[str, Any]) -> None:
    """Raise something unless it holds what tables and pages read."""
    if content["schema"] != SCHEMA:
        raise ValueError(f"not of schema {SCHEMA}")
    peers = content["peers"].values()
    phases = [*content["backends"].values(), *({"epoch": peer["epoch"]} for peer in peers)]
    _ = [each["epoch"][RATE] for each in phases], [(peer["peer"], peer["ratio"]) for peer in peers]
    for spread in _leaves(phases):
        _ = [
            float(value)
            for value in (spread["median"], spread["q10"], spread["q90"], spread["n"], *spread["values"])
        ]
    for ratio in _leaves(content["ratios"].values()):
        _ = float(ratio["ratio"]), ratio["low"], ratio["high"], ratio["n"]
    for run in content["load"]:
        kept = run["tries"][run["kept"]]
        _ = [kept[key] for key in ("load_before", "load_after", "steal", "others", "disturbed")]
    _ = [content["machine"][key] for key in ("cpu", "cores", "system", "python", "lockstep")]
    _ = content["flops_per_image"]["training"], content["limits"]["steal"], content["limits"]["others"]
    _ = datetime.fromisoformat(content["made"])
    _ = [content[key] for key in ("device", "environment", "disturbed", "failed")]
    _ = content.get("switches", {}).items()  # files before there were any lack it
    if content["first"] not in content["backends"]:
        raise ValueError("its first backend has no times")


def _leaves(phases: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Of [{phase: {quantity: leaf}}]."""
    return (leaf for each in phases for quantities in each.values() for leaf in quantities.values())


def _of_another_config(config: Config, device: str, threads: int, content: Mapping[str, Any]) -> str:
    """Why it is not what the config asks for."""
    assert config.speed
    try:
        experiment = timed(config, threads, config.speed.batch_size)
    except LockstepError as error:
        return str(error)
    settings = (
        ("experiment", content["experiment"], config.baseline),
        ("device", content["device"], device),
        ("threads", content["threads"], threads),
        ("batch size", content["batch_size"], experiment.training.batch_size),
        ("rounds", content["rounds"], config.speed.rounds),
        ("training images", content["images"], experiment.train_size),
        ("FLOPs an image", content["flops_per_image"]["forward"], experiment.spec.flops),
    )
    for noun, found, wanted in settings:
        if found != wanted:
            return f"stale: timed with {noun} {found}, not the config's {wanted}; run snakemake again"
    return ""


def _remark(config: Config, device: str, threads: int) -> str:
    """Whether it would be timed anew here."""
    try:
        request = of_config(config, threads, device)
    except LockstepError:  # what would be timed is not there: nothing to compare with
        return ""
    if request is None:
        return ""
    return remark(config, request.backends[0], device, partial(of_speed, config, request))
