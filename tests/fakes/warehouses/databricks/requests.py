"""What the API takes: the body of a submission (REST API reference, ExecuteStatementRequest of the SDKs)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ..schema import Mismatch, Number, Text, check, fields, one_of
from ..wire import Request
from .errors import ApiError, invalid

MAX_STATEMENT = 16 * 1024 * 1024
_NAME = Text()
_BODY = fields(
    "statement warehouse_id",
    statement=_NAME,
    warehouse_id=Text(r"[0-9a-f]{16}"),
    catalog=_NAME,
    schema=_NAME,
    parameters=[fields("name", name=Text(r"\w+"), value=_NAME, type=_NAME)],
    row_limit=Number(low=1),
    byte_limit=Number(low=1),
    disposition=one_of("INLINE", "EXTERNAL_LINKS"),
    format=one_of("JSON_ARRAY", "ARROW_STREAM", "CSV"),
    wait_timeout=Text(r"\d{1,2}s"),
    on_wait_timeout=one_of("CONTINUE", "CANCEL"),
    query_tags=[fields("key", key=_NAME, value=_NAME)],
)
_WAITS = {0, *range(5, 51)}


@dataclass(frozen=True)
class Submission:
    """A well-formed request to run a statement."""

    statement: str
    warehouse: str
    catalog: str | None
    schema: str | None
    parameters: dict[str, tuple[str | None, str]]
    row_limit: int | None
    byte_limit: int | None
    external: bool
    wait: int
    cancel_after_wait: bool


def submission(request: Request) -> Submission:
    """Reads a POST to /api/2.0/sql/statements."""
    body = _json(request)
    try:
        check(body, _BODY)
    except Mismatch as wrong:
        if wrong.unknown or wrong.reason.endswith(("object", "list", "string", "boolean", "number")):
            raise ApiError(400, "MALFORMED_REQUEST", f"Could not parse request object: {wrong}") from wrong
        raise invalid(f"{wrong}.") from wrong
    if not body["statement"].strip():
        raise invalid("statement must not be empty.")
    if len(body["statement"].encode()) > MAX_STATEMENT:
        raise invalid("statement is larger than 16 MiB.")
    wait = int(body.get("wait_timeout", "10s")[:-1])
    if wait not in _WAITS:
        raise invalid("wait_timeout must be 0s, or between 5s and 50s.")
    external = body.get("disposition") == "EXTERNAL_LINKS"
    form = body.get("format", "JSON_ARRAY")
    if form != "JSON_ARRAY":
        where = "this fake" if external else "the INLINE disposition"
        raise invalid(f"The format {form} is not supported by {where}. Use JSON_ARRAY.")
    return Submission(
        statement=body["statement"],
        warehouse=body["warehouse_id"],
        catalog=body.get("catalog"),
        schema=body.get("schema"),
        parameters={one["name"]: (one.get("value"), one.get("type", "STRING")) for one in body.get("parameters", [])},
        row_limit=int(body["row_limit"]) if "row_limit" in body else None,
        byte_limit=int(body["byte_limit"]) if "byte_limit" in body else None,
        external=external,
        wait=wait,
        cancel_after_wait=body.get("on_wait_timeout") == "CANCEL",
    )


def _json(request: Request) -> Any:
    kind = (request.header("content-type") or "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(400, "MALFORMED_REQUEST", "The body of the request must be JSON with its Content-Type.")
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise ApiError(400, "MALFORMED_REQUEST", "Invalid JSON given in the body of the request.") from error


def no_query(request: Request) -> None:
    """These operations have no query parameters."""
    for name, _ in request.query:
        raise invalid(f"Unknown query parameter {name}.")


_CHUNK = re.compile(r"\d{1,9}")


def chunk(text: str) -> int:
    """The number of a chunk in a path."""
    if not _CHUNK.fullmatch(text):
        raise invalid(f"{text} is not a chunk index.")
    return int(text)
