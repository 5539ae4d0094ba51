"""From a YAML file to a validated model, or to one line that says where the file is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lockstep.errors import LockstepError

Model = TypeVar("Model", bound=BaseModel)
Key = Sequence[str | int]

EXPECTED = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "too_short": "a list that is not empty",
}
"""What pydantic's types of errors ask for, in words."""
INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """YAML 1.2 numbers (1e-4 is one, 1:30 and 010 are not), keys that are text, and no key twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as in the base class, without its YAML 1.1 numbers
        first: [pair for pair in pairs if pair[0] not in (INT, FLOAT)]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == INT:  # sizes, as in JSON
                key.tag = "tag:yaml.org,2002:str"
            if key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(
                    problem="a key must be text; put it in quotes", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(INT, re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    FLOAT,
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|nan)$"),
    list("-+.0123456789"),
)


def read(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.  Raises LockstepError."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise LockstepError(f"{path}: {error.strerror}; name a config file that can be read") from None
    except UnicodeDecodeError:
        raise LockstepError(f"{path}: not a text file in UTF-8; save it as one") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", str(error))
        raise LockstepError(
            f"{path}{f', line {mark.line + 1}' if mark else ''}: not valid YAML: {problem}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise LockstepError(f"{path}: not a config: {str(error)[:100]}") from None
    if not isinstance(content, dict):
        raise LockstepError(f"{path}: expected `key: value` lines, found {type(content).__name__}")
    return content


def validate(
    model: type[Model], content: Any, file: str, section: Callable[[Key], str] = lambda key: ""
) -> Model:
    """`content` as a `model`.  `section` gives what stands before a key in the file."""
    try:
        # Strict JSON mode takes a list for a tuple and 1 for 1.0, but never "5" or true for 5.
        return model.model_validate_json(json.dumps(content, default=str), strict=True)
    except (ValueError, RecursionError) as invalid:
        if not isinstance(invalid, ValidationError):
            raise LockstepError(f"{file}: not a config: {str(invalid)[:100]}") from None
        errors = invalid.errors()
    # In a union every branch complains: the deepest complaint is about the branch that was meant.
    # A misspelt key also counts as a missing one: the misspelling says more.
    error = max(errors, key=lambda error: (len(error["loc"]), error["type"] == "extra_forbidden"))
    key = _key(error["loc"], content, error["type"] == "missing")
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
    raise LockstepError(f"{file}: {section(key)}{text}: {_explain(model, error)}")


def holds(tree: Any, key: Key) -> bool:
    """Whether `key` was set in `tree`; a list is always set whole."""
    for part in key:
        if isinstance(tree, list):
            return True
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def _key(loc: Key, content: Any, missing: bool) -> Key:
    """A location without the tags that pydantic adds for the branches of a union.

    missing: its last part is a key that is not there.
    """
    key: list[str | int] = []
    for position, part in enumerate(loc):
        inside = (isinstance(content, dict) and part in content) or (
            isinstance(content, list) and isinstance(part, int) and part < len(content)
        )
        last = position == len(loc) - 1
        if inside:
            content = content[part]
        if inside or (last and missing):
            key.append(part)
    return key


def _explain(model: type[BaseModel], error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "missing"
    if error["type"] == "extra_forbidden":
        allowed = _allowed(model, error["loc"][:-1])
        close = get_close_matches(str(error["loc"][-1]), allowed, n=1)
        return f"unknown key{f' (did you mean {close[0]}?)' if close else ''}; allowed: {', '.join(allowed)}"
    if error["type"] == "union_tag_invalid":
        return f"unknown kind {error['ctx']['tag']!r}; allowed: {error['ctx']['expected_tags']}"
    message, given = error["msg"].removeprefix("Value error, "), error["input"]
    if error["type"] == "value_error" and isinstance(given, dict):  # it says itself which keys are at odds
        return message
    wanted = EXPECTED.get(error["type"])
    message = f"expected {wanted}" if wanted else message.replace("Input should be", "expected")
    quotes = "; put it in quotes" if wanted == "text" and not isinstance(given, dict | list) else ""
    return f"{message}, not {json.dumps(given, default=str)}{quotes}"


def _allowed(model: type[BaseModel], loc: Key) -> list[str]:
    """The keys of the model at `loc`: a part is a field, a list index, or the tag of a union's branch."""
    models = [model]
    for part in loc:
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        if fields:
            models = _models(fields[0].annotation)
        elif isinstance(part, str):
            models = [m for m in models if part in _tags(m)]
    return list(models[0].model_fields)


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    """What tells a branch of a union: its kind, or else its name."""
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind else (model.__name__,)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]
