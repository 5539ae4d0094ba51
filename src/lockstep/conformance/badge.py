"""A certificate's verdict as a badge: shields.io's endpoint object, or a picture that needs no server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from lockstep import outputs
from lockstep.conformance.certificate import Certificate
from lockstep.errors import LockstepError
from lockstep.results import write_text

COLOURS = {"brightgreen": "#3a7d1e", "red": "#b32d1f", "yellow": "#8a6500", "lightgrey": "#5c5c5c"}
"""{shields.io's name: a tone on which white text can be read}."""
PICTURE = outputs.text_with("a badge", "<svg", 'aria-label="lockstep: ')
ENDPOINT = outputs.json_with("a badge's endpoint object", "schemaVersion", "label", "message")
WIDTH, PADDING = 6.6, 12
"""Of a letter, of 11 px Verdana or the like; beside each text."""


def check(path: Path, names: Sequence[str]) -> None:
    """Raises LockstepError, before anything is measured, unless it can be written for these backends."""
    if path.suffix not in (".svg", ".json"):
        raise LockstepError(f"--badge {path}: name a FILE.svg, or a FILE.json for shields.io's endpoint")
    if len(names) != 1:
        raise LockstepError(f"--badge {path}: a badge is of one backend; name one")
    outputs.require(path, PICTURE if path.suffix == ".svg" else ENDPOINT)


def write(path: Path, certificate: Certificate) -> None:
    """FILE.svg: the picture; FILE.json: shields.io's endpoint object."""
    badge = certificate.badge
    picture = svg(badge["label"], badge["message"], badge["color"])
    write_text(path, picture if path.suffix == ".svg" else json.dumps(badge) + "\n")


def svg(label: str, message: str, color: str) -> str:
    """A badge of 20 px height; `textLength` holds the text to its field in whatever font there is."""
    left, right = (round(len(text) * WIDTH) + PADDING for text in (label, message))
    title = escape(f"{label}: {message}")

    def field(start: int, width: int, text: str, colour: str) -> str:
        return (
            f'<rect x="{start}" width="{width}" height="20" fill="{colour}"/>'
            f'<text x="{start + width / 2}" y="14" textLength="{width - PADDING}" '
            f'lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
        )

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="round"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        '<g clip-path="url(#round)" fill="#fff" text-anchor="middle" '
        'font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">'
        f"{field(0, left, label, '#444')}{field(left, right, message, COLOURS[color])}</g></svg>\n"
    )
