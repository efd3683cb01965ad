"""A table in ClickHouse, and a client that sends what a test says."""

from __future__ import annotations

from typing import Any

import requests

from ..running import Running

SEED = """
CREATE TABLE shop.customers (id UInt32, name Nullable(String)) ENGINE = MergeTree ORDER BY id;
INSERT INTO shop.customers VALUES (1, 'one'), (2, NULL), (3, 'three');
"""


class Client:
    """Asks with a user's headers."""

    def __init__(self, running: Running) -> None:
        told = running.connection
        self._url = running.url + "/"
        self.headers = {"X-ClickHouse-User": told["user"], "X-ClickHouse-Key": told["password"]}

    def ask(
        self, sql: str, method: str = "POST", headers: dict[str, str] | None = None, **settings: Any
    ) -> requests.Response:
        """One statement, with these settings."""
        query = {"default_format": "JSONCompact", **settings}
        given = self.headers if headers is None else headers
        if method == "GET":
            return requests.get(self._url, params={**query, "query": sql}, headers=given, timeout=30)
        return requests.post(self._url, params=query, data=sql.encode(), headers=given, timeout=30)

    def data(self, sql: str, **settings: Any) -> list[list[Any]]:
        """The rows of a query."""
        answer = self.ask(sql, **settings)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def code(self, sql: str, **arguments: Any) -> tuple[int, str]:
        """Status and exception's code of a statement that is refused."""
        answer = self.ask(sql, **arguments)
        code = answer.headers["X-ClickHouse-Exception-Code"]
        assert answer.text.startswith(f"Code: {code}. DB::Exception: "), answer.text
        return answer.status_code, code
