"""Packets of TDS over a socket, in the clear or through TLS whose handshake travels in packets."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time

BATCH, REPLY, ATTENTION, LOGIN, PRELOGIN = 0x01, 0x04, 0x06, 0x10, 0x12
HEAD = 8
MAX_MESSAGE = 64 * 1024 * 1024


class Refused(Exception):
    """The client broke the protocol: the server closes."""


class Gone(Exception):
    """The client went away."""


class Stream:
    """Bytes to and from a client."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._buffer = b""
        self.encrypted = False

    def encrypt(self, context: ssl.SSLContext) -> None:
        """The server's half of a handshake in packets of the prelogin."""
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._say_handshake()
                kind, payload = self._packet()
                if kind != PRELOGIN:
                    raise Refused(f"a packet of type {kind} within the handshake") from None
                self._incoming.write(payload)
            except ssl.SSLError as error:
                self._say_handshake()
                raise Gone from error
        self._say_handshake()
        # What came behind the handshake already is encrypted, and in no packet.
        self.encrypted, rest, self._buffer = True, self._buffer, b""
        self._incoming.write(rest)
        self._decrypt()

    def _say_handshake(self) -> None:
        told = self._outgoing.read()
        if told:
            for packet in frame(PRELOGIN, told, 4096):
                self._socket.sendall(packet)

    def _packet(self) -> tuple[int, bytes]:
        """One packet in the clear."""
        head = self._exactly(HEAD)
        length = struct.unpack(">H", head[2:4])[0]
        if length < HEAD:
            raise Refused("a packet shorter than its head")
        return head[0], self._exactly(length - HEAD)

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._pump()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _pump(self) -> None:
        try:
            heard = self._socket.recv(65536)
        except OSError as error:
            raise Gone from error
        if not heard:
            raise Gone
        if not self.encrypted:
            self._buffer += heard
            return
        self._incoming.write(heard)
        self._decrypt()

    def _decrypt(self) -> None:
        assert self._tls is not None
        while True:
            try:
                clear = self._tls.read(65536)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLError as error:
                raise Gone from error
            if not clear:
                raise Gone
            self._buffer += clear

    def waiting(self, seconds: float) -> bool:
        """Whether the client has said something within this time."""
        if self._buffer:
            return True
        readable, _, _ = select.select([self._socket], [], [], seconds)
        if readable:
            self._pump()
        return bool(self._buffer)

    def message(self, most: int) -> tuple[int, bytes]:
        """The next message: its type, and what is in its packets, which must be in order and no longer than agreed."""
        whole, kind, number = b"", None, 0
        while True:
            head = self._exactly(HEAD)
            found, status, length, _, sequence, _ = struct.unpack(">BBHHBB", head)
            if not HEAD <= length <= most:
                raise Refused(f"a packet of {length} bytes, where {most} are agreed")
            if kind is not None and found != kind:
                raise Refused("a message of two types")
            # Where drivers begin to count differs: MS-TDS has servers ignore it.
            number = sequence if kind is None else number
            if sequence != number & 0xFF:
                raise Refused(f"packet {sequence} where {number} was to come")
            if status & ~0x09:
                raise Refused(f"a packet of status {status}")
            whole += self._exactly(length - HEAD)
            if len(whole) > MAX_MESSAGE:
                raise Refused("a message that is too long")
            kind, number = found, number + 1
            if status & 1:
                return found, whole

    def send(self, data: bytes) -> None:
        """Sends bytes, encrypted if that is agreed."""
        if self.encrypted and self._tls:
            for start in range(0, len(data), 16384):
                self._tls.write(data[start : start + 16384])
            data = self._outgoing.read()
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Gone from error

    def drip(self, data: bytes, rate: int) -> None:
        """Sends so many bytes a second."""
        for start in range(0, len(data), 256):
            self.send(data[start : start + 256])
            time.sleep(len(data[start : start + 256]) / rate)

    def reset(self) -> None:
        """Ends the connection as a crash would."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def frame(kind: int, payload: bytes, size: int) -> list[bytes]:
    """A message in packets."""
    room = size - HEAD
    parts = [payload[start : start + room] for start in range(0, len(payload), room)] or [b""]
    return [
        struct.pack(">BBHHBB", kind, at == len(parts), len(part) + HEAD, 0, at & 0xFF, 0) + part
        for at, part in enumerate(parts, 1)
    ]
