"""What a request must look like, before anything is done with it (reference page and the OpenAPI file)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from ..wire import Request
from .errors import SnowflakeError, payload

UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_BOOLEAN = re.compile(r"true|false")
_AGENT = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(/\S+)?(\s.*)?")
_POST = {"requestId": UUID, "async": _BOOLEAN, "nullable": _BOOLEAN, "retry": _BOOLEAN}
_GET = {"requestId": UUID, "partition": re.compile(r"\d{1,9}")}
_CANCEL = {"requestId": UUID}
_TEXT_FIELDS = ("database", "schema", "warehouse", "role")
_FIELDS = {"statement", "timeout", "bindings", "parameters", "resultSetMetaData", *_TEXT_FIELDS}
MAX_TIMEOUT = 604_800

_BINDINGS: dict[str, tuple[str, str | None]] = {
    # Binding type: (pattern of its value, DuckDB expression over the value unless it is itself), page "Submitting a request".
    "FIXED": (r"[+-]?\d{1,38}", "CAST('{0}' AS HUGEINT)"),
    "REAL": (r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", "CAST('{0}' AS DOUBLE)"),
    "DECFLOAT": (r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", "CAST('{0}' AS DOUBLE)"),
    "TEXT": (r"[\s\S]*", None),
    "BINARY": (r"([0-9A-Fa-f]{2})*", "unhex('{0}')"),
    "BOOLEAN": (r"(?i)true|false|0|1", "CAST('{0}' AS BOOLEAN)"),
    "DATE": (r"-?\d+", "CAST(epoch_ms(CAST('{0}' AS BIGINT)) AS DATE)"),
    "TIME": (r"\d+", "CAST(make_timestamp(CAST('{0}' AS BIGINT) // 1000) AS TIME)"),
    "TIMESTAMP_NTZ": (r"-?\d+", "make_timestamp(CAST('{0}' AS BIGINT) // 1000)"),
    "TIMESTAMP_LTZ": (r"-?\d+", "make_timestamp(CAST('{0}' AS BIGINT) // 1000) AT TIME ZONE 'UTC'"),
    "TIMESTAMP_TZ": (r"-?\d+ \d{1,4}", "make_timestamp(CAST('{0}' AS BIGINT) // 1000) AT TIME ZONE 'UTC'"),
}  # fmt: skip


@dataclass(frozen=True)
class Submission:
    """A well-formed request to run a statement."""

    statement: str
    body: dict[str, Any]
    timeout: int
    literals: list[exp.Expression]
    request_id: str | None
    is_async: bool
    nullable: bool
    retry: bool


def check_headers(request: Request) -> None:
    """Headers of all operations."""
    agent = request.header("user-agent")
    if not agent or not _AGENT.fullmatch(agent):
        raise SnowflakeError(400, "391903", f"Unsupported User-Agent header {agent or 'null'} is specified.")
    accept = request.header("accept")
    types = [part.split(";")[0].strip().lower() for part in (accept or "").split(",")]
    if not {"application/json", "application/*", "*/*"} & set(types):
        raise SnowflakeError(400, "391902", f"Unsupported Accept header {accept or 'null'} is specified.")


def query(request: Request, allowed: dict[str, re.Pattern[str]]) -> dict[str, str]:
    """The query parameters; an unknown, repeated or malformed one is refused."""
    found: dict[str, str] = {}
    for name, value in request.query:
        if name not in allowed or name in found:
            raise payload(f"The query parameter {name} is not allowed.")
        if not allowed[name].fullmatch(value):
            raise payload(f"The query parameter {name} has an invalid value.")
        found[name] = value
    return found


def partition(request: Request) -> int:
    """Which partition a GET asks for."""
    return int(query(request, _GET).get("partition", "0"))


def cancel(request: Request) -> None:
    """A cancel request has no body and no parameter but its id."""
    query(request, _CANCEL)


def submission(request: Request) -> Submission:
    """Reads a POST to /api/v2/statements."""
    content = (request.header("content-type") or "").split(";")[0].strip().lower()
    if content != "application/json":
        raise SnowflakeError(415, "391918", f"Unsupported Content-Type header {content or 'null'} is specified.")
    asked = query(request, _POST)
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise payload("") from error
    if not isinstance(body, dict):
        raise payload("")
    unknown = body.keys() - _FIELDS
    if unknown:
        raise payload(f"Unknown field {sorted(unknown)[0]}.")
    statement = body.get("statement")
    if not isinstance(statement, str):
        raise payload("statement must be a string.")
    for name in _TEXT_FIELDS:
        if name in body and not isinstance(body[name], str):
            raise payload(f"{name} must be a string.")
    timeout = body.get("timeout", MAX_TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 <= timeout <= MAX_TIMEOUT:
        raise payload("timeout must be a number of seconds from 0 to 604800.")
    if body.get("resultSetMetaData", {"format": "jsonv2"}) != {"format": "jsonv2"}:
        raise payload("resultSetMetaData.format must be jsonv2.")
    return Submission(
        statement=statement,
        body=body,
        timeout=timeout or MAX_TIMEOUT,
        literals=_bindings(body.get("bindings", {})),
        request_id=asked.get("requestId"),
        is_async=asked.get("async") == "true",
        nullable=asked.get("nullable") != "false",
        retry=asked.get("retry") == "true",
    )


def _bindings(value: Any) -> list[exp.Expression]:
    if not isinstance(value, dict):
        raise payload("bindings must be an object.")
    literals = []
    for position in range(1, len(value) + 1):
        binding = value.get(str(position))
        if not isinstance(binding, dict) or binding.keys() != {"type", "value"}:
            raise payload(f"bindings.{position} must have a type and a value.")
        kind, text = binding["type"], binding["value"]
        if not isinstance(kind, str) or kind not in _BINDINGS:
            raise payload(f"bindings.{position}.type is not a binding type.")
        if text is None:
            literals.append(exp.Null())
            continue
        if not isinstance(text, str):
            raise payload(f"bindings.{position}.value must be a string.")
        pattern, form = _BINDINGS[kind]
        if not re.fullmatch(pattern, text):
            raise SnowflakeError(422, "100037", f"{kind} value '{text}' is not recognized", "22018")
        if form is None:
            # As it is: to parse what a binding may hold takes a second.
            literals.append(exp.Literal.string(text))
            continue
        filled = form.format(text.split(" ")[0] if kind == "TIMESTAMP_TZ" else text)
        literals.append(sqlglot.parse_one(filled, read="duckdb"))
    return literals
