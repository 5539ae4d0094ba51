"""What an image file says of itself, in its bytes: its depth, and whether it is whole.

Pillow makes 8 bits of 16 without a word, skips the checksums of a PNG, and hides the warnings of libjpeg.
"""

from __future__ import annotations

import re
import struct
from io import BytesIO
from types import TracebackType
from zlib import crc32

PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"
CHUNK, CHECKSUM = struct.Struct(">I4s"), struct.Struct(">I")
PPM_MAXIMUM = re.compile(rb"P[2356]" + 3 * rb"(?:\s|#[^\r\n]*)+(\d+)")
"""Magic number, width, height and the largest value, with comments anywhere between."""
BASELINE, PROGRESSIVE = {0xC0, 0xC1}, {0xC2}
SCAN, END = 0xDA, 0xD9
MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""In a scan: neither an escaped 255 nor a restart."""
SLACK = 8
"""Bytes by which a decoder may stop early or late: libjpeg fills a register of 64 bits ahead."""
UNKNOWN_CHANNEL = "a channel of unknown meaning beside its colours; save it without"


class Unusable(Exception):
    """Why a file is no image of the source."""


def require_eight_bits(bits: int) -> None:
    if bits > 8:
        raise Unusable(f"{bits} bits a channel, expected 8")


def opened(content: bytes) -> BytesIO:
    """The content as a file to decode within `with`.

    Raises Unusable, here or at the end of the block, for what is deeper than 8 bits, and for damage that
    Pillow does not tell.
    """
    if content.startswith(PNG):
        _check_png(content)
    elif content.startswith(JPEG):
        if scan := _scan(content):
            return _Scan(content, *scan)
    elif content.startswith(BMP):
        _check_bmp(content)
    elif ppm := PPM_MAXIMUM.match(content):
        require_eight_bits(int(ppm[3]).bit_length())
    return BytesIO(content)


def _check_png(content: bytes) -> None:
    """Every chunk is there and has its checksum; the second byte after the size is the depth."""
    place, kind = len(PNG), b""
    try:
        while kind != b"IEND":
            length, kind = CHUNK.unpack_from(content, place)
            end = place + 8 + length
            if crc32(content[place + 4 : end]) != CHECKSUM.unpack_from(content, end)[0]:
                raise Unusable(f"damaged: wrong checksum of its chunk {kind.decode('latin-1')}")
            if kind == b"IHDR":
                require_eight_bits(content[place + 16])
            place = end + 4
    except struct.error:
        raise Unusable("damaged: it ends too early") from None


def _check_bmp(content: bytes) -> None:
    """The fourth byte of a pixel, which no header calls transparency, says nothing."""
    if len(content) >= 34:
        start, bits, compression = struct.unpack_from("<10xI14xHI", content)
        if (bits, compression) == (32, 0) and set(content[start + 3 :: 4]) not in ({0}, {255}):
            raise Unusable(UNKNOWN_CHANNEL)


def _scan(content: bytes) -> tuple[int, int] | None:
    """Where the pixels of a JPEG with one baseline scan start and end; None for any other file."""
    place, frame = len(JPEG), 0
    try:
        while content[place] == 0xFF:
            kind, length = struct.unpack_from(">xBH", content, place)
            if kind == 0xFF:  # a fill byte
                place += 1
                continue
            if kind in BASELINE | PROGRESSIVE:
                frame = kind
                require_eight_bits(content[place + 4])
            place += 2 + length
            if kind == SCAN:
                break
    except (struct.error, IndexError):
        return None
    if frame not in BASELINE:
        return None
    marker = MARKER.search(content, place)
    if marker is None:
        raise Unusable("damaged: it ends too early")
    return (place, marker.start()) if marker[0][-1] == END else None


class _Scan(BytesIO):
    """A JPEG that shows how far its decoder had to read.

    libjpeg goes on where a scan ends too early or too late, and Pillow hides its warnings.  So it is handed
    out in parts: a decoder that needs only the first found too much, and one that needs the third too little.
    """

    def __init__(self, content: bytes, start: int, end: int) -> None:
        super().__init__(content[:end] + b"\xaa" * SLACK + content[end:])
        self.first, self.second = max(start, end - SLACK), end + SLACK

    def read(self, size: int | None = -1) -> bytes:
        place = self.tell()
        if size and size > 0 and place < self.second:
            size = min(size, (self.first if place < self.first else self.second) - place)
        return super().read(size)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.tell() != self.second:
            raise Unusable(f"damaged: its pixels end too {'early' if self.tell() > self.second else 'late'}")
