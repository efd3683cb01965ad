"""A small shop in Databricks, and a plain client for it."""

from __future__ import annotations

from typing import Any

import requests

from ..running import Running
from .harness import TIMEOUT

SEED = """
CREATE TABLE customers (id BIGINT NOT NULL, i INT, d DECIMAL(10,2), email STRING, b BINARY, t TIMESTAMP,
    n TIMESTAMP_NTZ, dt DATE, f DOUBLE, a ARRAY<STRING>, m MAP<STRING,INT>, r STRUCT<x: INT, y: STRING>, ok BOOLEAN);
INSERT INTO customers VALUES (1, 2, 1.50, 'ann@example.com', X'6162', TIMESTAMP '2020-01-01 00:00:00.123456',
    TIMESTAMP_NTZ '2020-01-01 00:00:00.5', DATE '2019-03-27', 1.5, array('a', 'b'), map('k', 1),
    named_struct('x', 1, 'y', 'z'), TRUE);
INSERT INTO customers (id, email) VALUES (2, NULL), (3, '');
"""
ROOT = "/api/2.0/sql/statements"


def call(running: Running, method: str, path: str, body: Any = None, **changes: Any) -> requests.Response:
    """A request with a valid token."""
    headers = {"Authorization": f"Bearer {running.connection['token']}", **changes}
    return requests.request(method, running.url + path, json=body, headers=headers, timeout=TIMEOUT)


def execute(running: Running, sql: str, **fields: Any) -> requests.Response:
    """Submits a statement."""
    body = {"statement": sql, "warehouse_id": running.connection["warehouseId"], "schema": "shop", **fields}
    return call(running, "POST", ROOT, body)


def rows(running: Running, sql: str, **fields: Any) -> list[list[Any]]:
    """The rows of a statement that must succeed."""
    answer = execute(running, sql, **fields).json()
    assert answer["status"] == {"state": "SUCCEEDED"}, answer
    found: list[list[Any]] = answer["result"].get("data_array", [])
    return found


def error(answer: requests.Response) -> tuple[str, str]:
    """The error class and SQLSTATE of a statement that failed, which is told with HTTP 200."""
    status = answer.json()["status"]
    assert (answer.status_code, status["state"]) == (200, "FAILED"), answer.text
    return status["error"]["message"].partition("]")[0].lstrip("["), status["sql_state"]
