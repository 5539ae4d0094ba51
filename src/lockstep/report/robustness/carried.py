"""Images attacked on one network, shown to others: the table `transfer`, and what it says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from lockstep.freshness import of_transfer, remark
from lockstep.report import text
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.runs import Side

COLUMNS = [
    "experiment", "crafted_backend", "crafted_device", "crafted_seed", "shown_backend", "shown_device",
    "shown_seed", "accuracy", "n",
]  # fmt: skip


class Network(NamedTuple):
    """A trained run of the experiment that attacks are carried between."""

    side: Side
    seed: int


class Shown(NamedTuple):
    """Accuracy of `shown` on images that were attacked on `crafted`."""

    crafted: Network
    shown: Network
    accuracy: float
    n: int


def read(robustness: Robustness) -> tuple[list[Shown], list[str]]:
    """Pairs of the config's networks, and what is missing, damaged or out of date."""
    results, pairs, missing = robustness.results, [], []
    networks = networks_of(robustness)
    for side in dict.fromkeys(network.side for network in networks):
        path = results.config.results / "transfer" / side.backend / f"{side.device}.json"
        try:
            rows = [_shown(row) for row in json.loads(path.read_text())["rows"]]
        except FileNotFoundError:
            missing.append(f"Not shown yet: {results.label(side)}: no result yet")
            continue
        except (OSError, ValueError, KeyError, TypeError):
            missing.append(
                f"Not shown yet: {results.label(side)}: damaged results; delete {path} and run snakemake"
            )
            continue
        pairs += [row for row in rows if {row.crafted, row.shown} <= set(networks)]
        if outdated := remark(results.config, *side, partial(of_transfer, results.config, *side)):
            missing.append(f"Of {results.label(side)}: {outdated}")
    return pairs, missing


def networks_of(robustness: Robustness) -> list[Network]:
    """The finished ones, in the config's order: a backend's seeds side by side."""
    return [Network(each.run.side, each.run.cell.seed) for each in robustness.of(robustness.baseline)]


def _shown(row: dict[str, Any]) -> Shown:
    crafted, shown = (
        Network(Side(str(backend), str(device)), int(seed))
        for backend, device, seed in (row["source"], row["target"])
    )
    return Shown(crafted, shown, float(row["accuracy"]), int(row["n"]))


def table(robustness: Robustness) -> Iterable[dict[str, Any]]:
    for pair in read(robustness)[0]:
        names = (*pair.crafted.side, pair.crafted.seed, *pair.shown.side, pair.shown.seed)
        yield dict(zip(COLUMNS, (robustness.baseline, *names, pair.accuracy, pair.n), strict=True))


def sentences(robustness: Robustness) -> list[str]:
    """Own images, the same seed on another backend, and other seeds: three distances of networks."""
    pairs, missing = read(robustness)
    groups: dict[str, list[float]] = {
        "On images attacked on the network itself (the diagonal)": [
            pair.accuracy for pair in pairs if pair.crafted == pair.shown
        ],
        "On those of the same seed on another backend, which is nearly the same network": [
            pair.accuracy for pair in pairs if pair.crafted != pair.shown and _seed(pair)
        ],
        "On those of another seed, which started from other weights": [
            pair.accuracy for pair in pairs if not _seed(pair)
        ],
    }
    said = [f"{what}, accuracy is {_extent(values)}." for what, values in groups.items() if values]
    said += [f"{why}." for why in missing]
    return said


def _seed(pair: Shown) -> bool:
    return pair.crafted.seed == pair.shown.seed


def _extent(values: Sequence[float]) -> str:
    low, high = (f"{100 * value:.1f} %" for value in (min(values), max(values)))
    mean, pairs = f"{100 * np.mean(values):.1f} %", text.count(len(values), "pair")
    return f"{low} ({pairs})" if low == high else f"{mean} on average ({low} to {high}, {pairs})"
