"""T-SQL's types: their descriptions and values on the wire, and what they are in DuckDB."""

from __future__ import annotations

import datetime as dt
import decimal
import struct
import uuid
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

# LCID 1033 with Windows' usual comparison, code page 1252; and the same in UTF-8.
COLLATION = bytes.fromhex("0904d00034")
UTF8 = bytes.fromhex("0904d00400")
MAX = 0xFFFF
T = exp.DataType.Type
_NAMES = {
    T.UTINYINT: "tinyint",
    T.TINYINT: "tinyint",
    T.SMALLINT: "smallint",
    T.INT: "int",
    T.BIGINT: "bigint",
    T.BIT: "bit",
    T.BOOLEAN: "bit",
    T.FLOAT: "float",
    T.DOUBLE: "float",
    T.DECIMAL: "decimal",
    T.MONEY: "money",
    T.SMALLMONEY: "smallmoney",
    T.DATE: "date",
    T.TIME: "time",
    T.DATETIME: "datetime",
    T.TIMESTAMP: "datetime2",
    T.DATETIME2: "datetime2",
    T.SMALLDATETIME: "smalldatetime",
    T.TIMESTAMPTZ: "datetimeoffset",
    T.UUID: "uniqueidentifier",
    T.CHAR: "char",
    T.VARCHAR: "varchar",
    T.NCHAR: "nchar",
    T.NVARCHAR: "nvarchar",
    T.TEXT: "text",
    T.BINARY: "binary",
    T.VARBINARY: "varbinary",
    T.ROWVERSION: "rowversion",
    T.IMAGE: "image",
    T.XML: "xml",
    T.VARIANT: "sql_variant",
    T.GEOGRAPHY: "geography",
    T.GEOMETRY: "geometry",
}
_DUCK = {
    "tinyint": "UTINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "bit": "BOOLEAN",
    "float": "DOUBLE",
    "real": "FLOAT",
    "money": "DECIMAL(19, 4)",
    "smallmoney": "DECIMAL(10, 4)",
    "date": "DATE",
    "time": "TIME",
    "datetime": "TIMESTAMP",
    "datetime2": "TIMESTAMP",
    "smalldatetime": "TIMESTAMP",
    "datetimeoffset": "TIMESTAMPTZ",
    "uniqueidentifier": "UUID",
    "binary": "BLOB",
    "varbinary": "BLOB",
    "image": "BLOB",
    "rowversion": "BLOB",
}
_INTEGERS = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}
_YEAR_1, _YEAR_1900 = dt.date(1, 1, 1), dt.date(1900, 1, 1)


@dataclass(frozen=True)
class Kind:
    """A type: its name, its length in characters or bytes (None: max), precision and scale."""

    name: str
    length: int | None = None
    precision: int = 18
    scale: int = 0
    utf8: bool = False

    def duck(self) -> exp.DataType:
        """The type that DuckDB keeps it in."""
        if self.name == "decimal":
            return exp.DataType.build(f"DECIMAL({self.precision}, {self.scale})", dialect="duckdb")
        return exp.DataType.build(_DUCK.get(self.name, "TEXT"), dialect="duckdb")

    def info(self) -> bytes:
        """How a column's description says it."""
        name, length = self.name, MAX if self.length is None else self.length
        if name in _INTEGERS:
            return bytes([0x26, _INTEGERS[name]])
        if name in ("varchar", "char"):
            collation = UTF8 if self.utf8 else COLLATION
            return struct.pack("<BH", 0xA7 if name == "varchar" else 0xAF, length) + collation
        if name in ("nvarchar", "nchar"):
            size = MAX if self.length is None else self.length * 2
            return struct.pack("<BH", 0xE7 if name == "nvarchar" else 0xEF, size) + COLLATION
        if name in ("varbinary", "binary", "rowversion"):
            return struct.pack("<BH", 0xA5 if name == "varbinary" else 0xAD, 8 if name == "rowversion" else length)
        if name in ("text", "image"):
            collation = COLLATION if name == "text" else b""
            return struct.pack("<BI", 0x23 if name == "text" else 0x22, 0x7FFFFFFF) + collation + b"\x01" + _long("t")
        if name in ("geography", "geometry", "hierarchyid"):
            clr = b"".join(_short(part) for part in ("shop", "sys", name))
            return struct.pack("<BH", 0xF0, MAX) + clr + _long("Microsoft.SqlServer.Types")
        return {
            "bit": b"\x68\x01",
            "real": b"\x6d\x04",
            "float": b"\x6d\x08",
            "money": b"\x6e\x08",
            "smallmoney": b"\x6e\x04",
            "datetime": b"\x6f\x08",
            "smalldatetime": b"\x6f\x04",
            "date": b"\x28",
            "time": bytes([0x29, self.scale]),
            "datetime2": bytes([0x2A, self.scale]),
            "datetimeoffset": bytes([0x2B, self.scale]),
            "uniqueidentifier": b"\x24\x10",
            "decimal": bytes([0x6A, 17, self.precision, self.scale]),
            "xml": b"\xf1\x00",
            "sql_variant": struct.pack("<BI", 0x62, 8009),
        }[name]

    def encode(self, value: Any) -> bytes:
        """A value as a row has it."""
        name = self.name
        pieces = self.length is None and name in ("varchar", "nvarchar", "varbinary")
        if pieces or name in ("xml", "geography", "geometry", "hierarchyid"):
            return b"\xff" * 8 if value is None else _pieces(self._text(value))
        if name in ("varchar", "nvarchar", "varbinary", "char", "nchar", "binary", "rowversion"):
            text = b"" if value is None else self._text(value)
            return b"\xff\xff" if value is None else struct.pack("<H", len(text)) + text
        if name in ("text", "image"):
            text = b"" if value is None else self._text(value)
            return b"\x00" if value is None else b"\x10" + b"\xee" * 24 + struct.pack("<I", len(text)) + text
        if name == "sql_variant":
            return bytes(4)
        if value is None:
            return b"\x00"
        encoded = self._number(value)
        return bytes([len(encoded)]) + encoded

    def _text(self, value: Any) -> bytes:
        if self.name in ("varbinary", "binary", "rowversion", "image"):
            return bytes(value)
        text = str(value)
        if self.name in ("char", "nchar") and self.length:
            text = text.ljust(self.length)
        if self.name in ("varchar", "char", "text"):
            return text.encode("utf-8") if self.utf8 else text.encode("cp1252", "replace")
        return text.encode("utf-16-le")

    def _number(self, value: Any) -> bytes:
        name = self.name
        if name in _INTEGERS:
            return int(value).to_bytes(_INTEGERS[name], "little", signed=name != "tinyint")
        if name == "bit":
            return bytes([bool(value)])
        if name in ("real", "float"):
            return struct.pack("<f" if name == "real" else "<d", value)
        if name in ("money", "smallmoney"):
            whole = int(_scaled(value, 4))
            return (
                struct.pack("<i", whole)
                if name == "smallmoney"
                else struct.pack("<iI", whole >> 32, whole & 0xFFFFFFFF)
            )
        if name == "decimal":
            whole = int(_scaled(value, self.scale))
            return bytes([whole >= 0]) + abs(whole).to_bytes(16, "little")
        if name == "uniqueidentifier":
            return uuid.UUID(str(value)).bytes_le
        if name == "date":
            return _days(value, _YEAR_1).to_bytes(3, "little")
        if name == "time":
            return self._clock(value)
        if name == "datetime":
            ticks = round((value - dt.datetime.combine(value.date(), dt.time())).total_seconds() * 300)
            return struct.pack("<iI", _days(value.date(), _YEAR_1900), ticks)
        if name == "smalldatetime":
            return struct.pack("<HH", _days(value.date(), _YEAR_1900), value.hour * 60 + value.minute)
        offset = b"" if name == "datetime2" else struct.pack("<h", 0)
        if offset:
            value = value.astimezone(dt.UTC)
        return self._clock(value.time()) + _days(value.date(), _YEAR_1).to_bytes(3, "little") + offset

    def _clock(self, value: dt.time) -> bytes:
        ticks = ((value.hour * 60 + value.minute) * 60 + value.second) * 10**7 + value.microsecond * 10
        size = 3 if self.scale <= 2 else 4 if self.scale <= 4 else 5
        unit: int = 10 ** (7 - self.scale)
        return (ticks // unit).to_bytes(size, "little")


def of_sql(node: exp.DataType, utf8: bool = False) -> Kind | None:
    """The type that T-SQL's words name; None for one that this fake does not have."""
    if node.this == T.USERDEFINED:
        return Kind("hierarchyid") if str(node.args.get("kind")).lower() == "hierarchyid" else None
    name = _NAMES.get(node.this)
    if name is None:
        return None
    given = [str(parameter.this) for parameter in node.expressions]
    if name in ("varchar", "nvarchar", "varbinary"):
        first = given[0].upper() if given else "1"
        return Kind(name, None if first == "MAX" else int(first), utf8=utf8)
    if name in ("char", "nchar", "binary"):
        return Kind(name, int(given[0]) if given else 1, utf8=utf8)
    if name == "decimal":
        return Kind(name, None, int(given[0]) if given else 18, int(given[1]) if len(given) > 1 else 0)
    if name in ("time", "datetime2", "datetimeoffset"):
        return Kind(name, scale=int(given[0]) if given else 7)
    if name == "float":
        return Kind("real" if given and int(given[0]) <= 24 else "float")
    return Kind(name, utf8=utf8)


def of_engine(name: str, values: list[Any]) -> Kind:
    """The type of an expression, by DuckDB's name for it."""
    if name.startswith("DECIMAL"):
        precision, scale = name[8:-1].split(",")
        return Kind("decimal", None, int(precision), int(scale))
    if name == "VARCHAR":
        longest = max((len(value.encode("utf-16-le")) // 2 for value in values if value is not None), default=1)
        return Kind("nvarchar", 4000 if longest <= 4000 else None)
    return {
        "BOOLEAN": Kind("bit"),
        "UTINYINT": Kind("tinyint"),
        "SMALLINT": Kind("smallint"),
        "BIGINT": Kind("bigint"),
        "HUGEINT": Kind("bigint"),
        "DOUBLE": Kind("float"),
        "FLOAT": Kind("real"),
        "DATE": Kind("date"),
        "TIME": Kind("time", scale=7),
        "TIMESTAMP": Kind("datetime2", scale=7),
        "TIMESTAMP WITH TIME ZONE": Kind("datetimeoffset", scale=7),
        "UUID": Kind("uniqueidentifier"),
        "BLOB": Kind("varbinary"),
    }.get(name, Kind("int"))


def _scaled(value: Any, scale: int) -> decimal.Decimal:
    return decimal.Decimal(value).scaleb(scale, decimal.Context(prec=60))


def _days(date: dt.date, since: dt.date) -> int:
    return (date - since).days


def _pieces(data: bytes) -> bytes:
    """In pieces of an odd number of bytes, and without saying how many there are."""
    out = struct.pack("<Q", 0xFFFFFFFFFFFFFFFE)
    for start in range(0, len(data), 4001):
        piece = data[start : start + 4001]
        out += struct.pack("<I", len(piece)) + piece
    return out + bytes(4)


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def _long(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")
