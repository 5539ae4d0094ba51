"""A CSV file, read strictly (RFC 4180): what is malformed is told with its line, not read as another one."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lockstep.errors import LockstepError

FIELD = r'(?:"[^"]*(?:""[^"]*)*"|[^",\n]*)'
RECORD = re.compile(rf"{FIELD}(?:,{FIELD})*(?:\n|\Z)")
"""A line, or several where a field in quotes goes on."""
OTHER_DELIMITERS = (";", "\t", "|")
SAID_AT_MOST = 200
"""Characters of a header in a message."""


class Row(NamedTuple):
    """Spaces around a name or a label are no part of it."""

    line: int
    """Of the file, where the row begins; the first is 1."""
    name: str
    label: str


def read(path: str, x_col: str, y_col: str, extensions: tuple[str, ...]) -> list[Row]:
    """The rows below the header; blank lines are none.

    extensions: what names end in.  Raises LockstepError for a file that is no such table.
    """
    records = _records(path)
    _, header = next(records, (1, ""))
    if not header:
        raise LockstepError(
            f"{path}: empty; expected a line with the names of its columns, and rows below it"
        )
    columns = [column.strip() for column in _fields(header)]
    x, y = (_position(path, columns, *wanted, extensions) for wanted in (("x_col", x_col), ("y_col", y_col)))
    rows = []
    for line, record in records:
        fields = _fields(record)
        if len(fields) != len(columns):
            raise LockstepError(
                f"{path}, line {line}: a row of {len(fields)} where the header has {len(columns)} fields; "
                "put a value that holds a comma in quotes, and write a comma for an empty one"
            )
        row = Row(line, fields[x].strip(), fields[y].strip())
        if "\n" in record:
            _refuse_swallowed(path, row, record, len(columns), x, extensions)
        rows.append(row)
    return rows


def _records(path: str) -> Iterator[tuple[int, str]]:
    """(line on which it begins, text) of each record."""
    text, place, line = _text(path), 0, 1
    while place < len(text):
        found = RECORD.match(text, place)
        if found is None:
            raise LockstepError(
                f"{path}, line {line}: a quote that is not closed, or that does not stand at an end of its "
                'field; put all of a field in quotes, and write a quote in it twice ("5"" wide")'
            )
        if record := found[0].strip(" \t\n"):
            yield line, record
        place, line = found.end(), line + found[0].count("\n")


def _text(path: str) -> str:
    """What the file holds, in which lines end with a line feed."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise LockstepError(f"{path}: no regular file; name a CSV file")
    try:
        with open(path, "rb") as file:
            content = file.read().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    except OSError as error:
        raise LockstepError(f"{path}: {error.strerror}; name a CSV file that can be read") from None
    if b"\0" in content:
        raise LockstepError(f"{path}: holds NUL bytes, as UTF-16 does; save it as a CSV file in UTF-8")
    try:
        return content.decode("utf-8-sig")  # spreadsheets begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise LockstepError(
            f"{path}, line {line}: the byte 0x{error.object[error.start]:02x} is not UTF-8; "
            "save it as a CSV file in UTF-8"
        ) from None


def _fields(record: str) -> list[str]:
    return next(csv.reader([record])) if '"' in record else record.split(",")


def _position(path: str, columns: Sequence[str], key: str, column: str, extensions: tuple[str, ...]) -> int:
    """Of a column in the header."""
    found = columns.count(column.strip())
    if found > 1:
        raise LockstepError(f"{path}: {found} columns are named {column!r}; give each a name of its own")
    if found:
        return columns.index(column.strip())
    other = next((mark for mark in OTHER_DELIMITERS if any(mark in name for name in columns)), None)
    if other:
        advice = f"its columns seem to be separated by {other!r}: save it with commas"
    elif any(name.lower().endswith(extensions) for name in columns):
        advice = "its first line is a row: write the names of the columns above it"
    else:
        advice = f"set {key}"
    said = ", ".join(map(repr, columns))[:SAID_AT_MOST]
    raise LockstepError(f"{path}: no column {column!r}; it has: {said}; {advice}")


def _refuse_swallowed(
    path: str, row: Row, record: str, columns: int, x: int, extensions: tuple[str, ...]
) -> None:
    """Of two quotes too many, each in a row of its own, the first opens a field that the second closes."""
    for below, text in enumerate(record.split("\n")[1:], row.line + 1):
        fields = text.split(",")
        if len(fields) == columns and fields[x].strip(' "').lower().endswith(extensions):
            raise LockstepError(
                f"{path}, line {row.line}: a field in quotes goes on in line {below}, which looks like a row "
                "of its own; close or remove the quote"
            )
    if "\n" in row.name or "\n" in row.label:
        raise LockstepError(
            f"{path}, line {row.line}: a name or label that goes on in the next line; join them"
        )
