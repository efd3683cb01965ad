"""Results on the wire: the manifest's schema and rows of a JSON array."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from typing import Any

from ..engine import Column
from .errors import StatementError

_TYPES = {
    "tinyint": ("BYTE", "TINYINT"), "smallint": ("SHORT", "SMALLINT"), "integer": ("INT", "INT"),
    "bigint": ("LONG", "BIGINT"), "hugeint": ("DECIMAL", "DECIMAL(38,0)"), "ubigint": ("DECIMAL", "DECIMAL(20,0)"),
    "boolean": ("BOOLEAN", "BOOLEAN"), "float": ("FLOAT", "FLOAT"), "double": ("DOUBLE", "DOUBLE"),
    "varchar": ("STRING", "STRING"), "uuid": ("STRING", "STRING"), "blob": ("BINARY", "BINARY"),
    "date": ("DATE", "DATE"), "timestamp": ("TIMESTAMP", "TIMESTAMP_NTZ"), "null": ("NULL", "VOID"),
    '"null"': ("NULL", "VOID"), "timestamp with time zone": ("TIMESTAMP", "TIMESTAMP"),
}  # fmt: skip


def columns(found: list[Column]) -> list[dict[str, Any]]:
    """Members of the manifest's schema."""
    described = []
    for position, column in enumerate(found):
        name, text = _type(column.kind)
        entry: dict[str, Any] = {"name": column.name, "type_text": text, "type_name": name, "position": position}
        if name == "DECIMAL":
            precision, scale = re.findall(r"\d+", text)
            entry |= {"type_precision": int(precision), "type_scale": int(scale)}
        described.append(entry)
    return described


def _type(kind: Any) -> tuple[str, str]:
    if str(kind) == "JSON":
        return "STRING", "VARIANT"
    if kind.id == "decimal":
        return "DECIMAL", str(kind).replace(" ", "")
    if kind.id == "list":
        return "ARRAY", f"ARRAY<{_type(kind.children[0][1])[1]}>"
    if kind.id == "map":
        return "MAP", "MAP<" + ", ".join(_type(of)[1] for _, of in kind.children) + ">"
    if kind.id == "struct":
        return "STRUCT", "STRUCT<" + ", ".join(f"{name}: {_type(of)[1]}" for name, of in kind.children) + ">"
    found = _TYPES.get(kind.id) or _TYPES.get(str(kind).lower())
    if found is None:
        raise StatementError("UNSUPPORTED_DATATYPE", "0A000", f"The type {kind} is not supported by this fake.")
    return found


def encode(value: Any) -> str | None:
    """One cell: a string, or null."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex().upper()
    if isinstance(value, dt.datetime):
        text = value.astimezone(dt.UTC) if value.tzinfo else value
        return text.strftime("%Y-%m-%dT%H:%M:%S.") + f"{text.microsecond // 1000:03d}" + ("Z" if value.tzinfo else "")
    if isinstance(value, list | dict):
        return json.dumps(value, default=_nested, separators=(",", ":"))
    return str(value)


def _nested(value: Any) -> Any:
    return encode(value)


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value).replace("e+", "E").replace("e", "E")
