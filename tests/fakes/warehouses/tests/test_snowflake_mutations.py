"""Every mutation of what a witness client sent is refused: dropped, of another type, of another value."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import snowflake_sql_api_client as generated

from ..running import Running
from .harness import Call, Recorder, dropped, leaves, replaced, wrong_types
from .snowflake_shop import body, token

REQUIRED = ("Authorization", "Accept", "User-Agent", "Content-Type")
# A value that is wrong for each field, though of the right type.
WRONG_VALUES: dict[str, Any] = {
    "statement": "SELECT FROM WHERE",
    "timeout": 604_801,
    "database": "shop",
    "schema": "NOWHERE",
    "warehouse": "OTHER_WH",
    "role": "ACCOUNTADMIN",
    "type": "INTEGER",
    "value": "x",
    "TIMEZONE": "Not a zone!",
    "MULTI_STATEMENT_COUNT": "3",
}


@pytest.fixture(scope="module")
def calls(snowflake: Running) -> list[Call]:
    """Traffic of the client that was generated from the OpenAPI file: submit, status, cancel of a held statement."""
    configuration = generated.Configuration()
    configuration.host = snowflake.url
    configuration.api_key = {"Authorization": token(snowflake)}
    configuration.api_key_prefix = {"Authorization": "Bearer"}
    client = generated.ApiClient(configuration)
    extra = {"user_agent": "generated/2.0", "x_snowflake_authorization_token_type": "KEYPAIR_JWT"}
    asked = body(
        "SELECT id FROM customers WHERE id = ?",
        timeout=30,
        role="BACKFLOW_ROLE",
        bindings={"1": {"type": "FIXED", "value": "1"}},
        parameters={"TIMEZONE": "UTC", "MULTI_STATEMENT_COUNT": "1"},
    )
    with Recorder(snowflake) as recorder:
        request = {"request_id": "ea7b46ed-bdc1-4c32-9593-764fcad64e83", "_async": "false", "nullable": "true"}
        done = generated.Apiv2statementsApi(client).api_v2_statements_post(body=asked, **request, **extra)
        one = generated.Apiv2statementsStatementHandleApi(client)
        one.api_v2_statements_statement_handle_get(done["statementHandle"], **extra)
    assert [code for _, code in recorder.requests] == [200, 200]
    return [Call.of(request) for request, _ in recorder.requests]


def mutations(call: Call) -> Iterator[tuple[str, Call]]:
    required = REQUIRED if call.method == "POST" else REQUIRED[:3]
    for name in required:
        yield f"without {name}", call.without_header(name)
        yield f"wrong {name}", call.with_header(name, "/wrong value")
    yield "wrong token type", call.with_header("X-Snowflake-Authorization-Token-Type", "SESSION")
    for name, _ in call.query:
        others = [pair for pair in call.query if pair[0] != name]
        yield f"wrong query {name}", call.with_query([*others, (name, "wrong")])
        yield f"query {name} twice", call.with_query([*call.query, (name, "true")])
    if not call.body:
        return
    sent = json.loads(call.body)
    yield "without statement", call.with_json(dropped(sent, ("statement",)))
    for path, value in leaves(sent):
        for other in wrong_types(value):
            yield f"{path} is {other}", call.with_json(replaced(sent, path, other))
        if path[-1] in WRONG_VALUES:
            yield f"wrong value of {path}", call.with_json(replaced(sent, path, WRONG_VALUES[path[-1]]))
    yield "without the type of a binding", call.with_json(dropped(sent, ("bindings", "1", "type")))
    yield "without the value of a binding", call.with_json(dropped(sent, ("bindings", "1", "value")))
    yield "without the binding", call.with_json(dropped(sent, ("bindings", "1")))


def test_the_traffic_itself_is_accepted(snowflake: Running, calls: list[Call]) -> None:
    assert [call.send(snowflake.url).status_code for call in calls] == [200, 200]


def test_every_mutation_is_refused(snowflake: Running, calls: list[Call]) -> None:
    accepted, count = [], 0
    for call in calls:
        for name, mutated in mutations(call):
            count += 1
            answer = mutated.send(snowflake.url)
            if answer.status_code < 400 or "code" not in answer.json():
                accepted.append(f"{call.method} {name}: {answer.status_code}")
    assert accepted == []
    assert count > 50


def test_a_client_that_speaks_http_to_a_tls_port_gets_nothing(snowflake_tls: Running) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(snowflake_tls.url.replace("https", "http"))
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(snowflake_tls.url, verify=ssl.create_default_context())
