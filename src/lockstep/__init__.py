"""Lockstep: one CNN spec, every backend, step for step.

In Python, `lockstep.open(folder)` opens a finished run, and `lockstep.train(config, experiment, backend)`
trains one first if it has to: docs/python.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lockstep.notebook import open as open
    from lockstep.notebook import train as train

__version__ = "0.1.0"
__all__ = ["__version__", "open", "train"]


def __getattr__(name: str) -> Any:
    """Imported when they are asked for: a training process and the command line stay light."""
    if name not in ("open", "train"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lockstep import notebook

    return getattr(notebook, name)


def __dir__() -> list[str]:
    return __all__
