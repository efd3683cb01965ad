"""What a client may rely on: results and their forms, pages, jobs, faults."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from ..running import Running
from .bigquery_shop import call, insert, query, rows
from .harness import Control

PLAN = """CREATE TABLE `acme-test._backflow.d` PARTITION BY RANGE_BUCKET(_b, GENERATE_ARRAY(0, 1024, 1)) CLUSTER BY _n
OPTIONS(expiration_timestamp = TIMESTAMP '2030-01-01') AS
WITH m AS (SELECT q.id AS _k, q.*, FARM_FINGERPRINT(TO_JSON_STRING(STRUCT(q.email, q.t))) AS _h,
        COUNT(*) OVER (PARTITION BY q.id) AS _dup
    FROM (SELECT * FROM `acme-test`.shop.customers) q)
SELECT x.*, ROW_NUMBER() OVER (PARTITION BY _b ORDER BY _k) AS _n FROM (
    SELECT COALESCE(m._k, c.k) AS _k, m._h,
        CASE WHEN m._dup > 1 OR (m._h IS NOT NULL AND m._k IS NULL) THEN 9
            WHEN c._h IS NULL THEN 1 WHEN m._h IS NULL THEN 3 ELSE 2 END AS _op,
        MOD(FARM_FINGERPRINT(CAST(COALESCE(m._k, c.k) AS STRING)) & 0x7fffffffffffffff, 1024) AS _b, m.email
    FROM m FULL OUTER JOIN `acme-test._backflow.c` c ON c.k = m._k
    WHERE c._h IS NULL OR m._h IS NULL OR m._h <> c._h OR m._dup > 1) x"""
APPLY = """MERGE _backflow.c c USING _backflow.d d ON c.k = d._k
    WHEN MATCHED AND d._op = 3 THEN DELETE WHEN MATCHED THEN UPDATE SET _h = d._h
    WHEN NOT MATCHED AND d._op <> 3 THEN INSERT (k, _h) VALUES (d._k, d._h)"""


def test_a_run_finds_changes_and_commits_them(bigquery_fake: Running, bigquery_control: Control) -> None:
    rows(bigquery_fake, "CREATE SCHEMA IF NOT EXISTS `acme-test._backflow` OPTIONS(location = 'EU')")
    rows(bigquery_fake, "CREATE TABLE `acme-test._backflow.c` (k INT64, _h INT64)")
    rows(bigquery_fake, PLAN)
    assert rows(bigquery_fake, "SELECT _k, _op FROM _backflow.d ORDER BY _k") == [["1", "1"], ["2", "1"], ["3", "1"]]
    assert query(bigquery_fake, APPLY).json()["dmlStats"]["insertedRowCount"] == "3"
    rows(bigquery_fake, "DROP TABLE _backflow.d")
    # One microsecond, NULL to '', and a row that is gone.
    rows(bigquery_fake, "UPDATE shop.customers SET t = TIMESTAMP_ADD(t, INTERVAL 1 MICROSECOND) WHERE id = 1")
    rows(bigquery_fake, "UPDATE shop.customers SET email = '' WHERE id = 2")
    rows(bigquery_fake, "DELETE FROM shop.customers WHERE id = 3")
    rows(bigquery_fake, PLAN)
    assert rows(bigquery_fake, "SELECT _k, _op FROM _backflow.d ORDER BY _k") == [["1", "2"], ["2", "2"], ["3", "3"]]
    stats = query(bigquery_fake, APPLY).json()["dmlStats"]
    assert (stats["updatedRowCount"], stats["deletedRowCount"]) == ("2", "1")
    tables = ["acme-test._backflow.c", "acme-test._backflow.d", "acme-test.shop.customers"]
    assert bigquery_control.call("GET", "/tables") == tables
    names = "SELECT table_name FROM `acme-test`._backflow.INFORMATION_SCHEMA.TABLES ORDER BY table_name"
    assert rows(bigquery_fake, names) == [["c"], ["d"]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "1.577836800123456E9"),
        ({"useInt64Timestamp": True}, "1577836800123456"),
        ({"timestampOutputFormat": "INT64"}, "1577836800123456"),
        ({"timestampOutputFormat": "ISO8601_STRING"}, "2020-01-01T00:00:00.123456Z"),
    ],
)
def test_timestamps_have_the_asked_form(bigquery_fake: Running, options: dict[str, object], text: str) -> None:
    sql = "SELECT TIMESTAMP '2020-01-01 00:00:00.123456+00' AS t"
    assert rows(bigquery_fake, sql, formatOptions=options) == [[text]]


def test_a_table_that_several_clients_make_at_once_is_made_once(bigquery_fake: Running) -> None:
    text = "CREATE TABLE IF NOT EXISTS shop.at_once (turn INT64)"
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(query, bigquery_fake, text) for _ in range(16)]
    assert all(one.result().json()["jobComplete"] is True for one in tries)
    rows(bigquery_fake, "DROP TABLE shop.at_once")


def test_values_have_the_encodings_of_the_documents(bigquery_fake: Running) -> None:
    cells = "CAST('NaN' AS FLOAT64) AS a, CAST('inf' AS FLOAT64) AS b, b'ab' AS c, NUMERIC '1.50' AS d, TRUE AS e"
    nested = "[1, 2] AS f, STRUCT(1 AS x, 'y' AS z) AS g, CAST(NULL AS STRING) AS h, DATE '2019-03-27' AS i"
    assert rows(bigquery_fake, f"SELECT {cells}, {nested}") == [
        [
            "NaN",
            "Infinity",
            "YWI=",
            "1.5",
            "true",
            [{"v": "1"}, {"v": "2"}],
            {"f": [{"v": "1"}, {"v": "y"}]},
            None,
            "2019-03-27",
        ]
    ]


def test_wrong_query_of_a_job_is_told_by_its_status(bigquery_fake: Running) -> None:
    inserted = insert(bigquery_fake, "SELECT nothing", job="wrong").json()
    assert inserted["jobReference"] == {"projectId": "acme-test", "jobId": "wrong", "location": "EU"}
    assert call(bigquery_fake, "GET", "/queries/wrong?location=EU").status_code == 400
    status = call(bigquery_fake, "GET", "/jobs/wrong?location=EU").json()["status"]
    assert (status["state"], status["errorResult"]["reason"]) == ("DONE", "invalidQuery")


def test_query_parameters(bigquery_fake: Running) -> None:
    def given(value: str | None, kind: str = "STRING", name: str | None = None) -> dict[str, object]:
        found = {"parameterType": {"type": kind}, "parameterValue": {} if value is None else {"value": value}}
        return {**found, **({"name": name} if name else {})}

    two = [given("2", "INT64"), given("it's")]
    assert rows(bigquery_fake, "SELECT ? + 1 AS a, ? AS b", queryParameters=two) == [["3", "it's"]]
    named = [given("x", name="p"), given(None, name="q")]
    assert rows(bigquery_fake, "SELECT @p AS a, @q AS b", queryParameters=named) == [["x", None]]
    for sql, parameters in (("SELECT ?", []), ("SELECT @r", named), ("SELECT @p", two), ("SELECT ?", named)):
        wrong = query(bigquery_fake, sql, queryParameters=parameters)
        assert wrong.json()["error"]["errors"][0]["reason"] == "invalidQuery"
    mixed = query(bigquery_fake, "SELECT ?", queryParameters=[*two, *named])
    assert mixed.json()["error"]["errors"][0]["reason"] == "invalid"
    unfit = query(bigquery_fake, "SELECT ?", queryParameters=two, parameterMode="NAMED")
    assert unfit.json()["error"]["errors"][0]["reason"] == "invalid"


def test_script_with_a_transaction(bigquery_fake: Running) -> None:
    rows(bigquery_fake, "CREATE TABLE shop.turns (turn INT64)")
    rows(bigquery_fake, "INSERT INTO shop.turns (turn) VALUES (0)")
    step = "UPDATE shop.turns SET turn = turn + 1 WHERE TRUE"
    rows(bigquery_fake, f"BEGIN TRANSACTION; {step}; COMMIT TRANSACTION")
    rows(bigquery_fake, f"BEGIN TRANSACTION; {step}; ROLLBACK TRANSACTION")
    failed = query(bigquery_fake, f"BEGIN TRANSACTION; {step}; SELECT * FROM shop.nowhere; COMMIT TRANSACTION")
    assert failed.status_code == 404
    assert rows(bigquery_fake, "SELECT 5 AS a; SELECT turn FROM shop.turns") == [["1"]]


def test_script_that_fails_by_its_own_words_moves_nothing(bigquery_fake: Running) -> None:
    rows(bigquery_fake, "CREATE TABLE shop.moved (a INT64)")
    proof = "SELECT IF((SELECT COUNT(*) FROM shop.moved) = {}, TRUE, ERROR('not so'))"
    script = "BEGIN TRANSACTION; INSERT INTO shop.moved (a) VALUES (1); {}; COMMIT TRANSACTION"
    failed = query(bigquery_fake, script.format(proof.format(7)))
    assert (failed.status_code, "not so" in failed.text) == (400, True)
    assert rows(bigquery_fake, f"{script.format(proof.format(1))}; SELECT COUNT(*) FROM shop.moved") == [["1"]]


def test_numbers_lengths_and_counts(bigquery_fake: Running) -> None:
    printed = "FORMAT('%.17g', 0.1), FORMAT('%.17g', -0.0 + 0.0), FORMAT('%.17g', CAST('NaN' AS FLOAT64))"
    assert rows(bigquery_fake, f"SELECT {printed}") == [["0.10000000000000001", "0", "nan"]]
    counted = "SELECT COUNTIF(a IS NULL), COUNTIF(a > 1) FROM UNNEST([CAST(NULL AS INT64)]) AS a"
    assert rows(bigquery_fake, counted) == [["1", "0"]]
    assert rows(bigquery_fake, "SELECT BYTE_LENGTH('é'), OCTET_LENGTH(b'abc')") == [["2", "3"]]


def test_dry_run_compiles_and_changes_nothing(bigquery_fake: Running) -> None:
    dry = query(bigquery_fake, "SELECT id, email FROM shop.customers", dryRun=True).json()
    assert [field["name"] for field in dry["schema"]["fields"]] == ["id", "email"]
    change = "INSERT INTO shop.customers (id) VALUES (77)"
    assert query(bigquery_fake, change, dryRun=True).status_code == 200
    assert query(bigquery_fake, "INSERT INTO shop.customers (nothing) VALUES (1)", dryRun=True).status_code == 400
    assert rows(bigquery_fake, "SELECT COUNT(*) FROM shop.customers WHERE id = 77") == [["0"]]


def test_query_that_runs_on_answers_without_rows(bigquery_fake: Running, bigquery_control: Control) -> None:
    bigquery_control.call("POST", "/holds", {"statement": "slow_one", "polls": 2})
    first = query(bigquery_fake, "SELECT 1 AS slow_one").json()
    assert (first["jobComplete"], first.get("rows")) == (False, None)
    path = f"/queries/{first['jobReference']['jobId']}"
    assert [call(bigquery_fake, "GET", path).json()["jobComplete"] for _ in range(2)] == [False, True]


def test_same_request_id_is_executed_once(bigquery_fake: Running, bigquery_control: Control) -> None:
    rows(bigquery_fake, "CREATE TABLE shop.once (a INT64)")
    bigquery_control.fault("reset", path="queries", afterBytes=0)
    with pytest.raises(requests.ConnectionError):
        query(bigquery_fake, "INSERT INTO shop.once (a) VALUES (1)", requestId="one")
    assert query(bigquery_fake, "INSERT INTO shop.once (a) VALUES (1)", requestId="one").status_code == 200
    assert rows(bigquery_fake, "SELECT COUNT(*) FROM shop.once") == [["1"]]


def test_cancelled_job_leaves_no_table(bigquery_fake: Running, bigquery_control: Control) -> None:
    many = "FROM shop.customers a " + " ".join(f"CROSS JOIN UNNEST([1, 2, 3, 4]) AS t{n}" for n in range(30))
    insert(bigquery_fake, f"CREATE TABLE shop.huge AS SELECT a.id AS id {many}", job="huge")
    ended = call(bigquery_fake, "POST", "/jobs/huge/cancel?location=EU").json()["job"]["status"]
    assert (ended["state"], ended["errorResult"]["reason"]) == ("DONE", "stopped")
    assert "acme-test.shop.huge" not in bigquery_control.call("GET", "/tables")


def test_expired_results_tokens_and_page_tokens(bigquery_fake: Running, bigquery_control: Control) -> None:
    done = query(bigquery_fake, "SELECT id FROM shop.customers", maxResults=1).json()
    path = f"/queries/{done['jobReference']['jobId']}"
    bigquery_control.call("POST", "/expire", {"what": "links"})
    assert call(bigquery_fake, "GET", f"{path}?pageToken={done['pageToken']}").status_code == 400
    bigquery_control.call("POST", "/expire", {"what": "results"})
    assert call(bigquery_fake, "GET", path).status_code == 404
    other = bigquery_fake.warehouse.auth.issue()
    bigquery_control.call("POST", "/expire", {"what": "tokens"})
    assert call(bigquery_fake, "GET", "/datasets", Authorization=f"Bearer {other}").status_code == 401
    bigquery_fake.connection["accessToken"] = bigquery_fake.warehouse.auth.issue()


def test_faults_have_the_form_of_the_service(bigquery_fake: Running, bigquery_control: Control) -> None:
    bigquery_control.fault("throttle", retryAfter=3)
    bigquery_control.fault("unauthorized")
    bigquery_control.fault("unavailable", status=503)
    throttled = query(bigquery_fake, "SELECT 1")
    assert (throttled.status_code, throttled.headers["Retry-After"]) == (429, "3")
    assert throttled.json()["error"]["errors"][0]["reason"] == "rateLimitExceeded"
    assert query(bigquery_fake, "SELECT 1").json()["error"]["status"] == "UNAUTHENTICATED"
    assert query(bigquery_fake, "SELECT 1").json()["error"]["errors"][0]["reason"] == "backendError"
