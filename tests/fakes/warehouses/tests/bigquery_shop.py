"""A small shop in BigQuery, and a plain client for it."""

from __future__ import annotations

from typing import Any

import requests

from ..running import Running
from .harness import TIMEOUT

SEED = """
CREATE TABLE customers (id INT64 NOT NULL, n NUMERIC, email STRING, b BYTES, f FLOAT64, t TIMESTAMP, dt DATETIME,
    d DATE, tm TIME, j JSON, a ARRAY<STRING>, r STRUCT<x INT64, y STRING>, ok BOOL);
INSERT INTO customers VALUES (1, 1.5, 'ann@example.com', b'ab', 1.5, TIMESTAMP '2020-01-01 00:00:00.123456+02',
    DATETIME '2020-01-01 00:00:00.5', DATE '2019-03-27', TIME '23:01:59', JSON '{"a":1}', ['a', 'b'],
    STRUCT(1 AS x, 'x' AS y), TRUE);
INSERT INTO customers (id, email) VALUES (2, NULL), (3, '');
"""
ROOT = "/bigquery/v2/projects/acme-test"


def call(running: Running, method: str, path: str, body: Any = None, **changes: Any) -> requests.Response:
    """A request with a valid token."""
    headers = {"Authorization": f"Bearer {running.connection['accessToken']}", **changes}
    return requests.request(method, running.url + ROOT + path, json=body, headers=headers, timeout=TIMEOUT)


def query(running: Running, sql: str, **fields: Any) -> requests.Response:
    """jobs.query with standard SQL."""
    return call(running, "POST", "/queries", {"query": sql, "useLegacySql": False, **fields})


def insert(running: Running, sql: str, job: str | None = None, **fields: Any) -> requests.Response:
    """jobs.insert of a query with standard SQL."""
    reference = {"projectId": "acme-test", "location": "EU", **({"jobId": job} if job else {})}
    configuration = {"query": {"query": sql, "useLegacySql": False}, **fields}
    return call(running, "POST", "/jobs", {"jobReference": reference, "configuration": configuration})


def rows(running: Running, sql: str, **fields: Any) -> list[list[Any]]:
    """The cells of a query that must succeed."""
    answer = query(running, sql, **fields)
    assert answer.status_code == 200, answer.text
    return [[cell["v"] for cell in row["f"]] for row in answer.json().get("rows", [])]
