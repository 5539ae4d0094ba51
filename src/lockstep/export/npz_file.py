"""An `.npz` file of the weights and of a JSON text, which NumPy alone reads: no pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lockstep.export import Network


def save(network: Network, path: Path) -> None:
    np.savez(path, allow_pickle=False, description=np.array(network.description), **network.arrays)
