"""Results on the wire: column metadata and cells, as of the page "Handling responses"."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from decimal import Decimal
from typing import Any

from ..engine import Column, Rows
from ..names import decode
from . import formats
from .errors import SnowflakeError

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_INTEGERS = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 38, "UTINYINT": 3, "USMALLINT": 5,
             "UINTEGER": 10, "UBIGINT": 20, "UHUGEINT": 38}  # fmt: skip
_SIMPLE = {
    "VARCHAR": "text", "BOOLEAN": "boolean", "DOUBLE": "real", "FLOAT": "real", "BLOB": "binary", "DATE": "date",
    "TIME": "time", "TIMESTAMP": "timestamp_ntz", "TIMESTAMP WITH TIME ZONE": "timestamp_ltz", "UUID": "text",
    "JSON": "variant", '"NULL"': "text", "NULL": "text",
}  # fmt: skip
_TEMPORAL = {"time", "timestamp_ntz", "timestamp_ltz", "timestamp_tz"}
_DEFAULT_TZ = 1440
MAX_TEXT = 16_777_216
_EPOCH = dt.datetime(1970, 1, 1)
_UTC_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def row_type(column: Column, declared: str | None) -> dict[str, Any]:
    """A member of rowType. `declared` is the Snowflake type where the engine's says less."""
    kind, precision, scale, length = _kind(column.type), None, None, None
    if declared in ("timestamp_tz", "object", "array", "variant"):
        kind = declared
    if kind == "fixed":
        found = _DECIMAL.fullmatch(column.type)
        precision, scale = (int(found[1]), int(found[2])) if found else (_INTEGERS[column.type], 0)
    elif kind in _TEMPORAL:
        precision, scale = 0, 9
    elif kind == "text":
        length = MAX_TEXT
    elif kind == "binary":
        length = 8_388_608
    return {
        "name": decode(column.name),
        "database": "",
        "schema": "",
        "table": "",
        "type": kind,
        "byteLength": MAX_TEXT if kind == "text" else length,
        "length": length,
        "precision": precision,
        "scale": scale,
        "nullable": True,
        "collation": None,
    }


def _kind(engine_type: str) -> str:
    if engine_type in _SIMPLE:
        return _SIMPLE[engine_type]
    if engine_type in _INTEGERS or _DECIMAL.fullmatch(engine_type):
        return "fixed"
    if engine_type.endswith("[]"):
        return "array"
    if engine_type.startswith(("STRUCT", "MAP")):
        return "object"
    raise SnowflakeError(422, "000002", f"Unsupported feature 'result type {engine_type}'.", "0A000")


def encode_rows(rows: Rows, types: list[dict[str, Any]], parameters: dict[str, str], nullable: bool) -> list[list[Any]]:
    """All cells as strings, NULL as null (or as "null" when the request said nullable=false)."""
    null = None if nullable else "null"
    kinds = [entry["type"] for entry in types]
    return [
        [null if cell is None else encode(cell, kind, parameters) for cell, kind in zip(row, kinds, strict=True)]
        for row in rows.rows
    ]


def encode(value: Any, kind: str, parameters: dict[str, str]) -> str:
    """One cell as a string."""
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "fixed":
        return format(value, "f") if isinstance(value, Decimal) else str(int(value))
    if kind == "real":
        return _real(float(value))
    if kind == "binary":
        return bytes(value).hex().upper()
    if kind == "date":
        pattern = parameters.get("DATE_OUTPUT_FORMAT")
        return formats.render(value, pattern) if pattern else str((value - _EPOCH.date()).days)
    if kind in _TEMPORAL:
        return _temporal(value, kind, parameters)
    if kind in ("variant", "object", "array"):
        return value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
    return str(value)


def _real(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _temporal(value: Any, kind: str, parameters: dict[str, str]) -> str:
    pattern = parameters.get(f"{kind.upper()}_OUTPUT_FORMAT")
    if pattern is None and kind == "timestamp_ntz":
        pattern = parameters.get("TIMESTAMP_OUTPUT_FORMAT")
    if pattern:
        return formats.render(value, pattern)
    if kind == "time":
        since = dt.datetime.combine(_EPOCH.date(), value) - _EPOCH
    else:
        since = value - (_UTC_EPOCH if value.tzinfo else _EPOCH)
    micros = since // dt.timedelta(microseconds=1)
    sign = "-" if micros < 0 else ""
    seconds, fraction = divmod(abs(micros), 1_000_000)
    text = f"{sign}{seconds}.{fraction:06d}000"
    return f"{text} {_DEFAULT_TZ}" if kind == "timestamp_tz" else text
