"""A table in Azure SQL, a witness that reads it, and a client that sends what a test says."""

from __future__ import annotations

import pathlib
import socket
import ssl
import struct
from typing import Any

import pytds

from ..azuresql import packets
from ..running import Running

SEED = """
CREATE TABLE customers (id int NOT NULL, name nvarchar(50), plan varchar(20));
INSERT INTO customers VALUES (1, N'é one', NULL), (2, NULL, 'pro'), (3, N'three', 'free');
CREATE TABLE kinds (a tinyint, b bigint, c bit, d float, e float(24), f decimal(20,4), g money, h smallmoney,
    i date, j time(3), k datetime, l datetime2(6), m smalldatetime, n datetimeoffset(7), o uniqueidentifier,
    p nchar(3), q varchar(max), r nvarchar(max), s varbinary(8), t varbinary(max), u xml, v smallint);
INSERT INTO kinds VALUES (255, -9007199254740993, 1, 0.1, 0.5, -12.5, 922337203685.4775, -214748.3648,
    '2026-01-02', '03:04:05.678', '2026-01-02T03:04:05.5', '2026-01-02T03:04:05.678901', '2026-01-02T03:04:00',
    '2026-01-02T03:04:05.5+00:00', '6f9619ff-8b86-d011-b42d-00c04fc964ff', N'a', 'é', N'é 😀',
    0x00ffab, 0x01, '<a/>', -7);
INSERT INTO kinds (a) VALUES (NULL);
"""


def connect(running: Running, folder: pathlib.Path, **changes: Any) -> pytds.Connection:
    """python-tds, which has nothing in common with the fake, logs in."""
    told = running.connection
    authority = folder / "ca.pem"
    if not authority.exists():
        authority.write_text(told["certificateAuthority"])
    given: dict[str, Any] = {
        "dsn": told["host"],
        "port": told["port"],
        "database": told["database"],
        "user": told["user"],
        "password": told["password"],
        "cafile": str(authority),
        "autocommit": True,
        "login_timeout": 20,
        "timeout": 20,
    }
    return pytds.connect(**{**given, **changes})


class Raw:
    """Sends bytes, and reads whole messages."""

    def __init__(self, running: Running) -> None:
        told = running.connection
        self._socket = socket.create_connection((told["host"], told["port"]), 20)
        self._context = ssl.create_default_context(cadata=told["certificateAuthority"])
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._heard = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, kind: int, payload: bytes, size: int = 4096) -> None:
        for packet in packets.frame(kind, payload, size):
            self.say(packet)

    def say(self, data: bytes) -> None:
        if self._tls:
            self._tls.write(data)
            data = self._outgoing.read()
        self._socket.sendall(data)

    def _exactly(self, size: int) -> bytes:
        while len(self._heard) < size:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError
            if not self._tls:
                self._heard += data
                continue
            self._incoming.write(data)
            try:
                while True:
                    self._heard += self._tls.read(65536)
            except ssl.SSLWantReadError:
                pass
        data, self._heard = self._heard[:size], self._heard[size:]
        return data

    def receive(self) -> bytes:
        """The next message; EOFError when the server closes."""
        whole = b""
        while True:
            head = self._exactly(8)
            whole += self._exactly(struct.unpack(">H", head[2:4])[0] - 8)
            if head[1] & 1:
                return whole

    def encrypt(self) -> None:
        """The client's half of a handshake in packets."""
        tls = self._context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.send(packets.PRELOGIN, self._outgoing.read())
                self._incoming.write(self.receive())
        last = self._outgoing.read()
        if last:
            self.send(packets.PRELOGIN, last)
        self._tls = tls


PRELOGIN = bytes.fromhex("00001000060100160001ff") + bytes(5) + bytes(6) + b"\x01"


def login7(told: dict[str, Any], **changes: Any) -> bytes:
    """A login in bytes, made by the specification and by nothing that the fake reads it with."""
    texts = ["witness", told["user"], told["password"], "pytest", "localhost", None, "raw", "", told["database"]]
    for name, value in changes.items():
        if name in ("user", "password", "database"):
            texts[{"user": 1, "password": 2, "database": 8}[name]] = value
    head = (
        struct.pack("<IIIII", changes.get("version", 0x74000004), changes.get("size", 4096), 0, 1, 0)
        + bytes([changes.get("flags1", 0xE0), changes.get("flags2", 3), 0, 0x10])
        + bytes(8)
    )
    at, places, body, hole = 94, b"", b"", 0
    for number, text in enumerate(texts):
        if text is None:
            data, length, hole = bytes(4), 4, len(body)
        else:
            data, length = text.encode("utf-16-le"), len(text.encode("utf-16-le")) // 2
            if number == 2:
                data = bytes(((byte << 4 | byte >> 4) & 0xFF) ^ 0xA5 for byte in data)
        places += struct.pack("<HH", at + len(body), length)
        body += data
    end = at + len(body)
    places += bytes(6) + struct.pack("<HHHHHH", end, 0, end, 0, end, 0) + bytes(4)
    body = body[:hole] + struct.pack("<I", end) + body[hole + 4 :] + changes.get("features", b"\x0a\x01\0\0\0\x01\xff")
    message = head + places + body
    return struct.pack("<I", len(message) + 4 + changes.get("longer", 0)) + message


def batch(sql: str) -> bytes:
    """A statement with its headers."""
    return bytes.fromhex("16000000120000000200000000000000000001000000") + sql.encode("utf-16-le")
