"""Wrong requests that Databricks' documents name are refused, in the form that they name.

REST API reference, "Statement Execution API": executeStatement, getStatement, getStatementResultChunkN,
cancelExecution; page "Statement Execution API: Run SQL on warehouses"; "Error classes in Databricks" and the
SQLSTATEs of the SQL language manual; "Authorize service principal access with OAuth".
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from ..running import Running
from .databricks_shop import ROOT, call, error, execute, rows
from .harness import TIMEOUT, Answer, Call, Control

WAREHOUSE = "0123456789abcdef"


def refused(answer: requests.Response | Answer, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text


# authentication: a bearer token on every call
@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (None, 401, "401"),
        ("Basic YTpi", 401, "401"),
        ("Bearer ", 401, "401"),
        ("Bearer dapi0000", 403, "403"),
        ("Bearer eyJunknown", 401, "401"),
    ],
)
def test_wrong_authorization(databricks: Running, header: str | None, status: int, code: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    refused(Call("GET", f"{ROOT}/x", [], headers, b"").send(databricks.url), status, code)


# oauth-m2m: grant type, client and scope
@pytest.mark.parametrize(
    ("form", "secret", "status", "code"),
    [
        ({"grant_type": "password", "scope": "all-apis"}, None, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "scope": "sql"}, None, 400, "invalid_scope"),
        ({"grant_type": "client_credentials"}, None, 400, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "all-apis"}, "wrong", 401, "invalid_client"),
    ],
)
def test_wrong_token_request(
    databricks: Running, form: dict[str, str], secret: str | None, status: int, code: str
) -> None:
    basic = (databricks.connection["clientId"], secret or databricks.connection["clientSecret"])
    answer = requests.post(databricks.url + "/oidc/v1/token", data=form, auth=basic, timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


# executeStatement: fields
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param([], 400, "MALFORMED_REQUEST", id="no object"),
        pytest.param({"warehouse_id": WAREHOUSE}, 400, "INVALID_PARAMETER_VALUE", id="no statement"),
        pytest.param({"statement": "SELECT 1"}, 400, "INVALID_PARAMETER_VALUE", id="no warehouse"),
        pytest.param(
            {"statement": " ", "warehouse_id": WAREHOUSE}, 400, "INVALID_PARAMETER_VALUE", id="empty statement"
        ),
        pytest.param({"statement": 1, "warehouse_id": WAREHOUSE}, 400, "MALFORMED_REQUEST", id="statement is a number"),
        pytest.param({"statement": "SELECT 1", "warehouse_id": "x"}, 400, "INVALID_PARAMETER_VALUE", id="warehouse id"),
        pytest.param(
            {"statement": "SELECT 1", "warehouse_id": "f" * 16}, 404, "RESOURCE_DOES_NOT_EXIST", id="unknown warehouse"
        ),
    ],
)
def test_wrong_body(databricks: Running, body: Any, status: int, code: str) -> None:
    refused(call(databricks, "POST", ROOT, body), status, code)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"wait_timeout": "4s"}, "INVALID_PARAMETER_VALUE"),
        ({"wait_timeout": "51s"}, "INVALID_PARAMETER_VALUE"),
        ({"wait_timeout": "10"}, "INVALID_PARAMETER_VALUE"),
        ({"wait_timeout": 10}, "MALFORMED_REQUEST"),
        ({"on_wait_timeout": "WAIT"}, "INVALID_PARAMETER_VALUE"),
        ({"disposition": "EXTERNAL"}, "INVALID_PARAMETER_VALUE"),
        ({"disposition": "INLINE", "format": "ARROW_STREAM"}, "INVALID_PARAMETER_VALUE"),
        ({"disposition": "INLINE", "format": "CSV"}, "INVALID_PARAMETER_VALUE"),
        ({"format": "PARQUET"}, "INVALID_PARAMETER_VALUE"),
        ({"row_limit": 0}, "INVALID_PARAMETER_VALUE"),
        ({"row_limit": "many"}, "MALFORMED_REQUEST"),
        ({"byte_limit": -1}, "INVALID_PARAMETER_VALUE"),
        ({"parameters": {"a": 1}}, "MALFORMED_REQUEST"),
        ({"parameters": [{"value": "1"}]}, "INVALID_PARAMETER_VALUE"),
        ({"query": "SELECT 1"}, "MALFORMED_REQUEST"),
    ],
)
def test_wrong_field(databricks: Running, fields: dict[str, Any], code: str) -> None:
    refused(execute(databricks, "SELECT 1", **fields), 400, code)


def test_body_that_is_no_json(databricks: Running) -> None:
    headers = {"Authorization": f"Bearer {databricks.connection['token']}"}
    sent = Call("POST", ROOT, [], {**headers, "Content-Type": "application/json"}, b"{")
    refused(sent.send(databricks.url), 400, "MALFORMED_REQUEST")
    body = json.dumps({"statement": "SELECT 1", "warehouse_id": WAREHOUSE}).encode()
    sent = Call("POST", ROOT, [], {**headers, "Content-Type": "text/plain"}, body)
    refused(sent.send(databricks.url), 400, "MALFORMED_REQUEST")


# A statement that fails is told with HTTP 200 and the state FAILED.
@pytest.mark.parametrize(
    ("sql", "error_class", "state"),
    [
        ("SELCT 1", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT 1; SELECT 2", "PARSE_SYNTAX_ERROR", "42601"),
        ("OPTIMIZE x y z", "PARSE_SYNTAX_ERROR", "42601"),
        ("SELECT farm_fingerprint('x')", "UNRESOLVED_ROUTINE", "42883"),
        ("SELECT object_construct('a', 1)", "UNRESOLVED_ROUTINE", "42883"),
        ("SELECT nothing FROM customers", "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "42703"),
        ("SELECT * FROM nowhere", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("SELECT * FROM nowhere.customers", "SCHEMA_NOT_FOUND", "42704"),
        ("SELECT * FROM nowhere.shop.customers", "NO_SUCH_CATALOG_EXCEPTION", "42704"),
        ("SELECT CAST('x' AS INT)", "CAST_INVALID_INPUT", "22018"),
        ("SELECT :a", "UNBOUND_SQL_PARAMETER", "42P02"),
        ("SELECT ?", "UNBOUND_SQL_PARAMETER", "42P02"),
        ("CREATE TABLE customers (a INT)", "TABLE_OR_VIEW_ALREADY_EXISTS", "42P07"),
        ("CREATE TABLE t AS SELECT 1 AS a, 2 AS A", "COLUMN_ALREADY_EXISTS", "42711"),
        (
            "CREATE TABLE t AS SELECT count(*), (1 + 1) FROM customers",
            "DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES",
            "42K05",
        ),
        ("CREATE TABLE t AS SELECT 1 AS a, NULL AS b", "DELTA_UNSUPPORTED_DATA_TYPES", "0AKDC"),
        ("SELECT row_number() OVER (PARTITION BY id) AS n FROM customers", "_LEGACY_ERROR_TEMP_1037", "42K0E"),
        ("SELECT from_json('{}', 'STRUCT<a: INT>') AS s", "UNSUPPORTED_FEATURE", "0A000"),
        ("SELECT raise_error('no') AS a", "USER_RAISED_EXCEPTION", "P0001"),
        ("CREATE SCHEMA shop", "SCHEMA_ALREADY_EXISTS", "42P06"),
        ("DROP SCHEMA shop", "SCHEMA_NOT_EMPTY", "2BP01"),
        ("DROP TABLE nowhere", "TABLE_OR_VIEW_NOT_FOUND", "42P01"),
        ("INSERT INTO customers (id) VALUES (NULL)", "DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502"),
    ],
)
def test_wrong_statement(databricks: Running, sql: str, error_class: str, state: str) -> None:
    assert error(execute(databricks, sql)) == (error_class, state)


# getStatement, getStatementResultChunkN, cancelExecution
def test_unknown_foreign_and_wrong_handles(databricks: Running) -> None:
    handle = execute(databricks, "SELECT 1").json()["statement_id"]
    refused(call(databricks, "GET", f"{ROOT}/unknown"), 404, "NOT_FOUND")
    refused(call(databricks, "POST", f"{ROOT}/unknown/cancel"), 404, "NOT_FOUND")
    refused(call(databricks, "GET", f"{ROOT}/{handle}/result/chunks/7"), 400, "INVALID_PARAMETER_VALUE")
    refused(call(databricks, "GET", f"{ROOT}/{handle}/result/chunks/x"), 400, "INVALID_PARAMETER_VALUE")
    refused(call(databricks, "GET", f"{ROOT}/{handle}?partition=1"), 400, "INVALID_PARAMETER_VALUE")
    form = {"grant_type": "client_credentials", "scope": "all-apis"}
    basic = (databricks.connection["clientId"], databricks.connection["clientSecret"])
    token = requests.post(databricks.url + "/oidc/v1/token", data=form, auth=basic, timeout=TIMEOUT).json()
    other = f"Bearer {token['access_token']}"
    refused(call(databricks, "GET", f"{ROOT}/{handle}", Authorization=other), 404, "NOT_FOUND")


def test_unknown_paths_and_methods(databricks: Running) -> None:
    for method, path in (
        ("GET", "/api/2.0/hello"),
        ("PUT", ROOT),
        ("DELETE", f"{ROOT}/x"),
        ("GET", f"{ROOT}/x/cancel"),
    ):
        refused(call(databricks, method, path), 404, "ENDPOINT_NOT_FOUND")


# page "Run SQL on warehouses": external links are presigned; an Authorization header must not go with them
def test_external_link_with_a_token_changed_or_expired(databricks: Running, databricks_control: Control) -> None:
    answer = execute(databricks, "SELECT 1 AS a", disposition="EXTERNAL_LINKS").json()
    link = answer["result"]["external_links"][0]["external_link"]
    assert requests.get(link, timeout=TIMEOUT).status_code == 200
    with_token = requests.get(link, headers={"Authorization": "Bearer x"}, timeout=TIMEOUT)
    assert (with_token.status_code, "InvalidArgument" in with_token.text) == (400, True)
    assert requests.get(link[:-1] + "x", timeout=TIMEOUT).status_code == 403
    databricks_control.call("POST", "/expire", {"what": "links"})
    late = requests.get(link, timeout=TIMEOUT)
    assert (late.status_code, "Request has expired" in late.text) == (403, True)
    fresh = call(databricks, "GET", f"{ROOT}/{answer['statement_id']}/result/chunks/0").json()
    assert requests.get(fresh["external_links"][0]["external_link"], timeout=TIMEOUT).json() == [["1"]]


def test_limits(databricks: Running, databricks_control: Control) -> None:
    databricks_control.settings(inlineBytes=10)
    assert error(execute(databricks, "SELECT repeat('x', 100) AS a")) == ("INLINE_LIMIT", "54000")
    assert execute(databricks, "SELECT repeat('x', 100) AS a", disposition="EXTERNAL_LINKS").json()["result"]


def test_missing_permissions(databricks: Running, databricks_control: Control) -> None:
    databricks_control.settings(deny=["workspace.shop.customers"], readOnly=True)
    assert error(execute(databricks, "SELECT * FROM customers")) == ("INSUFFICIENT_PERMISSIONS", "42501")
    assert error(execute(databricks, "CREATE TABLE t (a INT)")) == ("INSUFFICIENT_PERMISSIONS", "42501")
    assert rows(databricks, "SELECT 1 AS a") == [["1"]]
