"""Clients that others wrote work against the fake: the witnesses of its truth.

Snowflake publishes no client that speaks SQL API v2. The witnesses are the client that was generated from
Snowflake's OpenAPI file, an independent SQL API client, and Snowflake's own connector for the key-pair JWT.
"""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Iterator

import httpx
import pytest
import requests
import snowflake_sql_api_client as generated
from cryptography.hazmat.primitives import serialization
from snowflake.connector.auth import AuthByKeyPair
from snowflake_sql_api import SnowflakeClient
from snowflake_sql_api.exceptions import SnowflakeProgrammingError

from ..running import Running
from .harness import TIMEOUT, Control
from .snowflake_shop import STATEMENTS, body, headers, token


@pytest.fixture
def client(snowflake_tls: Running) -> Iterator[SnowflakeClient]:
    """The independent client; it speaks HTTPS only."""
    context = ssl.create_default_context(cadata=snowflake_tls.connection["certificateAuthority"])
    with SnowflakeClient(
        account="acme-test",
        user="backflow",
        private_key=snowflake_tls.connection["privateKey"].encode(),
        warehouse="LOAD_WH",
        database="SHOP",
        schema="PUBLIC",
        host=snowflake_tls.url.removeprefix("https://"),
        poll_interval=0.01,
        http_client=httpx.Client(verify=context, timeout=TIMEOUT),
    ) as made:
        yield made


def test_independent_client_reads_every_type(client: SnowflakeClient) -> None:
    row = client.query("SELECT * FROM customers ORDER BY id")[0]
    zone = dt.UTC
    assert row["ID"] == 1
    assert str(row["MRR"]) == "10.50"
    assert row["ACTIVE"] is True
    assert row["BORN"] == dt.date(2019, 3, 27)
    assert row["AT"] == dt.time(23, 1, 59)
    assert row["UPDATED_AT"] == dt.datetime(2020, 1, 1, 0, 0, 0, 123456)
    assert row["SEEN"] == dt.datetime(2019, 12, 31, 22, 0, 0, 123456, tzinfo=zone)
    assert row["LOCAL"] == dt.datetime(2019, 12, 31, 22, 0, 0, 123456, tzinfo=zone)
    assert row["DOC"] == {"a": 1}
    assert row["RAW"] == b"ab"


def test_independent_client_reads_every_partition(client: SnowflakeClient, snowflake_tls: Running) -> None:
    Control(snowflake_tls).settings(partitionRows=2)
    numbers = "SELECT a.id FROM customers a CROSS JOIN customers b CROSS JOIN customers c"
    assert len(client.query(numbers)) == 27
    assert sum(1 for _ in client.query_stream(numbers)) == 27
    Control(snowflake_tls).settings(partitionRows=10_000)


def test_independent_client_binds_and_counts(client: SnowflakeClient) -> None:
    client.execute("CREATE TABLE bound (a NUMBER, b VARCHAR, c BOOLEAN, d FLOAT)")
    assert client.execute("INSERT INTO bound VALUES (?, ?, ?, ?)", [7, "it's", True, 1.5]) == 1
    assert client.query("SELECT * FROM bound") == [{"A": 7, "B": "it's", "C": True, "D": 1.5}]
    assert client.execute("DELETE FROM bound") == 1


def test_independent_client_submits_polls_and_cancels(client: SnowflakeClient, snowflake_tls: Running) -> None:
    control = Control(snowflake_tls)
    assert client.submit("SELECT 5 AS five").result() == [{"FIVE": 5}]
    control.call("POST", "/holds", {"statement": "never", "polls": None})
    handle = client.submit("SELECT 1 AS never")
    assert handle.status() == "RUNNING"
    handle.cancel()
    with pytest.raises(SnowflakeProgrammingError, match="canceled"):
        handle.result()
    control.reset()


def test_independent_client_reports_an_error_with_its_code(client: SnowflakeClient) -> None:
    with pytest.raises(SnowflakeProgrammingError, match="does not exist or not authorized") as caught:
        client.query("SELECT * FROM nowhere")
    assert caught.value.code == "002003"
    assert caught.value.sql_state == "42S02"


@pytest.fixture
def generated_client(snowflake: Running) -> generated.ApiClient:
    """The client that was generated from Snowflake's OpenAPI file."""
    configuration = generated.Configuration()
    configuration.host = snowflake.url
    configuration.api_key = {"Authorization": token(snowflake)}
    configuration.api_key_prefix = {"Authorization": "Bearer"}
    return generated.ApiClient(configuration)


def test_generated_client_submits_fetches_and_cancels(
    generated_client: generated.ApiClient, snowflake: Running, control: Control
) -> None:
    statements = generated.Apiv2statementsApi(generated_client)
    one = generated.Apiv2statementsStatementHandleApi(generated_client)
    extra = {"user_agent": "generated/2.0", "x_snowflake_authorization_token_type": "KEYPAIR_JWT"}
    control.settings(partitionRows=2)
    result = statements.api_v2_statements_post(body=body("SELECT id FROM customers ORDER BY id"), **extra)
    assert result["data"] == [["1"], ["2"]]
    assert [part["rowCount"] for part in result["resultSetMetaData"]["partitionInfo"]] == [2, 1]
    handle = result["statementHandle"]
    again = one.api_v2_statements_statement_handle_get(handle, **extra)
    assert again["data"] == [["1"], ["2"]]
    control.call("POST", "/holds", {"statement": "never", "polls": None})
    running = statements.api_v2_statements_post(body=body("SELECT 1 AS never"), **extra)
    assert running["code"] == "333334"
    ended = one.api_v2_statements_statement_handle_cancel_post(running["statementHandle"], **extra)
    assert ended["code"] == "000604"


def test_key_pair_token_of_the_official_connector_is_accepted(snowflake: Running) -> None:
    pem = snowflake.connection["privateKey"].encode()
    key = serialization.load_pem_private_key(pem, password=None)
    signed = AuthByKeyPair(key).prepare(account="acme-test.eu-central-1", user="backflow")
    url = snowflake.url + STATEMENTS
    sent = headers(snowflake, Authorization=f"Bearer {signed}")
    assert requests.post(url, json=body("SELECT 1"), headers=sent, timeout=TIMEOUT).status_code == 200
