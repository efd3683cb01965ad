"""HTTP on the wire: what a fake sees of a request, what it answers, and the server between both."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

MAX_BODY = 32 * 1024 * 1024
IDLE_SECONDS = 60
SLOW_CHUNK = 256


@dataclass(frozen=True)
class Request:
    """One HTTP request as it arrived."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Message
    body: bytes
    base_url: str

    def header(self, name: str) -> str | None:
        """The header's value, or None when it was not sent."""
        value = self.headers.get(name)
        return None if value is None else str(value).strip()


@dataclass
class Response:
    """One HTTP answer; `body` is sent as it is."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @staticmethod
    def json(status: int, value: Any, **headers: str) -> Response:
        """An answer with a JSON body."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return Response(status, {"Content-Type": "application/json", **named}, json.dumps(value).encode())


@dataclass
class Delivery:
    """How the answer's bytes travel. Nothing set: all of them, at once."""

    reset_after: int | None = None
    close_after: int | None = None
    bytes_per_second: int | None = None


@dataclass(frozen=True)
class Place:
    """Where a listener is."""

    host: str = "127.0.0.1"
    port: int = 0
    # The service's own name, for clients that a proxy leads here; without one they know the address.
    name: str | None = None


class Service(Protocol):
    """What a listener serves."""

    def answer(self, request: Request) -> tuple[Response, Delivery]:
        """The answer to a request and how it is delivered."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fake"
    sys_version = ""
    timeout = IDLE_SECONDS
    server: _Listener

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            self._send(Response(413 if length.isdigit() else 411, {"Content-Length": "0"}), Delivery())
            return
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=parts.path,
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers=self.headers,
            body=self.rfile.read(int(length)),
            base_url=self.server.url,
        )
        response, delivery = self.server.service.answer(request)
        self._send(response, delivery)

    def __getattr__(self, name: str) -> Callable[[], None]:
        # Every method reaches the service, which answers 405 in its own form.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _send(self, response: Response, delivery: Delivery) -> None:
        headers = dict(response.headers)
        headers.setdefault("Content-Length", str(len(response.body)))
        head = f"HTTP/1.1 {response.status} {self.responses.get(response.status, ('',))[0]}\r\n"
        head += f"Date: {self.date_time_string()}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if self.close_connection:
            head += "Connection: close\r\n"
        data = head.encode("latin-1") + b"\r\n"
        if self.command != "HEAD":
            data += response.body
        self._write(data, len(data) - len(response.body), delivery)

    def _write(self, data: bytes, head: int, delivery: Delivery) -> None:
        """Writes the answer; the limits of a delivery count the bytes of the body."""
        cut = delivery.reset_after if delivery.reset_after is not None else delivery.close_after
        if cut is not None:
            data = data[: head + cut] if cut > 0 else b""
        try:
            if delivery.bytes_per_second:
                self.wfile.write(data[:head])
                self._drip(data[head:], delivery.bytes_per_second)
            else:
                self.wfile.write(data)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            return
        if delivery.reset_after is not None:
            # Linger 0 turns the close into a TCP reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if cut is not None:
            self.close_connection = True

    def _drip(self, body: bytes, rate: int) -> None:
        for start in range(0, len(body), SLOW_CHUNK):
            chunk = body[start : start + SLOW_CHUNK]
            self.wfile.write(chunk)
            self.wfile.flush()
            time.sleep(len(chunk) / rate)

    def log_message(self, format: str, *args: Any) -> None:
        """The ledger is the log."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, place: Place, service: Service, context: ssl.SSLContext | None) -> None:
        super().__init__((place.host, place.port), _Handler)
        self.service = service
        self._context = context
        self.address = f"{place.host}:{self.server_address[1]}"
        scheme = "https" if context else "http"
        self.url = f"{scheme}://{place.name or self.address}"

    def get_request(self) -> tuple[Any, Any]:
        request, address = super().get_request()
        if self._context:
            # The handshake waits for the connection's own thread: a silent client delays nobody.
            request = self._context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, address

    def shutdown_request(self, request: Any) -> None:
        # A shutdown would send a clean end of stream before the reset.
        if request.fileno() >= 0 and request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or that refused the certificate, is no event; anything else is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Server:
    """A listener in a thread of its own."""

    def __init__(self, service: Service, place: Place | None = None, context: ssl.SSLContext | None = None) -> None:
        self._listener = _Listener(place or Place(), service, context)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Scheme, and the name or the address by which clients know it."""
        return self._listener.url

    @property
    def address(self) -> str:
        """Host and port that it listens at."""
        return self._listener.address

    def close(self) -> None:
        """Stops listening."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
