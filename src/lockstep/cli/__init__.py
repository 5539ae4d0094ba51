"""The command line.  Snakemake is the interface to the whole; a command here does one thing."""

from __future__ import annotations

import os
import sys

from lockstep import process
from lockstep.cli.shared import app
from lockstep.console import spell_what_is_lacking
from lockstep.errors import LockstepError, one_line

from lockstep.cli import run, prove, measure, share, extend  # isort: skip  # noqa: F401  in the order of `--help`

__all__ = ["app", "main"]
INTERRUPTED = 130  # how typer ends after Ctrl-C


def main() -> None:
    """Run a command; whatever goes wrong is one line on stderr and exit status 1."""
    spell_what_is_lacking()
    process.prepare()  # before a command imports NumPy, which starts its thread pool
    try:
        app()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print(
                "lockstep: interrupted; training goes on from its last checkpoint when it is run again",
                file=sys.stderr,
            )
        raise
    except Exception as error:
        if os.environ.get("LOCKSTEP_TRACEBACK"):
            raise
        known = isinstance(error, LockstepError | OSError | UnicodeEncodeError)
        hint = "" if known else "; this is a bug: set LOCKSTEP_TRACEBACK=1 to see where, and report it"
        sys.exit(f"lockstep: {one_line(error)}{hint}")
