"""Errors as the server numbers them."""

from __future__ import annotations

import re

import duckdb


class SqlError(Exception):
    """An error of the server: its number, level, state and line."""

    def __init__(self, number: int, message: str, line: int = 1, level: int = 16, state: int = 1) -> None:
        super().__init__(message)
        self.number, self.message, self.line, self.level, self.state = number, message, line, level, state


def login_failed(user: str) -> SqlError:
    """A client is told state 1, whatever is wrong."""
    return SqlError(18456, f"Login failed for user '{user}'.", level=14)


def line_of(sql: str, name: str) -> int:
    """The line in which a name stands first."""
    at = sql.lower().find(name.lower())
    return 1 if at < 0 else sql.count("\n", 0, at) + 1


def of_engine(error: duckdb.Error, sql: str) -> SqlError:
    """DuckDB's error as the server would say it."""
    text = str(error)
    column = re.search(r'(?:Referenced column|column named|column with name) "([^"]+)"', text)
    if column or "does not have a column" in text:
        name = column[1] if column else "column"
        return SqlError(207, f"Invalid column name '{name}'.", line_of(sql, name))
    if isinstance(error, duckdb.ConversionException):
        return SqlError(245, "Conversion failed when converting the value to data type int.")
    if isinstance(error, duckdb.OutOfRangeException):
        return SqlError(8115, "Arithmetic overflow error converting expression to data type int.")
    if isinstance(error, duckdb.ConstraintException):
        return SqlError(2627, "Violation of PRIMARY KEY constraint. Cannot insert duplicate key in object.", level=14)
    if "already exists" in text:
        return SqlError(2714, "There is already an object named like this in the database.")
    if isinstance(error, duckdb.TransactionException) or "onflict" in text:
        return SqlError(3960, "Snapshot isolation transaction aborted due to update conflict.")
    if "GROUP BY" in text:
        return SqlError(8120, "Column is invalid in the select list because it is not in the GROUP BY clause.")
    return SqlError(102, "Incorrect syntax near the statement.")
