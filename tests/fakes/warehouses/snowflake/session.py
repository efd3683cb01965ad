"""An account's objects and the context of one request. There are no sessions in the SQL API: every request
brings its own context, or takes the user's defaults.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from .errors import SnowflakeError, payload

# Parameters that the SQL API takes, with what their values look like (reference page, statements_parameters).
_TEXT = re.compile(r".{0,2000}", re.DOTALL)
_COUNT = re.compile(r"\d{1,9}")
PARAMETERS: dict[str, re.Pattern[str]] = {
    "BINARY_OUTPUT_FORMAT": re.compile(r"(?i)HEX|BASE64|UTF-?8"),
    "CLIENT_RESULT_CHUNK_SIZE": _COUNT,
    "DATE_OUTPUT_FORMAT": _TEXT,
    "MULTI_STATEMENT_COUNT": _COUNT,
    "QUERY_TAG": _TEXT,
    "ROWS_PER_RESULTSET": _COUNT,
    "TIMESTAMP_LTZ_OUTPUT_FORMAT": _TEXT,
    "TIMESTAMP_NTZ_OUTPUT_FORMAT": _TEXT,
    "TIMESTAMP_OUTPUT_FORMAT": _TEXT,
    "TIMESTAMP_TZ_OUTPUT_FORMAT": _TEXT,
    "TIMEZONE": re.compile(r"[A-Za-z0-9_+\-/]{1,64}"),
    "TIME_OUTPUT_FORMAT": _TEXT,
    "USE_CACHED_RESULT": re.compile(r"(?i)true|false"),
}


@dataclass
class WarehouseState:
    """A virtual warehouse: whether it runs, and how often a statement woke it up."""

    running: bool = True
    auto_resume: bool = True
    resumes: int = 0


@dataclass
class Account:
    """What exists in the account beside its data."""

    name: str
    user: str
    roles: set[str]
    default_role: str
    warehouses: dict[str, WarehouseState] = field(default_factory=dict)
    databases: dict[str, set[str]] = field(default_factory=dict)
    denied: Container[str] = field(default_factory=set)
    read_only: bool = False


@dataclass
class Session:
    """The context of one request."""

    account: Account
    role: str
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def timezone(self) -> str:
        """The session's time zone; UTC unless the request says another."""
        return self.parameters.get("TIMEZONE", "UTC")

    def need_warehouse(self) -> None:
        """Refuses a statement that needs compute and has none; wakes a suspended warehouse up."""
        state = self.account.warehouses.get(self.warehouse or "")
        if state is None or (not state.running and not state.auto_resume):
            raise SnowflakeError(
                422,
                "000606",
                "No active warehouse selected in the current session. "
                "Select an active warehouse with the 'use warehouse' command.",
                "57P03",
            )
        if not state.running:
            state.running = True
            state.resumes += 1


def parameters_of(value: Any) -> dict[str, str]:
    """The session parameters of a request, by upper-case name."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise payload("parameters must be an object")
    parameters = {}
    for name, given in value.items():
        pattern = PARAMETERS.get(name.upper())
        if pattern is None:
            raise payload(f"parameters.{name} is not a parameter of the SQL API")
        if isinstance(given, bool):
            text = str(given).lower()
        elif isinstance(given, str | int):
            text = str(given)
        else:
            raise payload(f"parameters.{name} must be a string")
        if not pattern.fullmatch(text):
            raise payload(f"parameters.{name} has an invalid value")
        parameters[name.upper()] = text
    return parameters


def open_session(account: Account, body: dict[str, Any]) -> Session:
    """The context that a request asks for. Names are compared by case (reference page)."""

    def named(field_name: str) -> str | None:
        return body.get(field_name) or None

    role = named("role") or account.default_role
    if role not in account.roles:
        raise SnowflakeError(
            403,
            "390186",
            f"Role '{role}' specified in the connect string is not granted to this user. Contact your local "
            "system administrator, or attempt to login with another role, e.g. PUBLIC.",
        )
    warehouse, database, schema = named("warehouse"), named("database"), named("schema")
    if warehouse is not None and warehouse not in account.warehouses:
        raise _absent("warehouse")
    if database is not None and database not in account.databases:
        raise _absent("database")
    if schema is not None and (database is None or schema not in account.databases[database]):
        raise _absent("schema")
    return Session(account, role, warehouse, database, schema, parameters_of(body.get("parameters")))


def _absent(kind: str) -> SnowflakeError:
    return SnowflakeError(422, "390201", f"The requested {kind} does not exist or not authorized.", "08004")
