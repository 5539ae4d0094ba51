"""What commands print: text as it is, on whatever terminal there is.

Names, paths and reasons come from people, files and other programs.  So nothing that is printed is read as
markup, and what the terminal's encoding lacks is spelled: it never stops a command.
"""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from lockstep.errors import CONTROL

SPELLED = {
    "±": "+/-", "−": "-", "–": "-", "×": "x", "…": "...", "“": '"', "”": '"', "→": "->",
    "\N{NO-BREAK SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": " ",
}  # fmt: skip
"""Of what we print ourselves; others become escapes: \\xe9, and \\udcff for a byte of no character."""


class Console(RichConsole):
    """Rich's, for text that is nobody's markup; soft_wrap: a line stays one line."""

    def __init__(self, soft_wrap: bool = True, **settings: Any) -> None:
        super().__init__(soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else text.translate(CONTROL), style, control)


def spell_what_is_lacking() -> None:
    """Let this process's output replace the characters that its encoding has not."""
    codecs.register_error("spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelled")


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    escaped = (SPELLED.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(escaped), error.end
