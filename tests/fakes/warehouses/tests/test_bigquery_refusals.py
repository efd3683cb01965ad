"""Wrong requests that Google's documents name are refused, in the form that they name.

Pages of cloud.google.com/bigquery/docs: "error-messages", "reference/rest/v2" (jobs.query, jobs.insert, jobs.get,
jobs.getQueryResults, tabledata.list), "reference/standard-sql" (query, data-manipulation-language and data-definition
language syntax), "locations"; developers.google.com/identity/protocols/oauth2/service-account; AIP-193 for the form.
"""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from ..running import Running
from .bigquery_shop import ROOT, call, insert, query
from .harness import TIMEOUT, Answer, Call, Control

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/bigquery"


def refused(answer: requests.Response | Answer, status: int, reason: str) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["errors"][0]["reason"]) == (status, status, reason), answer.text


# error-messages: authError; every call needs a token
@pytest.mark.parametrize("header", [None, "Basic YTpi", "Bearer ya29.unknown", "Bearer a.b.c"])
def test_wrong_authorization(bigquery_fake: Running, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    refused(Call("GET", f"{ROOT}/datasets", [], headers, b"").send(bigquery_fake.url), 401, "authError")


def assertion(running: Running, **changes: Any) -> str:
    key = running.connection["serviceAccountKey"]
    now = int(time.time())
    claims = {"iss": key["client_email"], "scope": SCOPE, "aud": key["token_uri"], "iat": now, "exp": now + 3600}
    signing = changes.pop("key", key["private_key"])
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, signing, algorithm="RS256")


# oauth2/service-account: "JWT error codes"
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"iss": "nobody@acme-test.iam.gserviceaccount.com"}, "invalid_grant", id="another account"),
        pytest.param({"exp": 1}, "invalid_grant", id="expired"),
        pytest.param({"iat": int(time.time()) + 900}, "invalid_grant", id="issued in the future"),
        pytest.param({"exp": int(time.time()) + 7200}, "invalid_grant", id="lives for two hours"),
        pytest.param({"aud": "https://example.com/token"}, "invalid_grant", id="another audience"),
        pytest.param({"scope": None}, "invalid_scope", id="no scope"),
        pytest.param({"scope": "https://www.googleapis.com/auth/drive"}, "invalid_scope", id="another scope"),
        pytest.param({"key": rsa.generate_private_key(65537, 2048)}, "invalid_grant", id="another key"),
    ],
)
def test_wrong_assertion(bigquery_fake: Running, changes: dict[str, Any], error: str) -> None:
    form = {"grant_type": GRANT, "assertion": assertion(bigquery_fake, **changes)}
    answer = requests.post(bigquery_fake.url + "/token", data=form, timeout=TIMEOUT)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_right_assertion_and_wrong_grant(bigquery_fake: Running) -> None:
    url = bigquery_fake.url + "/token"
    form = {"grant_type": GRANT, "assertion": assertion(bigquery_fake)}
    token = requests.post(url, data=form, timeout=TIMEOUT).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.get(bigquery_fake.url + ROOT + "/datasets", headers=headers, timeout=TIMEOUT).status_code == 200
    wrong = requests.post(url, data={**form, "grant_type": "client_credentials"}, timeout=TIMEOUT)
    assert wrong.json()["error"] == "unsupported_grant_type"


# iam/docs/create-short-lived-credentials-direct
def test_impersonation(bigquery_fake: Running) -> None:
    def ask(account: str, body: Any) -> requests.Response:
        url = f"{bigquery_fake.url}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
        headers = {"Authorization": f"Bearer {bigquery_fake.connection['accessToken']}"}
        return requests.post(url, json=body, headers=headers, timeout=TIMEOUT)

    reader = bigquery_fake.connection["impersonate"]
    made = ask(reader, {"scope": [SCOPE], "lifetime": "3600s"}).json()["accessToken"]
    assert call(bigquery_fake, "GET", "/datasets", Authorization=f"Bearer {made}").status_code == 200
    refused(ask("other@acme-test.iam.gserviceaccount.com", {"scope": [SCOPE]}), 403, "accessDenied")
    refused(ask(reader, {}), 400, "required")
    refused(ask(reader, {"scope": ["https://www.googleapis.com/auth/drive"]}), 400, "invalid")


# compute/docs/metadata: the header Metadata-Flavor is required
def test_metadata_server_without_its_header(bigquery_fake: Running) -> None:
    url = bigquery_fake.url + "/computeMetadata/v1/instance/service-accounts/default/token"
    assert requests.get(url, timeout=TIMEOUT).status_code == 403


# jobs.query, QueryRequest
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param({"useLegacySql": False}, "required", id="no query"),
        pytest.param({"query": "SELECT 1"}, "invalidQuery", id="legacy SQL is the default"),
        pytest.param({"query": 1, "useLegacySql": False}, "invalid", id="query is a number"),
        pytest.param({"query": "SELECT 1", "useLegacySql": "false"}, "invalid", id="boolean as text"),
        pytest.param({"query": "SELECT 1", "useLegacySql": False, "sql": "x"}, "badRequest", id="unknown field"),
        pytest.param({"query": "SELECT 1", "useLegacySql": False, "maxResults": -1}, "invalid", id="negative page"),
        pytest.param({"query": "SELECT 1", "useLegacySql": False, "timeoutMs": "x"}, "invalid", id="timeout is text"),
        pytest.param(
            {"query": "SELECT 1", "useLegacySql": False, "requestId": "x" * 37}, "invalid", id="long request id"
        ),
        pytest.param(
            {"query": "SELECT 1", "useLegacySql": False, "formatOptions": {"timestampOutputFormat": "ISO"}},
            "invalid",
            id="unknown timestamp format",
        ),
        pytest.param(
            {"query": "SELECT 1", "useLegacySql": False, "defaultDataset": {"projectId": "acme-test"}},
            "required",
            id="default dataset without its name",
        ),
    ],
)
def test_wrong_query_request(bigquery_fake: Running, body: dict[str, Any], reason: str) -> None:
    refused(call(bigquery_fake, "POST", "/queries", body), 400, reason)


# jobs.insert, Job
@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        pytest.param({}, 400, "required", id="no configuration"),
        pytest.param({"configuration": {}}, 400, "required", id="no kind of job"),
        pytest.param({"configuration": {"query": {"query": "SELECT 1"}}}, 400, "invalidQuery", id="legacy SQL"),
        pytest.param(
            {"configuration": {"query": {"query": "SELECT 1", "useLegacySql": False, "priority": "HIGH"}}},
            400,
            "invalid",
            id="unknown priority",
        ),
        pytest.param(
            {
                "jobReference": {"projectId": "acme-test", "jobId": "not allowed!"},
                "configuration": {"query": {"query": "SELECT 1", "useLegacySql": False}},
            },
            400,
            "invalid",
            id="characters of a job id",
        ),
        pytest.param(
            {
                "jobReference": {"projectId": "other"},
                "configuration": {"query": {"query": "SELECT 1", "useLegacySql": False}},
            },
            400,
            "invalid",
            id="project of the URL and of the job differ",
        ),
    ],
)
def test_wrong_job(bigquery_fake: Running, body: dict[str, Any], status: int, reason: str) -> None:
    refused(call(bigquery_fake, "POST", "/jobs", body), status, reason)


def test_body_that_is_no_json(bigquery_fake: Running) -> None:
    headers = {"Authorization": f"Bearer {bigquery_fake.connection['accessToken']}"}
    sent = Call("POST", f"{ROOT}/queries", [], {**headers, "Content-Type": "application/json"}, b"{")
    refused(sent.send(bigquery_fake.url), 400, "parseError")
    sent = Call("POST", f"{ROOT}/queries", [], {**headers, "Content-Type": "text/plain"}, b"{}")
    refused(sent.send(bigquery_fake.url), 400, "badContent")


# error-messages: accessDenied, duplicate, invalid, invalidQuery, notFound; standard-sql
@pytest.mark.parametrize(
    ("sql", "status", "reason"),
    [
        ("", 400, "invalidQuery"),
        ("SELECT 1 +", 400, "invalidQuery"),
        ("BEGIN TRANSACTION", 400, "invalidQuery"),
        ("SELECT hash(1)", 400, "invalidQuery"),
        ("SELECT LEAD(1) OVER () FROM shop.customers", 400, "invalidQuery"),
        ("SELECT 1 FROM shop.customers AS a FULL JOIN shop.customers AS b ON a.id < b.id", 400, "invalidQuery"),
        ("SELECT FORMAT('%T', 1)", 400, "invalidQuery"),
        ("BEGIN TRANSACTION; CREATE TABLE shop.inside (a INT64); COMMIT TRANSACTION", 400, "invalidQuery"),
        ("BEGIN TRANSACTION; DROP TABLE shop.customers; COMMIT TRANSACTION", 400, "invalidQuery"),
        ("SELECT object_construct('a', 1)", 400, "invalidQuery"),
        ("SELECT nothing FROM shop.customers", 400, "invalidQuery"),
        ("SELECT * FROM customers", 400, "invalid"),
        ("SELECT * FROM shop.nowhere", 404, "notFound"),
        ("SELECT * FROM shop.Customers", 404, "notFound"),
        ("SELECT * FROM nowhere.customers", 404, "notFound"),
        ("SELECT * FROM other.shop.customers", 403, "accessDenied"),
        ("SELECT 1 AS a, 2 AS A", 400, "invalidQuery"),
        ("DELETE FROM shop.customers", 400, "invalidQuery"),
        ("UPDATE shop.customers SET email = ''", 400, "invalidQuery"),
        ("CREATE TABLE shop.customers (a INT64)", 409, "duplicate"),
        ("CREATE TABLE shop.t AS SELECT 1", 400, "invalidQuery"),
        ("CREATE TEMP TABLE t (a INT64)", 400, "invalidQuery"),
        ("CREATE SCHEMA shop", 409, "duplicate"),
        ("DROP TABLE shop.nowhere", 404, "notFound"),
        ("DROP SCHEMA shop", 400, "invalid"),
    ],
)
def test_wrong_statement(bigquery_fake: Running, sql: str, status: int, reason: str) -> None:
    refused(query(bigquery_fake, sql), status, reason)


# error-messages: bytesBilledLimitExceeded; locations: a job finds only what is in its location
def test_limits_and_locations(bigquery_fake: Running) -> None:
    sql = "SELECT * FROM shop.customers"
    refused(query(bigquery_fake, sql, maximumBytesBilled="1"), 400, "bytesBilledLimitExceeded")
    refused(query(bigquery_fake, sql, location="US"), 404, "notFound")
    job = query(bigquery_fake, sql).json()["jobReference"]["jobId"]
    refused(call(bigquery_fake, "GET", f"/jobs/{job}?location=US"), 404, "notFound")
    refused(call(bigquery_fake, "GET", "/jobs/unknown?location=EU"), 404, "notFound")


# jobs.insert with an id that was used: 409 duplicate
def test_job_id_that_was_used(bigquery_fake: Running) -> None:
    assert insert(bigquery_fake, "SELECT 1", job="twice").status_code == 200
    refused(insert(bigquery_fake, "SELECT 1", job="twice"), 409, "duplicate")


# paging-results: page tokens are opaque and of one result
@pytest.mark.parametrize(
    "parameters", ["pageToken=made-up", "pageToken=bWFkZSB1cA==", "maxResults=-1", "startIndex=x", "page=2"]
)
def test_wrong_page(bigquery_fake: Running, parameters: str) -> None:
    job = query(bigquery_fake, "SELECT 1").json()["jobReference"]["jobId"]
    reason = "badRequest" if parameters.startswith("page=") else "invalid"
    refused(call(bigquery_fake, "GET", f"/queries/{job}?{parameters}"), 400, reason)
    refused(call(bigquery_fake, "GET", f"/datasets/shop/tables/customers/data?{parameters}"), 400, reason)


def test_page_token_of_another_result(bigquery_fake: Running) -> None:
    first = query(bigquery_fake, "SELECT id FROM shop.customers", maxResults=1).json()
    other = query(bigquery_fake, "SELECT id FROM shop.customers", maxResults=1).json()["jobReference"]["jobId"]
    refused(call(bigquery_fake, "GET", f"/queries/{other}?pageToken={first['pageToken']}"), 400, "invalid")


def test_unknown_paths_methods_and_projects(bigquery_fake: Running) -> None:
    assert call(bigquery_fake, "GET", "/hello").status_code == 404
    assert call(bigquery_fake, "PUT", "/queries").status_code == 404
    headers = {"Authorization": f"Bearer {bigquery_fake.connection['accessToken']}"}
    url = bigquery_fake.url + "/bigquery/v2/projects/other/datasets"
    refused(requests.get(url, headers=headers, timeout=TIMEOUT), 403, "accessDenied")


def test_missing_permissions(bigquery_fake: Running, bigquery_control: Control) -> None:
    bigquery_control.settings(deny=["shop.customers"], readOnly=True)
    refused(query(bigquery_fake, "SELECT * FROM shop.customers"), 403, "accessDenied")
    refused(call(bigquery_fake, "GET", "/datasets/shop/tables/customers/data"), 403, "accessDenied")
    refused(query(bigquery_fake, "CREATE TABLE shop.t (a INT64)"), 403, "accessDenied")
