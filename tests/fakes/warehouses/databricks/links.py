"""External links: presigned URLs of chunks in an object store that knows nothing of the workspace's tokens."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
import time
from urllib.parse import urlencode

from ..wire import Request, Response

PREFIX = "/bucket/results/"
LIFETIME = 900


class Links:
    """Signs links, and serves what they lead to."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._bodies: dict[str, bytes] = {}
        self._valid_from = 0.0

    def expire(self) -> None:
        """Links that were given until now are too old."""
        self._valid_from = time.time()

    def sign(self, base_url: str, name: str, body: bytes) -> tuple[str, str]:
        """A link to a body, and when it expires."""
        self._bodies[name] = body
        issued = f"{time.time():.6f}"
        query = {"X-Amz-Date": issued, "X-Amz-Expires": str(LIFETIME), "X-Amz-Signature": self._signature(name, issued)}
        expires = dt.datetime.fromtimestamp(float(issued) + LIFETIME, dt.UTC)
        return f"{base_url}{PREFIX}{name}?{urlencode(query)}", expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _signature(self, name: str, issued: str) -> str:
        return hmac.new(self._key, f"{name} {issued}".encode(), hashlib.sha256).hexdigest()

    def serve(self, request: Request) -> Response:
        """The object store: it refuses a request that brings a second kind of credentials."""
        if request.method != "GET":
            return _refused(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        if request.header("authorization"):
            text = (
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header."
            )
            return _refused(400, "InvalidArgument", text)
        name, query = request.path.removeprefix(PREFIX), dict(request.query)
        issued = query.get("X-Amz-Date", "")
        if not hmac.compare_digest(query.get("X-Amz-Signature", ""), self._signature(name, issued)):
            return _refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
        if float(issued) <= self._valid_from or float(issued) + LIFETIME < time.time():
            return _refused(403, "AccessDenied", "Request has expired")
        return Response(200, {"Content-Type": "application/json"}, self._bodies[name])


def _refused(status: int, code: str, message: str) -> Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(status, {"Content-Type": "application/xml"}, text.encode())
