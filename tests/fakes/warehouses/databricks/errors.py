"""Databricks' errors: of a request (HTTP), and of a statement (its status, with HTTP 200)."""

from __future__ import annotations

import re
from typing import Any

import duckdb

from ..wire import Response


class ApiError(Exception):
    """A request that is refused (page "Statement Execution API", error codes of the REST API reference)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def response(self) -> Response:
        """The HTTP answer."""
        return Response.json(self.status, {"error_code": self.code, "message": self.message, "details": []})


def invalid(message: str) -> ApiError:
    """A field with a value that the service does not take."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def unauthenticated() -> ApiError:
    """No credentials, or an OAuth token that expired."""
    return ApiError(401, "401", "Credential was not sent or was of an unsupported type for this API.")


class StatementError(Exception):
    """A statement that failed: an error class of Databricks SQL and its SQLSTATE (page "Error classes")."""

    def __init__(self, error_class: str, state: str, message: str, code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.error_class, self.state, self.message, self.code = error_class, state, message, code

    def status(self) -> dict[str, Any]:
        """As the status of the statement."""
        message = f"[{self.error_class}] {self.message} SQLSTATE: {self.state}"
        return {"state": "FAILED", "error": {"error_code": self.code, "message": message}, "sql_state": self.state}


def table_missing(name: str) -> StatementError:
    """A table that is not there."""
    text = f"The table or view {name} cannot be found. Verify the spelling and correctness of the schema and catalog."
    return StatementError("TABLE_OR_VIEW_NOT_FOUND", "42P01", text)


_ENGINE = (
    (r'Referenced (?:column|table) "([^"]+)" not found', "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703",
     "A column, variable, or function parameter with name `{0}` cannot be resolved."),
    (r'Ambiguous reference to column name "([^"]+)"', "AMBIGUOUS_REFERENCE", "42704", "Reference `{0}` is ambiguous."),
    (r"Could not convert string '([^']*)' to (\S+)", "CAST_INVALID_INPUT", "22018",
     "The value '{0}' of the type \"STRING\" cannot be cast to \"{1}\" because it is malformed."),
    (r"NOT NULL constraint failed: (\S+)", "DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502",
     "NOT NULL constraint violated for column: {0}."),
    (r"Invalid Input Error: raised: (.*)", "USER_RAISED_EXCEPTION", "P0001", "{0}"),
    (r"(?i)division by zero", "DIVIDE_BY_ZERO", "22012", "Division by zero."),
)  # fmt: skip


def of_engine(error: duckdb.Error) -> StatementError:
    """Databricks' error for one of DuckDB. What has no counterpart keeps the engine's text."""
    text = str(error)
    for pattern, error_class, state, message in _ENGINE:
        found = re.search(pattern, text)
        if found:
            return StatementError(error_class, state, message.format(*found.groups()))
    return StatementError("INTERNAL_ERROR", "XX000", text.splitlines()[0], "INTERNAL_ERROR")
