"""Arrays that a backend is given, and those that it gives, stay as they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from lockstep.backend import Backend
from lockstep.conformance.worker import Stop, Stopped

PULLBACK = "pullback"
Copies = list[tuple[str, np.ndarray, np.ndarray]]
"""What each array is called, the array, and a copy of it."""


class Watched:
    """A backend whose arrays are compared with copies of them.

    Arguments after the call; what `load` was given, after every call; answers, after the next call of the
    same method.  What `train_steps` gives is lazy, no arrays yet.  Raises Stopped, by the method's name.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._earlier: dict[str, Copies] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._backend, name)
        return partial(self._call, name, method, list(inspect.signature(method).parameters))

    def _call(self, name: str, method: Callable[..., Any], names: list[str], *arguments: Any) -> Any:
        given = _copies(dict(zip(names, arguments, strict=False)))
        answer = method(*arguments)
        _compare(name, given, "it changes what it was given")
        _compare("load", self._earlier.get("load", []), "what it was given changed later")
        if name != "load":
            _compare(name, self._earlier.get(name, []), "what it gave changed later")
        if name == "vjp" and isinstance(answer, tuple) and len(answer) == 2:
            logits, pullback = answer
            answer = logits, partial(self._call, PULLBACK, pullback, ["cotangent"])
        if name != "train_steps":
            self._earlier[name] = given if name == "load" else _copies({"": answer})
        return answer


def _compare(name: str, copies: Copies, wrong: str) -> None:
    call, who = ("vjp", "its pullback: ") if name == PULLBACK else (name, "")
    for what, array, copy in copies:
        if not np.array_equal(array, copy) and not np.array_equal(array, copy, equal_nan=True):
            raise Stopped(Stop(call, f"{who}{wrong}{what and f' ({what})'}; copy it", False))


def _copies(values: Mapping[str, Any]) -> Copies:
    return [(name, array, array.copy()) for name, array in _arrays("", values)]


def _arrays(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _arrays(f"{name}[{key!r}]" if name else key, each)
    elif isinstance(value, tuple):
        for each in value:
            yield from _arrays(name, each)
