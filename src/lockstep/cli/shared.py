"""What all commands share: the application, its console, and options that several of them take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lockstep.console import Console

app = typer.Typer(
    help="One CNN spec, every backend, step for step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(width=None if sys.stdout.isatty() else 120)

ConfigOption = Annotated[Path, typer.Option("--config", help="config file", metavar="FILE")]
BackendsOption = Annotated[
    str | None, typer.Option("--backends", help="a subset, separated by commas", metavar="NAMES")
]
PluginsOption = Annotated[
    Path | None,
    typer.Option("--config", help="config that names further folders of plugins", metavar="FILE"),
]
BundleArgument = Annotated[
    Path | None,
    typer.Argument(metavar="BUNDLE.zip", help="of lockstep bundle, instead of a config", show_default=False),
]
DEFAULT = Path("config/config.yaml")
MOST = 2**31 - 1
"""Of what is counted; as in a config."""


def know(config: Path | None) -> None:
    """Find the plugins in a config's folders too."""
    if config:
        from lockstep.config import load

        load(config)
