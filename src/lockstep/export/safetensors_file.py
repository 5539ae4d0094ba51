"""A `.safetensors` file of the weights, with a JSON text among its metadata."""

from __future__ import annotations

from pathlib import Path

from safetensors.numpy import save_file

from lockstep.export import Network


def save(network: Network, path: Path) -> None:
    save_file(network.arrays, path, metadata={"format": "np", "description": network.description})
