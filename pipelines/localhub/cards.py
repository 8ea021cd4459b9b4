"""A README's front matter: what the Hub reads of a card, and when it refuses one."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any

import yaml

from pipelines.localhub.errors import InvalidCardError

# Aliases let a short text stand for a huge value, which would only show when it is sent as JSON.
MAX_NODES = 50_000
MAX_TEXT = 1 << 20
MAX_FRONT = 256 * 1024
# A value that does not fit its tag, such as `!!bool x`, leaves the loader as whatever error it met.
_UNREADABLE = (
    yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError
)  # fmt: skip
_TEXTS = ("tags", "language", "license", "datasets", "base_model", "task_categories", "size_categories")


class _Loader(yaml.SafeLoader):
    """Without merge keys (`<<`), by which ten lines stand for a mapping that fills the memory while it is read. Not
    the loader in C: a deep nesting ends the process there."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.YAMLError("merge keys (<<) are not supported")


def split(text: str) -> tuple[str | None, str]:
    """Front matter (None without one) and the text below it."""
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].rstrip() != "---":
        return None, text
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == "---":
            return "".join(lines[1:number]), "".join(lines[number + 1 :])
    return None, text


def check(text: str) -> dict[str, Any]:
    """The metadata, or InvalidCardError with the reason."""
    front, _ = split(text)
    if front is None:
        return {}
    if len(front) > MAX_FRONT:
        raise InvalidCardError("The metadata is too large or too deep")
    try:
        data = yaml.load(front, Loader=_Loader)  # noqa: S506 - a safe loader, made safer
    except _UNREADABLE as error:
        raise InvalidCardError(f"Invalid YAML in README.md: {str(error)[:500]}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InvalidCardError(f"The metadata must be a mapping of keys to values, not {type(data).__name__}")
    _count(data, _Budget())
    for key in _TEXTS:
        value = data.get(key)
        for item in value if isinstance(value, list) else [value]:
            # `no` is a language and a YAML boolean: the classic accident.
            if item is not None and not isinstance(item, str):
                raise InvalidCardError(f'"{key}" must be a string or a list of strings, got {repr(item)[:200]}')
    return data


def metadata(text: str) -> Mapping[str, Any]:
    """As `check`, for showing: a card from before a rule was made still has a page."""
    front, _ = split(text)
    return _metadata(front) if front else {}


@lru_cache(maxsize=128)
def _metadata(front: str) -> Mapping[str, Any]:
    """Parsing YAML is slow, and the clients ask for the same card many times."""
    try:
        return check(f"---\n{front}---\n")
    except InvalidCardError:
        return {}


def tags(data: Mapping[str, Any], of_a_dataset: bool) -> list[str]:
    """The flat list the Hub filters by. A data set's languages are marked as such, a model's are bare."""
    mark = "language:" if of_a_dataset else ""
    found = [*_texts(data.get("tags")), *(mark + language for language in _texts(data.get("language")))]
    for key, prefix in (("license", "license"), ("datasets", "dataset"), ("base_model", "base_model")):
        found += [f"{prefix}:{value}" for value in _texts(data.get(key))]
    for key in ("task_categories", "size_categories"):
        found += [f"{key}:{value}" for value in _texts(data.get(key))]
    return list(dict.fromkeys(found + _texts(data.get("library_name")) + _texts(data.get("pipeline_tag"))))


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


@dataclass
class _Budget:
    """What a card may still hold once its aliases are written out."""

    nodes: int = MAX_NODES
    text: int = MAX_TEXT


def _count(value: object, budget: _Budget, depth: int = 0) -> None:
    budget.nodes -= 1
    budget.text -= len(value) if isinstance(value, str) else 0
    if budget.nodes < 0 or budget.text < 0 or depth > 50:
        raise InvalidCardError("The metadata is too large or too deep")
    if isinstance(value, dict | list):
        for child in [*value, *value.values()] if isinstance(value, dict) else value:
            _count(child, budget, depth + 1)
    else:
        _check_scalar(value)


def _check_scalar(value: object) -> None:
    """YAML can say what JSON, in which the card travels, cannot."""
    if isinstance(value, set | tuple | bytes):
        raise InvalidCardError(f"The metadata contains a value that JSON does not know: {type(value).__name__}")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidCardError("The metadata contains half a character (a lone surrogate)")
    if isinstance(value, int) and value.bit_length() > 64:
        raise InvalidCardError("The metadata contains a number of more than 64 bits")
    if isinstance(value, float) and not isfinite(value):
        raise InvalidCardError("The metadata contains a number that is not finite")
