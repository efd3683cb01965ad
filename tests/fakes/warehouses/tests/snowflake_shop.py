"""A small shop in Snowflake, and a plain client for it."""

from __future__ import annotations

import time
from typing import Any

import jwt
import requests

from ..running import Running
from .harness import TIMEOUT

SEED = """
CREATE TABLE customers (id NUMBER(38,0) NOT NULL, email VARCHAR, plan VARCHAR(20), mrr NUMBER(10,2), active BOOLEAN,
    score FLOAT, born DATE, at TIME, updated_at TIMESTAMP_NTZ, seen TIMESTAMP_LTZ, local TIMESTAMP_TZ, doc VARIANT,
    raw BINARY);
INSERT INTO customers SELECT 1, 'ann@example.com', 'pro', 10.50, TRUE, 1.5, '2019-03-27', '23:01:59',
    '2020-01-01 00:00:00.123456', '2020-01-01 00:00:00.123456+02', '2020-01-01 00:00:00.123456+02',
    PARSE_JSON('{"a":1}'), TO_BINARY('ab', 'utf-8');
INSERT INTO customers (id, email) VALUES (2, NULL), (3, '');
"""
STATEMENTS = "/api/v2/statements"


def token(running: Running, **changes: Any) -> str:
    """A key-pair JWT; `changes` replace claims, `key` and `algorithm` the signature, None drops a claim."""
    user = running.warehouse.users[0]
    name, now = f"ACME-TEST.{user.name}", int(time.time())
    key, algorithm = changes.pop("key", user.key), changes.pop("algorithm", "RS256")
    claims = {"iss": f"{name}.{user.fingerprint()}", "sub": name, "iat": now, "exp": now + 3000, **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm=algorithm)


def headers(running: Running, **changes: str | None) -> dict[str, str | None]:
    """The headers of a right request, with changes; None drops one."""
    sent = {
        "Authorization": f"Bearer {token(running)}",
        "Accept": "application/json",
        "User-Agent": "tests/1.0",
        "Content-Type": "application/json",
        "X-Snowflake-Authorization-Token-Type": "KEYPAIR_JWT",
    }
    return {**sent, **{name.replace("_", "-"): value for name, value in changes.items()}}


def body(statement: str, **fields: Any) -> dict[str, Any]:
    """The body of a right request."""
    return {"statement": statement, "database": "SHOP", "schema": "PUBLIC", "warehouse": "LOAD_WH", **fields}


def submit(running: Running, statement: str, query: str = "", **fields: Any) -> requests.Response:
    """Submits a statement with a right request."""
    url = running.url + STATEMENTS + query
    return requests.post(url, json=body(statement, **fields), headers=headers(running), timeout=TIMEOUT)


def status(running: Running, handle: str, query: str = "", **changes: str) -> requests.Response:
    """Asks for a statement."""
    url = f"{running.url}{STATEMENTS}/{handle}{query}"
    return requests.get(url, headers=headers(running, **changes), timeout=TIMEOUT)


def cancel(running: Running, handle: str) -> requests.Response:
    """Cancels a statement."""
    url = f"{running.url}{STATEMENTS}/{handle}/cancel"
    return requests.post(url, headers=headers(running), timeout=TIMEOUT)


def rows(running: Running, statement: str, **fields: Any) -> list[list[str | None]]:
    """The rows of a statement that must succeed."""
    answer = submit(running, statement, **fields)
    assert answer.status_code == 200, answer.text
    data: list[list[str | None]] = answer.json()["data"]
    return data
