"""Databricks' own SDK works against the fake."""

from __future__ import annotations

import json

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied, Unauthenticated
from databricks.sdk.service.sql import (
    Disposition,
    ExecuteStatementRequestOnWaitTimeout,
    StatementParameterListItem,
    StatementState,
)

from ..running import Running
from .harness import TIMEOUT, Control


@pytest.fixture(scope="module")
def client(databricks: Running) -> WorkspaceClient:
    """The SDK with a personal access token."""
    return WorkspaceClient(host=databricks.url, token=databricks.connection["token"], auth_type="pat")


@pytest.fixture
def warehouse(databricks: Running) -> str:
    return str(databricks.connection["warehouseId"])


def test_official_client_reads_rows_with_their_types(client: WorkspaceClient, warehouse: str) -> None:
    answer = client.statement_execution.execute_statement(
        statement="SELECT id, d, email, f, ok, dt FROM customers ORDER BY id", warehouse_id=warehouse, schema="shop"
    )
    assert answer.status and answer.status.state == StatementState.SUCCEEDED
    assert answer.manifest and answer.manifest.schema and answer.manifest.schema.columns and answer.result
    types = [column.type_name.value for column in answer.manifest.schema.columns if column.type_name]
    assert types == ["LONG", "DECIMAL", "STRING", "DOUBLE", "BOOLEAN", "DATE"]
    assert answer.result.data_array
    assert answer.result.data_array[0] == ["1", "1.50", "ann@example.com", "1.5", "true", "2019-03-27"]
    assert answer.result.data_array[1][2] is None


def test_official_client_reads_every_chunk(
    client: WorkspaceClient, warehouse: str, databricks_control: Control
) -> None:
    databricks_control.settings(chunkRows=2)
    api = client.statement_execution
    answer = api.execute_statement(statement="SELECT id FROM shop.customers ORDER BY id", warehouse_id=warehouse)
    assert answer.manifest and answer.manifest.total_chunk_count == 2 and answer.result and answer.statement_id
    assert answer.result.next_chunk_index == 1
    second = api.get_statement_result_chunk_n(answer.statement_id, 1)
    assert second.data_array == [["3"]]


def test_official_client_follows_external_links(client: WorkspaceClient, warehouse: str) -> None:
    answer = client.statement_execution.execute_statement(
        statement="SELECT id FROM shop.customers ORDER BY id",
        warehouse_id=warehouse,
        disposition=Disposition.EXTERNAL_LINKS,
    )
    assert answer.result and answer.result.external_links
    link = answer.result.external_links[0]
    assert link.external_link and link.row_count == 3
    assert requests.get(link.external_link, timeout=TIMEOUT).json() == [["1"], ["2"], ["3"]]


def test_official_client_binds_polls_and_cancels(
    client: WorkspaceClient, warehouse: str, databricks_control: Control
) -> None:
    api = client.statement_execution
    bound = StatementParameterListItem(name="a", value="1", type="INT")
    answer = api.execute_statement(statement="SELECT :a + 1 AS b", warehouse_id=warehouse, parameters=[bound])
    assert answer.result and answer.result.data_array == [["2"]]
    databricks_control.call("POST", "/holds", {"statement": "slow_one", "polls": 2})
    started = api.execute_statement(statement="SELECT 5 AS slow_one", warehouse_id=warehouse)
    assert started.status and started.status.state == StatementState.RUNNING and started.statement_id
    states = [api.get_statement(started.statement_id).status.state for _ in range(2)]
    assert states == [StatementState.RUNNING, StatementState.SUCCEEDED]
    databricks_control.call("POST", "/holds", {"statement": "never", "polls": None})
    held = api.execute_statement(
        statement="SELECT 1 AS never",
        warehouse_id=warehouse,
        wait_timeout="5s",
        on_wait_timeout=ExecuteStatementRequestOnWaitTimeout.CANCEL,
    )
    assert held.status and held.status.state == StatementState.CANCELED
    other = api.execute_statement(statement="SELECT 2 AS never", warehouse_id=warehouse, wait_timeout="0s")
    assert other.status and other.status.state == StatementState.PENDING and other.statement_id
    api.cancel_execution(other.statement_id)
    assert api.get_statement(other.statement_id).status.state == StatementState.CANCELED


def test_official_client_as_service_principal(databricks: Running, warehouse: str) -> None:
    connection = databricks.connection
    principal = WorkspaceClient(
        host=databricks.url,
        client_id=connection["clientId"],
        client_secret=connection["clientSecret"],
        auth_type="oauth-m2m",
    )
    answer = principal.statement_execution.execute_statement(statement="SELECT 1 AS a", warehouse_id=warehouse)
    assert answer.result and answer.result.data_array == [["1"]]
    assert principal.warehouses.get(warehouse).id == warehouse


def test_official_client_reports_errors_as_its_own_classes(
    client: WorkspaceClient, databricks: Running, warehouse: str
) -> None:
    api = client.statement_execution
    failed = api.execute_statement(statement="SELECT * FROM shop.nowhere", warehouse_id=warehouse)
    assert failed.status and failed.status.error and failed.status.error.message
    assert failed.status.error.message.startswith("[TABLE_OR_VIEW_NOT_FOUND]")
    with pytest.raises(InvalidParameterValue):
        api.execute_statement(statement="SELECT 1", warehouse_id=warehouse, wait_timeout="3s")
    with pytest.raises(NotFound):
        api.get_statement("01f0aaaa-0000-1000-8000-000000000000")
    stranger = WorkspaceClient(host=databricks.url, token="dapi00000000000000000000000000000000", auth_type="pat")
    with pytest.raises((PermissionDenied, Unauthenticated)):
        stranger.statement_execution.execute_statement(statement="SELECT 1", warehouse_id=warehouse)


def test_answers_of_the_fake_survive_the_models_of_the_sdk(
    client: WorkspaceClient, databricks: Running, warehouse: str
) -> None:
    """Whatever the fake sends has a place in the SDK's model: nothing is lost on the way through it."""
    answer = client.statement_execution.execute_statement(
        statement="SELECT id FROM shop.customers", warehouse_id=warehouse, disposition=Disposition.EXTERNAL_LINKS
    )
    raw = requests.get(
        f"{databricks.url}/api/2.0/sql/statements/{answer.statement_id}",
        headers={"Authorization": f"Bearer {databricks.connection['token']}"},
        timeout=TIMEOUT,
    ).json()
    model = type(answer).from_dict(json.loads(json.dumps(raw)))
    assert model.as_dict() == raw
