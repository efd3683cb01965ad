"""A small language for the JSON that a service takes: what is not in it is refused with the place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


class Mismatch(Exception):
    """A value that the service does not take, and where it is."""

    def __init__(self, path: str, reason: str, unknown: bool = False) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path, self.reason, self.unknown = path, reason, unknown


@dataclass(frozen=True)
class Text:
    """A string, of a pattern or of a closed set."""

    pattern: str | None = None
    values: frozenset[str] | None = None


@dataclass(frozen=True)
class Number:
    """A whole number within bounds; 64-bit ones may be strings."""

    low: int = 0
    high: int = 2**63 - 1
    text: bool = True


@dataclass(frozen=True)
class Map:
    """An object with any keys."""

    value: Any


@dataclass(frozen=True)
class Fields:
    """An object with these members and no others."""

    members: dict[str, Any]
    required: frozenset[str] = frozenset()


def one_of(*values: str) -> Text:
    """A string of a closed set."""
    return Text(values=frozenset(values))


def fields(required: str = "", /, **members: Any) -> Fields:
    """An object; `required` are names separated by spaces."""
    return Fields(members, frozenset(required.split()))


def check(value: Any, rule: Any, path: str = "") -> None:
    """Refuses a value that does not follow its rule."""
    if rule is bool:
        if not isinstance(value, bool):
            raise Mismatch(path, "is not a boolean")
    elif isinstance(rule, Text):
        _text(value, rule, path)
    elif isinstance(rule, Number):
        _number(value, rule, path)
    elif isinstance(rule, list):
        if not isinstance(value, list):
            raise Mismatch(path, "is not a list")
        for at, item in enumerate(value):
            check(item, rule[0], f"{path}[{at}]")
    elif isinstance(rule, Map):
        for name, item in _object(value, path).items():
            check(item, rule.value, f"{path}.{name}".lstrip("."))
    elif isinstance(rule, Fields):
        _fields(value, rule, path)


def _text(value: Any, rule: Text, path: str) -> None:
    if not isinstance(value, str):
        raise Mismatch(path, "is not a string")
    if rule.values is not None and value not in rule.values:
        raise Mismatch(path, f"is not one of {', '.join(sorted(rule.values))}")
    if rule.pattern is not None and not re.fullmatch(rule.pattern, value):
        raise Mismatch(path, "has an invalid value")


def _number(value: Any, rule: Number, path: str) -> None:
    if rule.text and isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Mismatch(path, "is not a whole number")
    if not rule.low <= value <= rule.high:
        raise Mismatch(path, f"is not between {rule.low} and {rule.high}")


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mismatch(path, "is not an object")
    return value


def _fields(value: Any, rule: Fields, path: str) -> None:
    given = _object(value, path)
    for name, item in given.items():
        inner = f"{path}.{name}".lstrip(".")
        if name not in rule.members:
            raise Mismatch(inner, "is not a field", unknown=True)
        check(item, rule.members[name], inner)
    for name in sorted(rule.required - given.keys()):
        raise Mismatch(f"{path}.{name}".lstrip("."), "is missing")
