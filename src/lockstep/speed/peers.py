"""The plain scripts of `benchmarks/peers`: what a backend's speed is held against, in a checkout."""

from __future__ import annotations

from pathlib import Path

import lockstep
from lockstep.conformance.specs import SPECS
from lockstep.errors import LockstepError
from lockstep.experiment import Experiment, Regularisation
from lockstep.spec import Dropout

SCRIPTS = {"numpy": "numpy_im2col", "torch": "pytorch", "keras": "keras_fit", "jax": "jax_optax"}
"""{backend: the script of the same framework}."""
BATCH_SIZE = 64
"""What the scripts train with."""


def folder() -> Path:
    """Raises LockstepError where the scripts are not there."""
    for top in (Path(), Path(lockstep.__file__).parents[2]):
        if (top / "benchmarks/peers/peer.py").is_file():
            return top / "benchmarks/peers"
    raise LockstepError("--peers: there is no benchmarks/peers here; run this in a checkout of Lockstep")


def check(experiment: Experiment, device: str) -> None:
    """Raise LockstepError where a peer would do something else than the backend."""
    layers = tuple(layer for layer in SPECS["classroom"].layers if not isinstance(layer, Dropout))
    plain = experiment.augmentation is None and experiment.regularisation == Regularisation()
    if experiment.spec.layers != layers or not plain or experiment.training.dtype != "float32":
        raise LockstepError(
            "--peers: the scripts train the classroom's network, plainly and in float32, as the first "
            "experiment of config/config.yaml does; time that config"
        )
    if (experiment.training.batch_size, device) != (BATCH_SIZE, "cpu"):
        raise LockstepError(
            f"--peers: the scripts train with batches of {BATCH_SIZE} on a CPU; "
            "leave --batch-size and --device out"
        )
