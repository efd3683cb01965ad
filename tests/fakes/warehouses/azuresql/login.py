"""What a client says first: PRELOGIN and LOGIN7, byte by byte."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .packets import Refused

ENCRYPT_OFF, ENCRYPT_ON, ENCRYPT_NOT_SUPPORTED, ENCRYPT_REQUIRED = 0, 1, 2, 3
_SIZES = {0: (6,), 1: (1,), 2: None, 3: (0, 4), 4: (1,), 5: (36,), 6: (1,), 7: (32,)}
_TEXTS = ("host", "user", "password", "program", "server", "extension", "client", "language", "database")
_LONGEST = 128


@dataclass
class Prelogin:
    """What a client wants."""

    encryption: int
    token: bool


@dataclass
class Login:
    """Who a client says that it is."""

    texts: dict[str, str]
    packet_size: int
    features: dict[int, bytes]
    odbc: bool


def read_prelogin(message: bytes) -> Prelogin:
    """Reads a prelogin; refuses what MS-TDS 2.2.6.5 does not allow."""
    options: dict[int, bytes] = {}
    at = 0
    while True:
        if at >= len(message):
            raise Refused("a prelogin without an end")
        code = message[at]
        if code == 0xFF:
            break
        if at + 5 > len(message):
            raise Refused("half an option")
        place, length = struct.unpack(">HH", message[at + 1 : at + 5])
        if code not in _SIZES or code in options or place + length > len(message):
            raise Refused(f"option {code}")
        allowed = _SIZES[code]
        if allowed is not None and length not in allowed:
            raise Refused(f"option {code} of {length} bytes")
        options[code] = message[place : place + length]
        at += 5
    if next(iter(options), None) != 0 or 1 not in options:
        raise Refused("a prelogin begins with the version, and says what it thinks of encryption")
    if options[1][0] > 3:
        raise Refused("encryption")
    return Prelogin(options[1][0], options.get(6, b"\0") == b"\1")


def prelogin(encryption: int, token: bool) -> bytes:
    """The server's answer."""
    options = [(0, bytes([12, 0, 7, 208, 0, 0])), (1, bytes([encryption])), (2, b"\0"), (4, b"\0")]
    if token:
        options.append((6, b"\1"))
    place = 5 * len(options) + 1
    head, body = b"", b""
    for code, value in options:
        head += struct.pack(">BHH", code, place + len(body), len(value))
        body += value
    return head + b"\xff" + body


def read_login(message: bytes) -> Login:
    """Reads a login; refuses what MS-TDS 2.2.6.4 does not allow."""
    if len(message) < 94 or struct.unpack("<I", message[:4])[0] != len(message):
        raise Refused("a login whose length is not its length")
    version, size = struct.unpack("<II", message[4:12])
    if version != 0x74000004:
        raise Refused(f"version {version:#x}")
    if not (size == 0 or 512 <= size <= 32767):
        raise Refused(f"packets of {size} bytes")
    flags1, flags2, kind, flags3 = message[24:28]
    if flags1 & 0x0F or kind & 0xC0:
        raise Refused("byte order, characters or floats of another machine")
    if flags2 & 0x80:
        raise Refused("single sign-on, which this server has not")
    texts: dict[str, str] = {}
    features: dict[int, bytes] = {}
    for number, name in enumerate(_TEXTS):
        place, length = struct.unpack("<HH", message[36 + 4 * number : 40 + 4 * number])
        if name == "extension":
            if flags3 & 0x10:
                features = _features(message, place, length)
            continue
        data = message[place : place + 2 * length]
        if (length and (place < 94 or place + 2 * length > len(message))) or length > _LONGEST:
            raise Refused(f"the {name} is not in the message")
        if name == "password":
            data = bytes((byte ^ 0xA5) >> 4 | ((byte ^ 0xA5) & 0x0F) << 4 for byte in data)
        try:
            texts[name] = data.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise Refused(f"the {name} is no text") from error
    return Login(texts, size or 4096, features, bool(flags2 & 0x02))


def _features(message: bytes, place: int, length: int) -> dict[int, bytes]:
    if length != 4 or place + 4 > len(message):
        raise Refused("an extension of another length")
    at = struct.unpack("<I", message[place : place + 4])[0]
    found: dict[int, bytes] = {}
    while True:
        if not 94 <= at < len(message):
            raise Refused("features without an end")
        code = message[at]
        if code == 0xFF:
            return found
        size = struct.unpack("<I", message[at + 1 : at + 5])[0] if at + 5 <= len(message) else len(message)
        if code in found or at + 5 + size > len(message):
            raise Refused(f"feature {code}")
        found[code] = message[at + 5 : at + 5 + size]
        at += 5 + size


def read_token(feature: bytes, echo: bool) -> str:
    """The token of a login: a security token, and whether the prelogin's word on it was heard."""
    if len(feature) < 5 or feature[0] >> 1 != 1 or bool(feature[0] & 1) != echo:
        raise Refused("a token of another library")
    length = struct.unpack("<I", feature[1:5])[0]
    if len(feature) != 5 + length:
        raise Refused("a token whose length is not its length")
    return feature[5:].decode("utf-16-le")
