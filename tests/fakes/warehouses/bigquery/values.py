"""Results on the wire: TableSchema and rows of f and v."""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
from decimal import Decimal
from typing import Any

from ..engine import Column
from .errors import query as query_error

_NAMES = {
    "tinyint": "INTEGER", "smallint": "INTEGER", "integer": "INTEGER", "bigint": "INTEGER", "hugeint": "NUMERIC",
    "utinyint": "INTEGER", "usmallint": "INTEGER", "uinteger": "INTEGER", "ubigint": "NUMERIC", "boolean": "BOOLEAN",
    "double": "FLOAT", "float": "FLOAT", "varchar": "STRING", "blob": "BYTES", "date": "DATE", "time": "TIME",
    "timestamp": "DATETIME", "timestamp with time zone": "TIMESTAMP", "uuid": "STRING", "null": "INTEGER",
    '"null"': "INTEGER",
}  # fmt: skip
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_BIG_SCALE = 9


def schema(columns: list[Column]) -> dict[str, Any]:
    """The TableSchema of a result; BigQuery has no two columns of one name."""
    names = [column.name for column in columns]
    for name in names:
        if [other.lower() for other in names].count(name.lower()) > 1:
            raise query_error(f"Duplicate column names in the result are not supported. Found duplicate(s): {name}")
    return {"fields": [_field(column.name, column.kind) for column in columns]}


def _field(name: str, kind: Any) -> dict[str, Any]:
    if kind.id == "list":
        return {**_field(name, kind.children[0][1]), "mode": "REPEATED"}
    found = {"name": name, "mode": "NULLABLE"}
    if kind.id == "struct":
        return {**found, "type": "RECORD", "fields": [_field(inner, of) for inner, of in kind.children]}
    if str(kind) == "JSON":
        return {**found, "type": "JSON"}
    if kind.id == "decimal":
        scale = int(re.findall(r"\d+", str(kind))[1])
        return {**found, "type": "NUMERIC" if scale <= _BIG_SCALE else "BIGNUMERIC"}
    if kind.id not in _NAMES and str(kind).lower() not in _NAMES:
        raise query_error(f"The type {kind} is not supported by this fake")
    return {**found, "type": _NAMES.get(kind.id) or _NAMES[str(kind).lower()]}


def encode(value: Any, field: dict[str, Any], timestamps: str) -> Any:
    """One value as the v of a cell."""
    if field["mode"] == "REPEATED":
        inner = {**field, "mode": "NULLABLE"}
        return [{"v": encode(item, inner, timestamps)} for item in value or []]
    if value is None:
        return None
    if field["type"] == "RECORD":
        return {"f": [{"v": encode(value[of["name"]], of, timestamps)} for of in field["fields"]]}
    return _scalar(value, field["type"], timestamps)


def _scalar(value: Any, kind: str, timestamps: str) -> str:
    match kind:
        case "BOOLEAN":
            return "true" if value else "false"
        case "FLOAT":
            return _float(float(value))
        case "NUMERIC" | "BIGNUMERIC":
            text = format(Decimal(value), "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        case "BYTES":
            return base64.b64encode(bytes(value)).decode()
        case "TIMESTAMP":
            return _timestamp(value, timestamps)
        case "DATETIME":
            return str(value.isoformat())
        case _:
            return str(value)


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value).replace("e+", "E").replace("e", "E")


def _timestamp(value: dt.datetime, form: str) -> str:
    micros = (value - _EPOCH) // _MICROSECOND
    if form == "INT64":
        return str(micros)
    if form == "ISO8601_STRING":
        text = value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
        return f"{text}Z"
    # A float of seconds, as the service prints it: 1.577836800123456E9.
    digits = format(Decimal(micros) / 1_000_000, "E")
    mantissa, _, exponent = digits.partition("E")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"


def form_of(options: dict[str, Any]) -> str:
    """How timestamps are printed, from the format options of a request."""
    form = str(options.get("timestampOutputFormat", ""))
    if form in ("INT64", "ISO8601_STRING", "FLOAT64"):
        return form
    return "INT64" if str(options.get("useInt64Timestamp", "")).lower() == "true" else "FLOAT64"
