"""Exceptions as ClickHouse writes them, and the HTTP status of each."""

from __future__ import annotations

import re

from ..wire import Response

SYNTAX_ERROR = 62
UNKNOWN_SETTING = 115
READONLY = 164
QUERY_WAS_CANCELLED = 394
ACCESS_DENIED = 497
AUTHENTICATION_FAILED = 516

NAMES = {
    60: "UNKNOWN_TABLE",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    81: "UNKNOWN_DATABASE",
    UNKNOWN_SETTING: "UNKNOWN_SETTING",
    READONLY: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    241: "MEMORY_LIMIT_EXCEEDED",
    QUERY_WAS_CANCELLED: "QUERY_WAS_CANCELLED",
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    ACCESS_DENIED: "ACCESS_DENIED",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
}
# What its HTTP handler answers; everything else is 500.
STATUSES = {
    **dict.fromkeys((6, 27, 36, 38, 41, 42, 43, 53, 62, 70, 72, 169, 386, 456, 457), 400),
    **dict.fromkeys((192, 193, 516), 403),
    194: 401,
    **dict.fromkeys((16, 46, 47, 50, 56, 60, 81, 115), 404),
    159: 408,
    48: 501,
}
_CODE = re.compile(r"Code: (\d+)\. DB::\w*Exception: ")


class ClickHouseError(Exception):
    """An exception with its code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @staticmethod
    def of(error: Exception) -> ClickHouseError:
        """Reads what the engine raised."""
        text = str(error)
        found = _CODE.search(text)
        if not found:
            raise error
        # The engine adds the name by itself.
        return ClickHouseError(int(found[1]), text[found.end() :].strip())

    def text(self, version: str) -> str:
        """As the server writes it."""
        name = NAMES.get(self.code)
        marked = self.message if name is None or f"({name})" in self.message else f"{self.message} ({name})"
        return f"Code: {self.code}. DB::Exception: {marked} (version {version} (official build))\n"

    def response(self, version: str) -> Response:
        """The answer, when nothing of a result was sent."""
        headers = {"Content-Type": "text/plain; charset=UTF-8", "X-ClickHouse-Exception-Code": str(self.code)}
        return Response(STATUSES.get(self.code, 500), headers, self.text(version).encode())


def denied(user: str, grant: str) -> ClickHouseError:
    """A grant that the user lacks."""
    text = f"{user}: Not enough privileges. To execute this query, it's necessary to have the grant {grant}."
    return ClickHouseError(ACCESS_DENIED, text)
