"""What the fake was asked and what it answered, without any credential."""

from __future__ import annotations

import json
import re
import threading
from typing import Any
from urllib.parse import parse_qsl

from .wire import Request, Response

MAX_ENTRIES = 100_000
SECRET = re.compile(r"secret|assertion|token$|password|signature|credential", re.IGNORECASE)
SECRET_HEADERS = {"authorization", "proxy-authorization", "cookie"}
HIDDEN = "<redacted>"


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: HIDDEN if SECRET.search(k) and isinstance(v, str) else _hide(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_hide(item) for item in value]
    return value


def _body(request: Request) -> Any:
    kind = request.header("content-type") or ""
    try:
        text = request.body.decode()
        if kind.startswith("application/x-www-form-urlencoded"):
            return _hide(dict(parse_qsl(text, keep_blank_values=True)))
        return _hide(json.loads(text)) if text else None
    except ValueError:
        return f"<{len(request.body)} bytes>"


def _headers(request: Request) -> dict[str, str]:
    kept = {}
    for name, value in request.headers.items():
        scheme = str(value).split(" ", 1)[0]
        kept[name.lower()] = f"{scheme} {HIDDEN}" if name.lower() in SECRET_HEADERS else str(value)
    return kept


class Ledger:
    """An append-only list of requests with their answers' status."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []

    def record(self, request: Request, response: Response, fault: str | None) -> None:
        """Notes one exchange."""
        entry = {
            "method": request.method,
            "path": request.path,
            "query": {name: HIDDEN if SECRET.search(name) else value for name, value in request.query},
            "headers": _headers(request),
            "body": _body(request),
            "status": response.status,
            "fault": fault,
        }
        with self._lock:
            if len(self._entries) < MAX_ENTRIES:
                self._entries.append(entry)

    def entries(self) -> list[dict[str, Any]]:
        """All exchanges since the last clear."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forgets all exchanges."""
        with self._lock:
            self._entries.clear()
