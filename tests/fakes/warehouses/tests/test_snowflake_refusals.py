"""Wrong requests that Snowflake's documents name are refused, in the form that they name.

Pages of docs.snowflake.com/en/developer-guide/sql-api: "reference", "authenticating", "handling-responses",
"submitting-requests", "submitting-multiple-statements", "intro"; and user-guide/key-pair-auth-troubleshooting.
OpenAPI: snowflakedb/snowflake-rest-api-specs, specifications/sqlapi.yaml.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from ..running import Running
from .harness import TIMEOUT, Answer, Call, Control
from .snowflake_shop import STATEMENTS, body, cancel, headers, status, submit, token


def post(running: Running, sent: Any = None, query: tuple[tuple[str, str], ...] = (), **changes: str | None) -> Answer:
    value = body("SELECT 1") if sent is None else sent
    kept = {name: text for name, text in headers(running, **changes).items() if text is not None}
    return Call("POST", STATEMENTS, list(query), kept, json.dumps(value).encode()).send(running.url)


def refused(answer: requests.Response | Answer, http: int, code: str, state: str | None = None) -> None:
    assert (answer.status_code, answer.json()["code"]) == (http, code), answer.text
    assert answer.json().get("sqlState") == state


# reference: "Request headers for all operations"
@pytest.mark.parametrize(
    ("changes", "http", "code"),
    [
        pytest.param({"Authorization": None}, 401, "390101", id="no authorization"),
        pytest.param({"Authorization": "Basic YTpi"}, 401, "390101", id="basic authorization"),
        pytest.param({"Authorization": "Bearer a.b.c"}, 401, "390144", id="no JWT"),
        pytest.param({"Accept": None}, 400, "391902", id="no accept"),
        pytest.param({"Accept": "text/csv"}, 400, "391902", id="accepts only CSV"),
        pytest.param({"User_Agent": None}, 400, "391903", id="no user agent"),
        pytest.param({"User_Agent": "(no product)"}, 400, "391903", id="user agent without a product"),
        pytest.param({"Content_Type": "text/plain"}, 415, "391918", id="body is text"),
        pytest.param({"X_Snowflake_Authorization_Token_Type": "JWT"}, 401, "390303", id="unknown token type"),
        pytest.param({"X_Snowflake_Authorization_Token_Type": "OAUTH"}, 401, "390303", id="JWT as OAuth token"),
        pytest.param(
            {"X_Snowflake_Authorization_Token_Type": "PROGRAMMATIC_ACCESS_TOKEN"},
            401,
            "394400",
            id="JWT as access token",
        ),
    ],
)
def test_wrong_headers(snowflake: Running, changes: dict[str, str | None], http: int, code: str) -> None:
    refused(post(snowflake, **changes), http, code)


# authenticating: "Using key-pair authentication"; troubleshooting: "List of errors"
@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"iss": "OTHER.BACKFLOW.SHA256:x"}, "JWT_TOKEN_ACCOUNT_MISMATCH", id="another account"),
        pytest.param({"iss": "ACME-TEST.NOBODY.SHA256:x"}, "JWT_TOKEN_INVALID_USER_IN_ISSUER", id="unknown user"),
        pytest.param({"iss": "acme-test.backflow.SHA256:x"}, "JWT_TOKEN_ACCOUNT_MISMATCH", id="issuer in lower case"),
        pytest.param(
            {"iss": "ACME-TEST.BACKFLOW.SHA256:x"},
            "JWT_TOKEN_INVALID_PUBLIC_KEY_FINGERPRINT_MISMATCH",
            id="fingerprint",
        ),
        pytest.param({"sub": "ACME-TEST.SOMEBODY_ELSE"}, "JWT_TOKEN_INVALID", id="another subject"),
        pytest.param({"iat": None}, "JWT_TOKEN_MISSING_ISSUE_OR_EXPIRATION_TIME", id="no issue time"),
        pytest.param({"exp": None}, "JWT_TOKEN_MISSING_ISSUE_OR_EXPIRATION_TIME", id="no expiration time"),
        pytest.param({"exp": 1}, "JWT_TOKEN_INVALID_EXPIRATION_TIME", id="expired"),
        pytest.param({"iat": int(time.time()) + 3600}, "JWT_TOKEN_INVALID_ISSUE_TIME", id="issued in the future"),
        pytest.param(
            {"iat": int(time.time()) - 3700}, "JWT_TOKEN_INVALID_EXPIRATION_TIME", id="issued over an hour ago"
        ),
        pytest.param({"algorithm": "RS512"}, "JWT_TOKEN_INVALID_ALGORITHM", id="another algorithm"),
    ],
)
def test_wrong_token(snowflake: Running, control: Control, claims: dict[str, Any], reason: str) -> None:
    answer = post(snowflake, Authorization=f"Bearer {token(snowflake, **claims)}")
    refused(answer, 401, "390144")
    assert control.call("GET", "/state")["loginFailures"][-1]["errorCode"] == reason


# authenticating: the signature is checked with the user's registered public key
def test_token_signed_with_another_key(snowflake: Running) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    refused(post(snowflake, Authorization=f"Bearer {token(snowflake, key=stranger)}"), 401, "390144")


# reference: "Body of the POST request", 400 with code 390142
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([], id="no object"),
        pytest.param({"database": "SHOP"}, id="no statement"),
        pytest.param({"statement": 1}, id="statement is a number"),
        pytest.param(body("SELECT 1", timeout="10"), id="timeout is text"),
        pytest.param(body("SELECT 1", timeout=-1), id="negative timeout"),
        pytest.param(body("SELECT 1", timeout=604_801), id="timeout over a week"),
        pytest.param(body("SELECT 1", role=1), id="role is a number"),
        pytest.param(body("SELECT 1", stateement="x"), id="unknown field"),
        pytest.param(body("SELECT 1", parameters={"WEEK_START": "1"}), id="parameter that the SQL API does not take"),
        pytest.param(body("SELECT 1", parameters={"MULTI_STATEMENT_COUNT": "-1"}), id="negative statement count"),
        pytest.param(body("SELECT ?", bindings=["1"]), id="bindings are a list"),
        pytest.param(body("SELECT ?", bindings={"1": {"type": "FIXED", "value": 1}}), id="bound value is no string"),
        pytest.param(body("SELECT ?", bindings={"1": {"type": "INT", "value": "1"}}), id="unknown binding type"),
    ],
)
def test_wrong_body(snowflake: Running, sent: Any) -> None:
    refused(post(snowflake, sent), 400, "390142")


# sqlapi.yaml: requestId is a UUID, async and nullable booleans; reference: "You cannot specify nullable in a GET"
@pytest.mark.parametrize(
    "query", ["requestId=7", "async=yes", "nullable=1", "retry=2", "async=true&async=true", "statement=x"]
)
def test_wrong_query_parameter(snowflake: Running, query: str) -> None:
    refused(post(snowflake, query=tuple(parse_qsl(query))), 400, "390142")


@pytest.mark.parametrize("query", ["?nullable=false", "?partition=-1", "?partition=one", "?partition=1"])
def test_wrong_query_parameter_of_a_status(snowflake: Running, query: str) -> None:
    handle = submit(snowflake, "SELECT 1").json()["statementHandle"]
    refused(status(snowflake, handle, query), 400, "390142")


# reference: 404 for an unknown path, 405 with an empty body for another method
def test_wrong_path_and_method(snowflake: Running) -> None:
    sent = headers(snowflake)
    assert requests.post(snowflake.url + "/api/v2/hello", headers=sent, timeout=TIMEOUT).status_code == 404
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", f"/{uuid.uuid4()}"), ("GET", f"/{uuid.uuid4()}/cancel")):
        answer = requests.request(method, snowflake.url + STATEMENTS + path, headers=sent, timeout=TIMEOUT)
        assert (answer.status_code, answer.content) == (405, b"")


# reference: cancel, 422 with code 000709
def test_unknown_and_foreign_handles(snowflake: Running) -> None:
    refused(status(snowflake, str(uuid.uuid4())), 422, "000709", "02000")
    refused(cancel(snowflake, str(uuid.uuid4())), 422, "000709", "02000")
    handle = submit(snowflake, "SELECT 1").json()["statementHandle"]
    refused(cancel(snowflake, handle), 422, "000709", "02000")
    other = f"Bearer {snowflake.connection['otherUser']['accessToken']}"
    kind = "PROGRAMMATIC_ACCESS_TOKEN"
    foreign = status(snowflake, handle, Authorization=other, X_Snowflake_Authorization_Token_Type=kind)
    refused(foreign, 422, "000709", "02000")


# intro: limitations; submitting-multiple-statements: MULTI_STATEMENT_COUNT
@pytest.mark.parametrize(
    ("statement", "code", "state"),
    [
        ("PUT file:///tmp/x @stage", "000002", "0A000"),
        ("GET @stage file:///tmp/x", "000002", "0A000"),
        ("USE WAREHOUSE LOAD_WH", "000002", "0A000"),
        ("ALTER SESSION SET TIMEZONE = 'UTC'", "000002", "0A000"),
        ("BEGIN", "000002", "0A000"),
        ("COMMIT", "000002", "0A000"),
        ("ROLLBACK", "000002", "0A000"),
        ("SET a = 1", "000002", "0A000"),
        ("CREATE TEMPORARY TABLE t (a INT)", "000002", "0A000"),
        ("SELECT 1; SELECT 2", "000008", "0A000"),
        ("", "000900", "42601"),
        ("SELECT 1 +", "001003", "42000"),
        ("SELCT 1", "001003", "42000"),
        ("SELECT farm_fingerprint('x')", "002140", "42601"),
        ("SELECT ROW_NUMBER() OVER (PARTITION BY id) FROM customers", "002303", "42601"),
        ("SELECT LEAD(1) OVER () FROM customers", "002303", "42601"),
        ("SELECT xxhash64(1)", "002140", "42601"),
        ("SELECT * FROM nowhere", "002003", "42S02"),
        ("SELECT * FROM nowhere.customers", "002003", "02000"),
        ("SELECT * FROM nowhere.public.customers", "002003", "02000"),
        ("SELECT afaf FROM customers", "000904", "42000"),
        ('SELECT "email" FROM customers', "000904", "42000"),
        ("CREATE TABLE customers (a INT)", "002002", "42710"),
        ("CREATE TABLE t AS SELECT 1", "002022", "42601"),
        ("CREATE TABLE t AS SELECT 1 AS a, 2 AS a", "002025", "42S21"),
        ("SELECT ?", "002049", "42601"),
    ],
)
def test_wrong_statement(snowflake: Running, statement: str, code: str, state: str) -> None:
    answer = submit(snowflake, statement)
    refused(answer, 422, code, state)
    uuid.UUID(answer.json()["statementHandle"])


# submitting-requests: context names are case-sensitive
@pytest.mark.parametrize(
    ("fields", "http", "code", "state"),
    [
        ({"warehouse": "load_wh"}, 422, "390201", "08004"),
        ({"database": "shop"}, 422, "390201", "08004"),
        ({"schema": "public"}, 422, "390201", "08004"),
        ({"role": "backflow_role"}, 403, "390186", None),
    ],
)
def test_context_in_the_wrong_case(
    snowflake: Running, fields: dict[str, str], http: int, code: str, state: str
) -> None:
    refused(submit(snowflake, "SELECT 1", **fields), http, code, state)


# submitting-requests: a value that its binding type does not take is 100037 / 22018
def test_bound_value_that_is_not_of_its_type(snowflake: Running) -> None:
    answer = submit(snowflake, "SELECT ?", bindings={"1": {"type": "FIXED", "value": "x"}})
    refused(answer, 422, "100037", "22018")


# submitting-multiple-statements: no bindings there
def test_bindings_with_several_statements(snowflake: Running) -> None:
    several = {"parameters": {"MULTI_STATEMENT_COUNT": "2"}, "bindings": {"1": {"type": "FIXED", "value": "1"}}}
    refused(submit(snowflake, "SELECT ?; SELECT 2", **several), 422, "000002", "0A000")


def test_work_without_a_warehouse_or_database(snowflake: Running) -> None:
    only = {"warehouse": "", "database": "", "schema": ""}
    refused(submit(snowflake, "SELECT * FROM customers", **only), 422, "090105", "22000")
    refused(submit(snowflake, "SELECT * FROM shop.public.customers", **only), 422, "000606", "57P03")
    assert submit(snowflake, "SELECT 1", **only).status_code == 200
