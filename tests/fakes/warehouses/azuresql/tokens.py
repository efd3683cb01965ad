"""What answers are made of."""

from __future__ import annotations

import struct
from typing import Any

from .errors import SqlError
from .kinds import Kind

MORE, ERROR, COUNT, ATTENTION = 0x01, 0x02, 0x10, 0x20
SELECT = 0xC1


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def _long(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")


def error(found: SqlError, grave: bool = False) -> bytes:
    """ERROR."""
    body = struct.pack("<IBB", found.number, found.state, 20 if grave else found.level)
    body += _long(found.message) + _short("fake") + _short("") + struct.pack("<I", found.line)
    return b"\xaa" + struct.pack("<H", len(body)) + body


def info(number: int, message: str) -> bytes:
    """INFO."""
    body = struct.pack("<IBB", number, 1, 0) + _long(message) + _short("fake") + _short("") + struct.pack("<I", 1)
    return b"\xab" + struct.pack("<H", len(body)) + body


def done(status: int, rows: int = 0, command: int = 0) -> bytes:
    """DONE."""
    return struct.pack("<BHHQ", 0xFD, status, command, rows)


def acknowledged(database: str, size: int, features: bytes) -> bytes:
    """All that a login is answered with."""
    changes = [b"\x01" + _short(database) + _short("master"), b"\x04" + _short(str(size)) + _short("4096")]
    changes.append(b"\x02" + _short("us_english") + _short(""))
    out = b"".join(b"\xe3" + struct.pack("<H", len(change)) + change for change in changes)
    out += info(5701, f"Changed database context to '{database}'.")
    login = b"\x01" + bytes.fromhex("74000004") + _short("Microsoft SQL Server") + bytes([12, 0, 7, 208])
    out += b"\xad" + struct.pack("<H", len(login)) + login
    if features:
        out += b"\xae" + features + b"\xff"
    return out + done(0)


def routed(host: str, port: int) -> bytes:
    """A login is to be made elsewhere."""
    value = struct.pack("<BH", 0, port) + _long(host)
    change = b"\x14" + struct.pack("<H", len(value)) + value + b"\0\0"
    login = b"\x01" + bytes.fromhex("74000004") + _short("Microsoft SQL Server") + bytes([12, 0, 7, 208])
    return b"\xad" + struct.pack("<H", len(login)) + login + b"\xe3" + struct.pack("<H", len(change)) + change + done(0)


def columns(described: list[tuple[str, Kind]]) -> bytes:
    """COLMETADATA."""
    out = b"\x81" + struct.pack("<H", len(described))
    for name, kind in described:
        user = 0x50 if kind.name == "rowversion" else 0
        out += struct.pack("<IH", user, 9) + kind.info()
        out += _short(name)
    return out


def row(kinds: list[Kind], values: tuple[Any, ...]) -> bytes:
    """ROW, or NBCROW where a third of the values are NULL."""
    missing = [value is None for value in values]
    if sum(missing) * 3 < len(values):
        return b"\xd1" + b"".join(kind.encode(value) for kind, value in zip(kinds, values, strict=True))
    bits = bytearray((len(values) + 7) // 8)
    for at, absent in enumerate(missing):
        bits[at // 8] |= absent << at % 8
    there = [kind.encode(value) for kind, value in zip(kinds, values, strict=True) if value is not None]
    return b"\xd2" + bytes(bits) + b"".join(there)
