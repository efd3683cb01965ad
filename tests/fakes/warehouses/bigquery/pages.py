"""Pages of a result or a table, and the opaque tokens that lead from one to the next."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

from . import values
from .errors import BigQueryError

_SIGNATURE = 32


class Pages:
    """Cuts rows into pages. `rows` stands for the service's limit of 10 MB."""

    def __init__(self) -> None:
        self.rows = 10_000
        self._key = secrets.token_bytes(16)

    def forget(self) -> None:
        """Tokens that were given until now lead nowhere."""
        self._key = secrets.token_bytes(16)

    def page(
        self,
        schema: dict[str, Any],
        rows: list[tuple[Any, ...]],
        options: dict[str, Any],
        asked: dict[str, Any],
        owner: str,
    ) -> dict[str, Any]:
        """Rows from startIndex or pageToken on, and the token of the next page. `owner` is what the rows are of."""
        token = asked.get("pageToken")
        start = self._start(token, owner) if token else int(asked.get("startIndex", 0))
        size = min(int(asked.get("maxResults", self.rows)), self.rows)
        form = values.form_of(options)
        found: dict[str, Any] = {
            "totalRows": str(len(rows)),
            "rows": [
                {"f": [{"v": values.encode(cell, of, form)} for cell, of in zip(row, schema["fields"], strict=True)]}
                for row in rows[start : start + size]
            ],
        }
        if start + size < len(rows):
            found["pageToken"] = self._token(start + size, owner)
        return found

    def _token(self, start: int, owner: str) -> str:
        text = json.dumps([start, owner]).encode()
        return base64.urlsafe_b64encode(self._sign(text) + text).decode()

    def _sign(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def _start(self, token: str, owner: str) -> int:
        try:
            raw = base64.urlsafe_b64decode(token)
            start, of = json.loads(raw[_SIGNATURE:])
        except ValueError as error:
            raise BigQueryError("invalid", "Invalid page token", "pageToken") from error
        if not hmac.compare_digest(raw[:_SIGNATURE], self._sign(raw[_SIGNATURE:])) or of != owner:
            raise BigQueryError("invalid", "Invalid page token", "pageToken")
        return int(start)
