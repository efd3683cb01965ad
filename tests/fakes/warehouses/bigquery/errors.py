"""BigQuery's errors (page "Error messages" of the BigQuery documents) and the engine's errors as such."""

from __future__ import annotations

import re
from typing import Any

import duckdb

from ..names import decode
from ..wire import Response

# The HTTP status of a reason, and the status word of Google's APIs.
_REASONS: dict[str, tuple[int, str]] = {
    "accessDenied": (403, "PERMISSION_DENIED"),
    "authError": (401, "UNAUTHENTICATED"),
    "backendError": (503, "UNAVAILABLE"),
    "badRequest": (400, "INVALID_ARGUMENT"),
    "badContent": (400, "INVALID_ARGUMENT"),
    "bytesBilledLimitExceeded": (400, "INVALID_ARGUMENT"),
    "duplicate": (409, "ALREADY_EXISTS"),
    "invalid": (400, "INVALID_ARGUMENT"),
    "invalidQuery": (400, "INVALID_ARGUMENT"),
    "notFound": (404, "NOT_FOUND"),
    "parseError": (400, "INVALID_ARGUMENT"),
    "quotaExceeded": (403, "PERMISSION_DENIED"),
    "rateLimitExceeded": (403, "PERMISSION_DENIED"),
    "required": (400, "INVALID_ARGUMENT"),
    "stopped": (499, "CANCELLED"),
}


class BigQueryError(Exception):
    """An error with BigQuery's reason."""

    def __init__(self, reason: str, message: str, location: str | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.location = reason, message, location

    def proto(self) -> dict[str, str]:
        """As a member of a job's status."""
        found = {"reason": self.reason, "message": self.message}
        if self.location:
            found["location"] = self.location
        return found

    def response(self) -> Response:
        """The HTTP answer."""
        status, word = _REASONS[self.reason]
        return body(status, word, self.message, self.reason, self.location)


def body(status: int, word: str, message: str, reason: str, location: str | None = None) -> Response:
    """An answer in Google's form."""
    entry: dict[str, Any] = {"message": message, "domain": "global", "reason": reason}
    if location:
        entry |= {"location": location, "locationType": "header" if location == "Authorization" else "parameter"}
    return Response.json(status, {"error": {"code": status, "message": message, "errors": [entry], "status": word}})


def unauthorized() -> BigQueryError:
    """A token that is missing, unknown or expired."""
    text = (
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential."
    )
    return BigQueryError("authError", text, "Authorization")


def query(message: str) -> BigQueryError:
    """A query that does not compile."""
    return BigQueryError("invalidQuery", message, "query")


_ENGINE = (
    (re.compile(r'Referenced column "([^"]+)" not found'), "Unrecognized name: {0} at [1:1]"),
    (re.compile(r'Referenced table "([^"]+)" not found'), "Unrecognized name: {0} at [1:1]"),
    (re.compile(r'Ambiguous reference to column name "([^"]+)"'), "Column name {0} is ambiguous at [1:1]"),
)


def of_engine(error: duckdb.Error) -> BigQueryError:
    """BigQuery's error for one of DuckDB. What has no counterpart keeps the engine's text."""
    text = decode(str(error))
    for pattern, message in _ENGINE:
        found = pattern.search(text)
        if found:
            return query(message.format(*found.groups()))
    return query(text.splitlines()[0])
