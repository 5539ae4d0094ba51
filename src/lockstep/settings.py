"""The base of everything that a person may write down: frozen, strict, no unknown keys."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Count = Annotated[int, Field(gt=0, lt=2**31)]
"""Of images, steps, units, threads: what NumPy and every framework can count."""


def _written_out(path: str) -> str:
    if path.startswith("~"):
        raise ValueError("~ is not expanded; write the folder out, or ./~ for one of that name")
    return path


WrittenOut = AfterValidator(_written_out)
"""Of a path: no shell has expanded it."""


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
