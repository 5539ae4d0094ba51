"""What a backend's methods return, held to the contract before any number is compared.

Each function takes the method's name, and raises Stopped with one line where the answer is of another kind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from lockstep.conformance.problem import Tensors
from lockstep.conformance.worker import Stop, Stopped

ANSWER = "the answer"


def array(call: str, value: Any, dtype: np.dtype[Any], what: str = ANSWER) -> np.ndarray:
    """A copy of a NumPy array of the run's dtype; its shape is compared with the reference's."""
    _there(call, value, what)
    if not isinstance(value, np.ndarray | np.generic):
        raise _wrong(call, f"{what} is a {_kind(value)}, a NumPy array is expected; convert it")
    if value.dtype != dtype:
        raise _wrong(call, f"{what} is {value.dtype}, this run is in {dtype}; nothing may change the dtype")
    return np.array(value)


def arrays(
    call: str, value: Any, names: Collection[str], dtype: np.dtype[Any], what: str = ANSWER
) -> Tensors:
    """{name: NumPy array of the run's dtype}, of these names and no others."""
    _there(call, value, what)
    if not isinstance(value, Mapping):
        raise _wrong(call, f"{what} is a {_kind(value)}, a dict {{name: NumPy array}} is expected")
    missing, more = (sorted(a - b) for a, b in ((set(names), set(value)), (set(value), set(names))))
    if missing or more:
        known = [f"{len(missing)} names are missing, as {missing[0]!r}"] if missing else []
        other = [f"{len(more)} are unknown, as {more[0]!r}"] if more else []
        raise _wrong(call, f"{what}: {' and '.join(known + other)}")
    return {name: array(call, each, dtype, f"{what}[{name!r}]") for name, each in value.items()}


def pair(call: str, value: Any, what: str) -> tuple[Any, Any]:
    _there(call, value)
    if not isinstance(value, tuple) or len(value) != 2:
        raise _wrong(call, f"{ANSWER} is a {_kind(value)}, a tuple is expected: {what}")
    return value


def number(call: str, value: Any, what: str) -> float:
    _there(call, value, what)
    if not isinstance(value, float | np.floating):
        raise _wrong(call, f"{what} is a {_kind(value)}, a float is expected")
    return float(value)


def lazy(call: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Whatever `np.asarray` converts to floats of this shape."""
    _there(call, value)
    try:
        converted = np.asarray(value)
    except Exception as error:  # a framework may raise anything
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _wrong(call, f"np.asarray cannot convert {ANSWER}, a {_kind(value)} ({why})") from None
    if converted.dtype.kind != "f":
        raise _wrong(call, f"{ANSWER} is a {_kind(value)} of {converted.dtype}, floats are expected")
    if converted.shape != shape:
        raise _wrong(call, f"{ANSWER} has the shape {converted.shape}, expected {shape}")
    return converted


def names(call: str, value: Any) -> list[str]:
    """Of devices or dtypes: a tuple or list of texts."""
    _there(call, value)
    if not isinstance(value, tuple | list) or not all(isinstance(name, str) for name in value):
        raise _wrong(call, f'{ANSWER} is {value!r}, a tuple of names is expected, as ("cpu",)')
    return list(value)


def texts(call: str, value: Any) -> dict[str, str]:
    _there(call, value)
    if not isinstance(value, Mapping):
        raise _wrong(call, f"{ANSWER} is a {_kind(value)}, a dict {{name: text}} is expected")
    return {str(name): str(text) for name, text in value.items()}


def _there(call: str, value: Any, what: str = ANSWER) -> None:
    if value is None:
        raise Stopped(Stop(call, f"nothing is returned yet: {what} is None", True))


def _wrong(call: str, reason: str) -> Stopped:
    return Stopped(Stop(call, reason, False))


def _kind(value: Any) -> str:
    """ "torch.Tensor", "list" """
    cls = type(value)
    package = cls.__module__.partition(".")[0]
    return cls.__name__ if package == "builtins" else f"{package}.{cls.__name__}"
