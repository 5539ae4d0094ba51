"""The table `transfer` as a heat map."""

from __future__ import annotations

import numpy as np

from lockstep.report import text
from lockstep.report.pictures import cells_of
from lockstep.report.robustness.attacked import Robustness
from lockstep.report.robustness.carried import Network, Shown, networks_of, read
from lockstep.report.runs import Results
from lockstep.report.style import INK, WIDTH, Figure, canvas, finish


def label(results: Results, network: Network) -> str:
    return f"{results.label(network.side)}, seed {network.seed}"


def figure(robustness: Robustness) -> Figure | None:
    """Rows: crafted on; columns: shown to."""
    pairs = {(pair.crafted, pair.shown): pair for pair in read(robustness)[0]}
    if not pairs:
        return None
    networks = [network for network in networks_of(robustness) if any(network in key for key in pairs)]
    names = [label(robustness.results, network) for network in networks]
    share = np.array([[_of(pairs, crafted, shown) for shown in networks] for crafted in networks])
    side = min(1.6 + 0.62 * len(networks), 0.8 * WIDTH)
    with canvas(side + 0.8, side) as drawn:
        axes = drawn.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for row, column in np.ndindex(share.shape):
            value = share[row, column]
            shade = "white" if value > 60 else INK
            bold = "bold" if row == column else "normal"
            shown = text.NONE if np.isnan(value) else f"{value:.0f}"
            axes.text(column, row, shown, ha="center", va="center", fontsize=9, color=shade, weight=bold)
        cells_of(axes, len(networks), len(networks))
        axes.set_xticks(range(len(networks)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(networks)), names)
        axes.set_xlabel("shown to")
        axes.set_ylabel("crafted on")
        n = max(pair.n for pair in pairs.values())
        return finish(
            drawn,
            "transfer",
            f"Heat map of accuracy of {len(networks)} networks on images that were attacked on each of them.",
            f"Accuracy in % on {text.count(n, 'image')} attacked by PGD at eps "
            f"{robustness.settings.shown:g}: each row is the network that the attack could look at, each "
            "column the one that was then asked. Bold: both are the same. Dark: it does not carry over.",
        )


def _of(pairs: dict[tuple[Network, Network], Shown], crafted: Network, shown: Network) -> float:
    pair = pairs.get((crafted, shown))
    return 100 * pair.accuracy if pair else float("nan")
