"""Google's own client works against the fake, and its answers follow the API's discovery document."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from unittest import mock

import googleapiclient
import pytest
from google.api_core import exceptions
from google.auth import compute_engine
from google.auth.transport.requests import Request as AuthRequest
from google.cloud import bigquery
from google.oauth2 import service_account

from ..running import Running
from .bigquery_shop import call, query
from .harness import Control

SCOPE = "https://www.googleapis.com/auth/bigquery"
DISCOVERY = pathlib.Path(googleapiclient.__file__).parent / "discovery_cache/documents/bigquery.v2.json"


def client_for(running: Running, credentials: Any) -> bigquery.Client:
    options = {"api_endpoint": running.url}
    return bigquery.Client(project="acme-test", credentials=credentials, client_options=options, location="EU")


@pytest.fixture(scope="module")
def client(bigquery_fake: Running) -> Iterator[bigquery.Client]:
    key = bigquery_fake.connection["serviceAccountKey"]
    with client_for(bigquery_fake, service_account.Credentials.from_service_account_info(key, scopes=[SCOPE])) as made:
        yield made


def test_official_client_reads_every_type(client: bigquery.Client) -> None:
    row = next(iter(client.query("SELECT * FROM shop.customers ORDER BY id").result()))
    assert dict(row) == {
        "id": 1,
        "n": Decimal("1.5"),
        "email": "ann@example.com",
        "b": b"ab",
        "f": 1.5,
        "t": dt.datetime(2019, 12, 31, 22, 0, 0, 123456, tzinfo=dt.UTC),
        "dt": dt.datetime(2020, 1, 1, 0, 0, 0, 500000),
        "d": dt.date(2019, 3, 27),
        "tm": dt.time(23, 1, 59),
        "j": {"a": 1},
        "a": ["a", "b"],
        "r": {"x": 1, "y": "x"},
        "ok": True,
    }


def test_official_client_pages_results_and_tables(client: bigquery.Client, bigquery_control: Control) -> None:
    bigquery_control.settings(pageRows=2)
    numbers = "SELECT a.id FROM shop.customers a CROSS JOIN shop.customers b"
    assert len(list(client.query(numbers).result())) == 9
    assert len(list(client.query_and_wait(numbers))) == 9
    assert [row["id"] for row in client.list_rows("shop.customers")] == [1, 2, 3]
    assert [row["id"] for row in client.list_rows("shop.customers", start_index=1, max_results=1)] == [2]


def test_official_client_changes_rows_and_tables(client: bigquery.Client) -> None:
    client.create_dataset(bigquery.Dataset("acme-test.made"))
    client.query("CREATE TABLE made.t AS SELECT 1 AS a").result()
    assert client.query("INSERT INTO made.t (a) VALUES (2), (3)").result().num_dml_affected_rows == 2
    job = client.query("DELETE FROM made.t WHERE a > 1")
    job.result()
    assert job.dml_stats.deleted_row_count == 2
    table = client.get_table("made.t")
    assert (table.num_rows, [field.name for field in table.schema]) == (1, ["a"])
    assert [item.table_id for item in client.list_tables("made")] == ["t"]
    client.delete_table("made.t")
    client.delete_dataset("made")


def test_official_client_reports_errors_as_its_own_classes(client: bigquery.Client) -> None:
    with pytest.raises(exceptions.NotFound, match=r"Not found: Table acme-test:shop\.nowhere"):
        client.query("SELECT * FROM shop.nowhere").result()
    with pytest.raises(exceptions.BadRequest, match="Unrecognized name"):
        client.query("SELECT nothing FROM shop.customers").result()
    with pytest.raises(exceptions.BadRequest, match="bytes billed"):
        client.query_and_wait(
            "SELECT * FROM shop.customers", job_config=bigquery.QueryJobConfig(maximum_bytes_billed=1)
        )


def test_official_client_estimates_waits_and_cancels(client: bigquery.Client, bigquery_control: Control) -> None:
    dry = client.query("SELECT id FROM shop.customers", job_config=bigquery.QueryJobConfig(dry_run=True))
    assert dry.total_bytes_processed == 10 * 1024 * 1024
    bigquery_control.call("POST", "/holds", {"statement": "slow_one", "polls": 2})
    assert [row[0] for row in client.query("SELECT 5 AS slow_one").result()] == [5]
    bigquery_control.call("POST", "/holds", {"statement": "never", "polls": None})
    job = client.query("SELECT 1 AS never")
    assert job.running()
    job.cancel()
    assert job.error_result["reason"] == "stopped"


def test_job_id_of_the_client_is_taken_once(client: bigquery.Client) -> None:
    client.query("SELECT 1", job_id="backflow-1").result()
    with pytest.raises(exceptions.Conflict, match="Already Exists: Job"):
        client.query("SELECT 1", job_id="backflow-1", retry=None, job_retry=None)
    assert client.get_job("backflow-1").state == "DONE"


def test_self_signed_token_and_metadata_server(bigquery_fake: Running) -> None:
    key = bigquery_fake.connection["serviceAccountKey"]
    signed = service_account.Credentials.from_service_account_info(key, always_use_jwt_access=True)
    signed = signed.with_scopes([SCOPE])
    signed._create_self_signed_jwt(None)
    assert [row[0] for row in client_for(bigquery_fake, signed).query("SELECT 1").result()] == [1]
    host = bigquery_fake.connection["metadataHost"]
    with mock.patch("google.auth.compute_engine._metadata._GCE_METADATA_HOST", host):
        identity = compute_engine.Credentials()
        identity.refresh(AuthRequest())
        assert [row[0] for row in client_for(bigquery_fake, identity).query("SELECT 2").result()] == [2]


def conforms(value: Any, schema: dict[str, Any], schemas: dict[str, Any], path: str) -> Iterator[str]:
    """Where an answer does not follow the discovery document."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    kinds = {"string": str, "integer": int, "boolean": bool, "number": (int, float), "array": list, "object": dict}
    kind = schema.get("type", "any")
    if kind == "any":
        return
    if not isinstance(value, kinds[kind]):
        yield f"{path} is {type(value).__name__}, not {kind}"
    elif kind == "array":
        for at, item in enumerate(value):
            yield from conforms(item, schema["items"], schemas, f"{path}[{at}]")
    elif kind == "object" and "properties" in schema:
        for name, item in value.items():
            if name not in schema["properties"]:
                yield f"{path}.{name} is not in the discovery document"
            else:
                yield from conforms(item, schema["properties"][name], schemas, f"{path}.{name}")


def test_answers_follow_the_discovery_document(bigquery_fake: Running) -> None:
    document = json.loads(DISCOVERY.read_text())
    done = query(bigquery_fake, "SELECT * FROM shop.customers", maxResults=1).json()
    job = done["jobReference"]["jobId"]
    made = query(bigquery_fake, "UPDATE shop.customers SET email = email WHERE id = 1").json()["jobReference"]["jobId"]
    answers = {
        "QueryResponse": done,
        "GetQueryResultsResponse": call(bigquery_fake, "GET", f"/queries/{job}").json(),
        "Job": call(bigquery_fake, "GET", f"/jobs/{made}").json(),
        "JobCancelResponse": call(bigquery_fake, "POST", f"/jobs/{job}/cancel").json(),
        "Table": call(bigquery_fake, "GET", "/datasets/shop/tables/customers").json(),
        "TableList": call(bigquery_fake, "GET", "/datasets/shop/tables").json(),
        "TableDataList": call(bigquery_fake, "GET", "/datasets/shop/tables/customers/data").json(),
        "Dataset": call(bigquery_fake, "GET", "/datasets/shop").json(),
    }
    wrong = [
        fault
        for name, answer in answers.items()
        for fault in conforms(answer, {"$ref": name}, document["schemas"], name)
    ]
    assert wrong == []
