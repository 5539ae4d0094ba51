"""Files as they are written: JSON that every reader takes, and what is no file stays what it is."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np

from lockstep.results import json_text, write_json


def test_numbers_that_json_lacks_are_null():
    content = {
        "a": [math.nan, {"b": (math.inf, -math.inf, np.float64("nan"))}],
        "c": [1, 0.5, True, None, "NaN"],
    }
    written = json.loads(json_text(content), parse_constant=lambda name: 1 / 0)
    assert written == {"a": [None, {"b": [None] * 3}], "c": [1, 0.5, True, None, "NaN"]}


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path):
    """As /dev/null and /dev/stdout; a file in its place would be found by everyone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    write_json(pipe, {"a": 1})
    assert json.loads(os.read(reader, 1000)) == {"schema": 1, "a": 1}
    os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
