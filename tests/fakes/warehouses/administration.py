"""What an administrator says of users, roles and grants: each service takes a few forms of it, word by word."""

from __future__ import annotations

import re
from collections.abc import Callable, Container

# A name, and one with the names before it: plain, or quoted as the services do.
_NAME = r'(?:`[^`]+`|"[^"]+"|\[[^\]]+\]|[\w$]+)'
_NAMES = rf"{_NAME}(?:\.{_NAME})*"
_PLACE = re.compile(r"'\{(\w+)\}'|\{(\w+)(,?)\}")
_COMMENT = re.compile(r"^\s*--[^\n]*\n", re.MULTILINE)
_QUOTES = re.compile(r'[`"\[\]]')


class Rights:
    """What was granted to a user who began with nothing. It holds the tables that are denied to him."""

    def __init__(self, state: str = "_backflow", usage: bool = False) -> None:
        # The schema of the state, whose tables are the user's own where he may make any.
        self._state = state
        # Schemas and databases that he may use, of services where this is a grant of its own.
        self.used: set[str] | None = set() if usage else None
        self.schemas: set[str] = set()
        self.tables: set[str] = set()
        # Schemas whose tables are his from now on, and those that were there before.
        self.future: dict[str, set[str]] = {}

    def __contains__(self, table: object) -> bool:
        schema = str(table).rpartition(".")[0]
        database, _, name = schema.rpartition(".")
        if name == self._state:
            return False
        if self.used is not None and not {schema, database} <= self.used:
            return True
        new = schema in self.future and table not in self.future[schema]
        return not (new or schema in self.schemas or table in self.tables)


class Forms:
    """The statements of administrators that a service takes, and what becomes of each.

    `{name}` stands for a name with those before it, `{names,}` for several; they are given as they were written.
    `'{text}'` stands for a text, which is given without its quotes.
    """

    def __init__(self, forms: dict[str, Callable[..., None]]) -> None:
        self._forms = [(_pattern(form), act) for form, act in forms.items()]

    def take(self, statement: str) -> bool:
        """Whether it is of such a form. What it says holds from now on; ValueError for what is not there."""
        for pattern, act in self._forms:
            if found := pattern.fullmatch(_bare(statement)):
                act(**found.groupdict())
                return True
        return False


def statements(sql: str) -> list[str]:
    """Statements, each of which ends with a semicolon at the end of a line."""
    return [statement for statement in re.split(r";[ \t]*(?:\n|$)", sql) if _bare(statement)]


def plain(name: str) -> str:
    """A name without its quotes."""
    return _QUOTES.sub("", name)


def known(name: str, names: Container[str]) -> str:
    """A name that is among these; ValueError for another."""
    if name not in names:
        raise ValueError(f"there is no {name}")
    return name


def drops_state(statement: str) -> bool:
    """Whether it drops the schema of the state, and so what was granted on it."""
    found = re.fullmatch(rf"DROP SCHEMA ({_NAMES}) CASCADE", _bare(statement), re.IGNORECASE)
    return found is not None and plain(found[1]).rpartition(".")[2] == "_backflow"


def _bare(statement: str) -> str:
    return _COMMENT.sub("", statement + "\n").strip()


def _pattern(form: str) -> re.Pattern[str]:
    pattern, at = "", 0
    for place in _PLACE.finditer(form):
        pattern += _words(form[at : place.start()])
        several = rf"(?:\s*,\s*{_NAMES})*" if place[3] else ""
        pattern += rf"'(?P<{place[1]}>[^']*)'" if place[1] else f"(?P<{place[2]}>{_NAMES}{several})"
        at = place.end()
    return re.compile(pattern + _words(form[at:]), re.IGNORECASE)


def _words(text: str) -> str:
    return re.sub(r"(?:\\ )+", r"\\s+", re.escape(text))
