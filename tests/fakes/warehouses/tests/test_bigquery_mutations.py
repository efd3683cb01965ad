"""Every mutation of what Google's client sent is refused: dropped, of another type, of another value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

from ..running import Running
from .harness import Call, Recorder, dropped, leaves, replaced, wrong_types

REQUIRED_FIELDS = {"query", "configuration", "datasetId"}
WRONG_VALUES: dict[str, Any] = {
    "query": "SELECT FROM WHERE",
    "useLegacySql": True,
    "priority": "HIGH",
    "projectId": "other",
    "datasetId": "nowhere",
    "location": "US",
    "jobId": "not allowed!",
    "maximumBytesBilled": "1",
    "timestampOutputFormat": "ISO",
    "requestId": "x" * 37,
    "timeoutMs": -1,
    "maxResults": -1,
}
SQL = "SELECT id FROM customers"


@pytest.fixture(scope="module")
def calls(bigquery_fake: Running) -> list[Call]:
    """Traffic of the official client: a query as a job with its result, a query at once, a table's rows."""
    client = bigquery.Client(
        project="acme-test",
        credentials=Credentials(bigquery_fake.connection["accessToken"]),
        client_options={"api_endpoint": bigquery_fake.url},
        location="EU",
    )
    dataset = bigquery.DatasetReference("acme-test", "shop")
    config = bigquery.QueryJobConfig(default_dataset=dataset, maximum_bytes_billed=2**40, priority="INTERACTIVE")
    with Recorder(bigquery_fake) as recorder:
        list(client.query(SQL, job_config=config, job_id="recorded").result())
        list(client.query_and_wait(SQL, job_config=bigquery.QueryJobConfig(default_dataset=dataset), page_size=10))
        list(client.list_rows("shop.customers", max_results=2))
    assert {code for _, code in recorder.requests} == {200}
    return [Call.of(request) for request, _ in recorder.requests]


def fresh(call: Call, count: int) -> Call:
    """The call as a new job: an id may be used once."""
    if not call.body or b"recorded" not in call.body:
        return call
    return call.with_json(replaced(json.loads(call.body), ("jobReference", "jobId"), f"again-{count}"))


def mutations(call: Call) -> Iterator[tuple[str, Call]]:
    yield "without Authorization", call.without_header("Authorization")
    yield "wrong Authorization", call.with_header("Authorization", "Bearer other")
    for name, _ in call.query:
        if name not in ("prettyPrint", "fields", "projection"):
            others = [pair for pair in call.query if pair[0] != name]
            yield f"query {name} twice", call.with_query([*call.query, (name, "1")])
            yield f"wrong query {name}", call.with_query([*others, (name, "wrong")])
    yield "unknown query parameter", call.with_query([*call.query, ("unknown", "1")])
    if not call.body:
        return
    yield "without Content-Type", call.without_header("Content-Type")
    yield "wrong Content-Type", call.with_header("Content-Type", "text/plain")
    sent = json.loads(call.body)
    for path, value in leaves(sent):
        name = str(path[-1])
        for other in wrong_types(value):
            if not (isinstance(value, dict) and isinstance(other, dict) and name == "labels"):
                yield f"{path} is {other}", call.with_json(replaced(sent, path, other))
        if name in WRONG_VALUES:
            yield f"wrong value of {path}", call.with_json(replaced(sent, path, WRONG_VALUES[name]))
        if name in REQUIRED_FIELDS or path == ("useLegacySql",):
            yield f"without {path}", call.with_json(dropped(sent, path))


def test_the_traffic_itself_is_accepted(bigquery_fake: Running, calls: list[Call]) -> None:
    answers = [fresh(call, at).send(bigquery_fake.url).status_code for at, call in enumerate(calls)]
    assert set(answers) == {200}
    assert len(calls) >= 4


def test_every_mutation_is_refused(bigquery_fake: Running, calls: list[Call]) -> None:
    accepted, count = [], 0
    for call in calls:
        for name, mutated in mutations(call):
            count += 1
            answer = (mutated if "jobId" in name else fresh(mutated, count)).send(bigquery_fake.url)
            if answer.status_code == 200 and "errorResult" in final(bigquery_fake, answer.json()):
                continue
            if answer.status_code < 400 or "error" not in answer.json():
                accepted.append(f"{call.method} {call.path} {name}: {answer.status_code}")
    assert accepted == []
    assert count > 60


def final(running: Running, job: dict[str, Any]) -> dict[str, Any]:
    """The status of a job that was inserted, when it has ended: a wrong query is told there."""
    if job.get("kind") != "bigquery#job":
        return {}
    statement = running.warehouse.board.find(job["jobReference"]["jobId"])
    assert statement.done.wait(30)
    path = f"/bigquery/v2/projects/acme-test/jobs/{statement.handle}"
    place = job["jobReference"]["location"]
    answer = Call(
        "GET", path, [("location", place)], {"Authorization": f"Bearer {running.connection['accessToken']}"}, b""
    )
    status: dict[str, Any] = answer.send(running.url).json()["status"]
    return status
