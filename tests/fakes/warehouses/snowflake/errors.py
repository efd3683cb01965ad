"""Snowflake's errors: HTTP status, code, SQL state and message, and how the engine's errors become them.

Where a code or message is published it is said by which page; the rest was seen in public logs. README.md
lists those that are assumed.
"""

from __future__ import annotations

import re
from typing import Any

import duckdb

from ..names import decode
from ..wire import Response


class SnowflakeError(Exception):
    """An answer that is not a result."""

    def __init__(self, status: int, code: str, message: str, sql_state: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.sql_state = status, code, message, sql_state

    def body(self, handle: str | None = None) -> dict[str, Any]:
        """The JSON body: of a refused request, or QueryFailureStatus when there is a statement."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.sql_state is not None:
            body["sqlState"] = self.sql_state
        if handle is not None:
            body["statementHandle"] = handle
        return body

    def response(self, handle: str | None = None) -> Response:
        """The HTTP answer."""
        if self.status in (404, 405) and not self.message:
            return Response(self.status, {"Content-Length": "0"})
        return Response.json(self.status, self.body(handle))


def payload(detail: str) -> SnowflakeError:
    """A request that is malformed (reference page, 400)."""
    return SnowflakeError(400, "390142", f"Incoming request does not contain a valid payload. {detail}".strip())


def compilation(code: str, state: str, detail: str) -> SnowflakeError:
    """A statement that does not compile (reference page, 422)."""
    return SnowflakeError(422, code, f"SQL compilation error:\n{detail}", state)


def syntax(detail: str) -> SnowflakeError:
    """A syntax error."""
    return compilation("001003", "42000", f"syntax error {detail}.")


def missing(kind: str, name: str) -> SnowflakeError:
    """An object that is not there, or that the role may not see: Snowflake does not tell which."""
    state = "42S02" if kind == "Object" else "02000"
    return compilation("002003", state, f"{kind} '{name}' does not exist or not authorized.")


def unsupported(feature: str) -> SnowflakeError:
    """A statement that cannot run here."""
    return SnowflakeError(422, "000002", f"Unsupported feature '{feature}'.", "0A000")


def not_found(handle: str) -> SnowflakeError:
    """A handle that is unknown, of another user, or whose result is gone (reference page, cancel)."""
    return SnowflakeError(422, "000709", f"Statement {handle} not found", "02000")


def cancelled() -> SnowflakeError:
    """A statement that was cancelled (reference page, cancel)."""
    return SnowflakeError(422, "000604", "SQL execution canceled", "57014")


_ENGINE: tuple[tuple[re.Pattern[str], str, str, str], ...] = tuple(
    (re.compile(pattern), code, state, text)
    for pattern, code, state, text in (
        (r"Table with name (\S+) does not exist", "002003", "42S02", "Object '{0}' does not exist or not authorized."),
        (
            r'(?:schema|Schema with name) "?([^" ]+)"? does not exist',
            "002003",
            "02000",
            "Schema '{0}' does not exist or not authorized.",
        ),
        (
            r'Referenced column "([^"]+)" not found',
            "000904",
            "42000",
            "error line 1 at position 0\ninvalid identifier '{0}'",
        ),
        (
            r'Referenced table "([^"]+)" not found',
            "000904",
            "42000",
            "error line 1 at position 0\ninvalid identifier '{0}'",
        ),
        (
            r'Table "([^"]+)" does not have a column named "([^"]+)"',
            "000904",
            "42000",
            "error line 1 at position 0\ninvalid identifier '{0}.{1}'",
        ),
        (
            r'(?:Table|View|Schema) with name "?([^"!]+?)"? already exists',
            "002002",
            "42710",
            "Object '{0}' already exists.",
        ),
        (r'Ambiguous reference to column name "([^"]+)"', "002028", "42601", "ambiguous column name '{0}'"),
    )
)


def of_engine(error: duckdb.Error) -> SnowflakeError:
    """Snowflake's error for one of DuckDB. What has no counterpart keeps the engine's text."""
    text = decode(str(error))
    for pattern, code, state, detail in _ENGINE:
        found = pattern.search(text)
        if found:
            return compilation(code, state, detail.format(*found.groups()))
    first = text.splitlines()[0]
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return SnowflakeError(422, "100038", f"Numeric value is not recognized. {first}", "22018")
    if isinstance(error, duckdb.ConstraintException):
        return SnowflakeError(422, "100072", f"NULL result in a non-nullable column. {first}", "22000")
    if isinstance(error, duckdb.BinderException):
        return compilation("001044", "42P13", f"error line 1 at position 0\n{first}")
    return SnowflakeError(422, "000603", f"SQL execution internal error: {first}", "XX000")
