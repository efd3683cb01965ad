"""Every mutation of what Databricks' SDK sent is refused: dropped, of another type, of another value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.sql import (
    Disposition,
    ExecuteStatementRequestOnWaitTimeout,
    Format,
    StatementParameterListItem,
)

from ..running import Running
from .harness import Answer, Call, Recorder, dropped, leaves, replaced, wrong_types

REQUIRED_FIELDS = {"statement", "warehouse_id", "name"}
WRONG_VALUES: dict[str, Any] = {
    "statement": "SELECT FROM WHERE",
    "warehouse_id": "f" * 16,
    "catalog": "nowhere",
    "schema": "nowhere",
    "wait_timeout": "3s",
    "on_wait_timeout": "WAIT",
    "disposition": "EXTERNAL",
    "format": "CSV",
    "row_limit": 0,
    "byte_limit": 0,
    "name": "other",
    "value": "x",
    "type": "NUMBER",
}


@pytest.fixture(scope="module")
def calls(databricks: Running) -> list[Call]:
    """Traffic of the SDK: submit with every field, status, chunk."""
    client = WorkspaceClient(host=databricks.url, token=databricks.connection["token"], auth_type="pat")
    api = client.statement_execution
    with Recorder(databricks) as recorder:
        answer = api.execute_statement(
            statement="SELECT id FROM customers WHERE id = :id",
            warehouse_id=databricks.connection["warehouseId"],
            catalog="workspace",
            schema="shop",
            wait_timeout="30s",
            on_wait_timeout=ExecuteStatementRequestOnWaitTimeout.CONTINUE,
            disposition=Disposition.INLINE,
            format=Format.JSON_ARRAY,
            row_limit=100,
            byte_limit=100_000,
            parameters=[StatementParameterListItem(name="id", value="1", type="INT")],
        )
        api.get_statement(str(answer.statement_id))
        api.get_statement_result_chunk_n(str(answer.statement_id), 0)
    assert [code for _, code in recorder.requests] == [200, 200, 200]
    return [Call.of(request) for request, _ in recorder.requests]


def mutations(call: Call) -> Iterator[tuple[str, Call]]:
    yield "without Authorization", call.without_header("Authorization")
    yield "wrong Authorization", call.with_header("Authorization", "Bearer other")
    yield "unknown query parameter", call.with_query([*call.query, ("unknown", "1")])
    wrong_path = Call(call.method, call.path + "x", call.query, call.headers, call.body)
    yield "wrong path", wrong_path
    if not call.body:
        return
    yield "without Content-Type", call.without_header("Content-Type")
    yield "wrong Content-Type", call.with_header("Content-Type", "text/plain")
    sent = json.loads(call.body)
    for path, value in leaves(sent):
        name = str(path[-1])
        for other in wrong_types(value):
            yield f"{path} is {other}", call.with_json(replaced(sent, path, other))
        if name in WRONG_VALUES:
            yield f"wrong value of {path}", call.with_json(replaced(sent, path, WRONG_VALUES[name]))
        if name in REQUIRED_FIELDS:
            yield f"without {path}", call.with_json(dropped(sent, path))


def told(answer: Answer) -> bool:
    """Whether the answer says that something is wrong: by HTTP, or by the state of the statement."""
    body = answer.json()
    if answer.status_code >= 400:
        return "error_code" in body
    return bool(body.get("status", {}).get("state") == "FAILED")


def test_the_traffic_itself_is_accepted(databricks: Running, calls: list[Call]) -> None:
    assert [call.send(databricks.url).status_code for call in calls] == [200, 200, 200]


def test_every_mutation_is_refused(databricks: Running, calls: list[Call]) -> None:
    accepted, count = [], 0
    for call in calls:
        for name, mutated in mutations(call):
            count += 1
            answer = mutated.send(databricks.url)
            if not told(answer):
                accepted.append(f"{call.method} {name}: {answer.status_code} {answer.text[:80]}")
    assert accepted == []
    assert count > 50
