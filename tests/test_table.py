"""A CSV file is read as it is meant, or not at all, with the line where it goes wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lockstep.data import table
from lockstep.data.listing import EXTENSIONS, dataframe
from lockstep.data.names import plain, seen, told
from lockstep.errors import LockstepError

QUOTE = "line {}: a quote that is not closed, or that does not stand at an end of its field"
FIELDS = "line {}: a row of {} where the header has {} fields; put a value that holds a comma in quotes"
ROW = "line {}: a field in quotes goes on in line {}, which looks like a row of its own"
THREE = b"filename,class,note\n"
TWO = b"filename,class\n"


def read(folder: Path, content: bytes) -> list[tuple[int, str, str]]:
    (folder / "t.csv").write_bytes(content)
    return list(map(tuple, table.read(str(folder / "t.csv"), "filename", "class", EXTENSIONS)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (THREE + b'a.png,0,ok\nb.png,1,"blurred\nc.png,1,ok\nd.png,0,ok\n', QUOTE.format(3)),
        (THREE + b'a.png,0,ok\n\nb.png,1,"blurred', QUOTE.format(4)),
        (THREE + b'a.png,0,"two\nlines"\nb.png,1,"blurred\nc.png,1,"ok"\n', QUOTE.format(4)),
        (THREE + b'a.png,0,"blurred"x\n', QUOTE.format(2)),
        (THREE + b'a.png,0,5" wide\n', QUOTE.format(2)),
        (THREE + b'a.png, "cat, black"\n', QUOTE.format(2)),
        (THREE + b'a.png,0,"blurred\nb.png,1,ok\nc.png,0,"\nd.png,1,ok\n', ROW.format(2, 3)),
        (THREE + b'a.png,0,ok\nb.png,1,"blurred\nc.png,1,ok"\n', ROW.format(3, 4)),
        (TWO + b'a.png,"ca\nt"\n', "line 2: a name or label that goes on in the next line"),
        (TWO + b"a.png,cat, black\n", FIELDS.format(2, 3, 2)),
        (TWO + b"a.png,cat,\n", FIELDS.format(2, 3, 2)),
        (THREE + b'\r\na.png,0,"two\r\nlines"\r\n\r\nb.png,1\r\n', FIELDS.format(6, 2, 3)),
        (b"filename,class,note\ra.png,0,ok\rb.png\r", FIELDS.format(3, 1, 3)),
        (b"filename,class\na.png;0\n", FIELDS.format(2, 1, 2)),
        (b"filename,class,class\na.png,0,1\n", ": 2 columns are named 'class'; give each a name of its own"),
        (b"filename,class , class\na.png,0,1\n", ": 2 columns are named 'class'"),
        (b"Filename,class\na.png,0\n", ": no column 'filename'; it has: 'Filename', 'class'; set x_col"),
        (b"filename,label\na.png,0\n", ": no column 'class'; it has: 'filename', 'label'; set y_col"),
        (b"a.png,0\nb.png,1\n", "; its first line is a row: write the names of the columns above it"),
        (b"filename;class\na.png;0\n", "'filename;class'; its columns seem to be separated by ';'"),
        (b"filename\tclass\na.png\t0\n", "; its columns seem to be separated by '\\t': save it with commas"),
        (b"", ": empty; expected a line with the names of its columns"),
        (b"\xef\xbb\xbf\r\n \r\n", ": empty; expected a line with the names of its columns"),
        ("filename,class\na.png,0\n".encode("utf-16"), ": holds NUL bytes, as UTF-16 does; save it as"),
        ("filename,class\na.png,0\n".encode("utf-16-be"), ": holds NUL bytes, as UTF-16 does; save it as"),
        (TWO + b"a\0.png,0\n", ": holds NUL bytes"),
        (b"filename,class\r\na.png,0\r\nb.png,caf\xe9\r\n", "line 3: the byte 0xe9 is not UTF-8; save it as"),
        (b'{"filename": ["a.png"]}', QUOTE.format(1)),
    ],
)
def test_what_is_malformed_is_refused_with_its_line(tmp_path, content, message):
    with pytest.raises(LockstepError) as error:
        read(tmp_path, content)
    line = str(error.value)
    assert line.startswith(str(tmp_path / "t.csv"))
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (TWO + b"a.png,0\nb.png,1", [(2, "a.png", "0"), (3, "b.png", "1")]),
        (b"\xef\xbb\xbffilename,class\r\n\r\na.png,0\r\n", [(3, "a.png", "0")]),
        (b"filename,class\ra.png,0\rb.png,1\r", [(2, "a.png", "0"), (3, "b.png", "1")]),
        (b" class , filename \n cat , a.png \n", [(2, "a.png", "cat")]),
        (b"filename,class,\na.png,0,\n", [(2, "a.png", "0")]),
        (THREE + b'"a, b.png","say ""ah""","5"" wide"\n', [(2, "a, b.png", 'say "ah"')]),
        (THREE + b'a.png,0,"two, or\nthree\r\n\nlines"\nb.png,1,\n', [(2, "a.png", "0"), (6, "b.png", "1")]),
        (THREE + b"a.png,0,x\n,,\nb.png,1,\n", [(2, "a.png", "0"), (3, "", ""), (4, "b.png", "1")]),
        (TWO + "é.png,ca\u2028fé\nb.png,1\n".encode(), [(2, "é.png", "ca\u2028fé"), (3, "b.png", "1")]),
    ],
)  # fmt: skip
def test_what_a_table_may_have(tmp_path, content, rows):
    assert read(tmp_path, content) == rows


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(LockstepError, match="no regular file; name a CSV file"):
        table.read(str(tmp_path / "t.csv"), "filename", "class", EXTENSIONS)


# Labels.


def listed(folder: Path, labels: list[str], classes: list[str] | None = None):
    path = folder / "t.csv"
    path.write_text("filename,class\n" + "".join(f"{n}.png,{label}\n" for n, label in enumerate(labels)))
    return dataframe(str(path), None, "filename", "class", classes)


def test_labels_are_stripped_and_those_of_no_class_refused_with_their_line(tmp_path):
    labels = ["1", " 1 ", "", "  ", "nan", "NaN", "None", "2\u00a0", "2"]
    found = listed(tmp_path, labels)
    assert found.classes == ("1", "2")
    assert found.labels.tolist() == [0, 0, 1, 1]
    reasons = dict(found.refused)
    assert list(reasons) == [f"line {line}: {line - 2}.png" for line in range(4, 9)]
    assert reasons["line 4: 2.png"] == reasons["line 5: 3.png"] == "no label"
    assert reasons["line 6: 4.png"].startswith("the label 'nan' stands for a missing value; if it is a class")
    meant = listed(tmp_path, labels, ["1", "2", "nan"])
    assert meant.labels.tolist() == [0, 0, 2, 1, 1], "a class that is listed is one"


@pytest.mark.parametrize("label", ["a\x1b[31m", "c\u200bat", "a\u00a0b"])
def test_a_label_that_cannot_be_printed_is_refused(tmp_path, label):
    with pytest.raises(
        LockstepError, match=r"t.csv: the class '\w\\.*' holds what cannot be printed; rename"
    ):
        listed(tmp_path, ["x", label])


@pytest.mark.parametrize(("name", "label"), [("0", "0.0"), ("Cat", "cat"), ("a b", "a  B"), ("1", "01")])
def test_a_label_that_is_nearly_a_class_is_told_with_it(tmp_path, name, label):
    found = listed(tmp_path, [name, label], [name, "other"])
    assert found.refused == (
        ("line 3: 1.png", f"unknown label {label!r}; write {name!r} if it is that class"),
    )


@pytest.mark.parametrize(
    "alike",
    [
        ("1", "1.0", "01", "+1", "1e0", "1 ", " 1"),
        ("Cat", "cat", "CAT ", "c\u200bat", "ｃａｔ"),
        ("é", "e\u0301"),
    ],
)
def test_names_that_differ_only_by_how_they_are_written(alike):
    assert len({plain(name) for name in alike}) == 1
    (line, *_) = told({"name": "d", "classes": [*alike[:2], "other"], "made_of": {}})
    assert line == (
        "classes of d differ only by case, spaces or the form of a letter or number, and are learnt "
        "as different ones: "
        f"{alike[0]!r} and {seen(alike[1])}"
    )


def test_names_that_look_alike_are_shown_so_that_they_differ():
    assert [seen(name) for name in ("é", "e\u0301", "1 ")] == ["'é'", r"'e\u0301'", "'1 '"]


def test_names_that_differ_are_not_doubted():
    names = ["1", "2", "10", "1.5", "cat", "cats", "nane", "1e", "-1", "1-", "12345678901234567890",
             "12345678901234567891", "1e999", "inf"]  # fmt: skip
    assert len({plain(name) for name in names}) == len(names)
    assert not list(told({"name": "d", "classes": names, "made_of": {}}))


def test_spaces_around_a_folders_name_and_missing_values_are_seen():
    about = {"name": "d", "classes": ["1 ", "2", "nan"], "made_of": {"settings": {"classes": None}}}
    spaced, missing = told(about)
    assert spaced == "classes of d have spaces around their names: '1 '"
    assert missing.endswith("list them in `classes` if they are meant: 'nan'")
    about["made_of"] = {"settings": {"classes": ["1 ", "2", "nan"]}}
    assert list(told(about)) == [spaced]
