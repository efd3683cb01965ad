"""What a client may rely on: results, partitions, handles, cancellation, retries, faults, the ledger."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from ..running import Running
from .harness import Control
from .snowflake_shop import cancel, headers, rows, status, submit

PLAN = """CREATE TRANSIENT TABLE SHOP._BACKFLOW.D DATA_RETENTION_TIME_IN_DAYS = 0 AS
WITH m AS (SELECT q.id AS _k, q.*, MD5(TO_JSON(OBJECT_CONSTRUCT_KEEP_NULL('email', q.email, 'at',
        TO_VARCHAR(q.updated_at, 'YYYY-MM-DD"T"HH24:MI:SS.FF9TZHTZM')))) AS _h,
        COUNT(*) OVER (PARTITION BY q.id) AS _dup
    FROM (SELECT * FROM customers) q)
SELECT x.*, ROW_NUMBER() OVER (PARTITION BY _b ORDER BY _k) AS _n FROM (
    SELECT COALESCE(m._k, c.k) AS _k, m._h,
        CASE WHEN m._dup > 1 OR (m._h IS NOT NULL AND m._k IS NULL) THEN 9
            WHEN c._h IS NULL THEN 1 WHEN m._h IS NULL THEN 3 ELSE 2 END AS _op,
        ABS(HASH(COALESCE(m._k, c.k))) % 1024 AS _b, m.email
    FROM m FULL OUTER JOIN SHOP._BACKFLOW.C c ON c.k = m._k
    WHERE c._h IS NULL OR m._h IS NULL OR m._h <> c._h OR m._dup > 1) x"""
APPLY = """MERGE INTO SHOP._BACKFLOW.C c USING SHOP._BACKFLOW.D d ON c.k = d._k
    WHEN MATCHED AND d._op = 3 THEN DELETE WHEN MATCHED THEN UPDATE SET _h = d._h
    WHEN NOT MATCHED AND d._op <> 3 THEN INSERT (k, _h) VALUES (d._k, d._h)"""


def test_a_run_finds_changes_and_commits_them(snowflake: Running, control: Control) -> None:
    rows(snowflake, "CREATE SCHEMA IF NOT EXISTS _BACKFLOW")
    rows(snowflake, "CREATE TRANSIENT TABLE _BACKFLOW.C (k NUMBER(38,0), _h VARCHAR)")
    assert rows(snowflake, PLAN) == [["Table D successfully created."]]
    assert rows(snowflake, "SELECT _k, _op FROM _BACKFLOW.D ORDER BY _k") == [["1", "1"], ["2", "1"], ["3", "1"]]
    assert rows(snowflake, APPLY) == [["3", "0", "0"]]
    rows(snowflake, "DROP TABLE _BACKFLOW.D")
    # One microsecond, NULL to '', and a row that is gone.
    rows(snowflake, "UPDATE customers SET updated_at = DATEADD(microsecond, 1, updated_at) WHERE id = 1")
    rows(snowflake, "UPDATE customers SET email = '' WHERE id = 2")
    rows(snowflake, "DELETE FROM customers WHERE id = 3")
    rows(snowflake, PLAN)
    assert rows(snowflake, "SELECT _k, _op FROM _BACKFLOW.D ORDER BY _k") == [["1", "2"], ["2", "2"], ["3", "3"]]
    answer = submit(snowflake, APPLY).json()
    assert answer["stats"]["numRowsUpdated"] == 2
    assert answer["stats"]["numRowsDeleted"] == 1
    assert control.call("GET", "/tables") == ["SHOP.PUBLIC.CUSTOMERS", "SHOP._BACKFLOW.C", "SHOP._BACKFLOW.D"]
    names = "SELECT table_name, is_transient FROM information_schema.tables WHERE table_schema = '_BACKFLOW' ORDER BY 1"
    assert rows(snowflake, names) == [["C", "YES"], ["D", "YES"]]


def test_default_text_of_a_timestamp_has_milliseconds_only(snowflake: Running) -> None:
    first, second = "'2020-01-01 00:00:00.123001'::TIMESTAMP_NTZ", "'2020-01-01 00:00:00.123002'::TIMESTAMP_NTZ"
    assert rows(snowflake, f"SELECT {first}::VARCHAR = {second}::VARCHAR AS same") == [["true"]]
    objects = f"MD5(TO_JSON(OBJECT_CONSTRUCT('t', {first}))) = MD5(TO_JSON(OBJECT_CONSTRUCT('t', {second})))"
    assert rows(snowflake, f"SELECT {objects} AS same") == [["true"]]


def test_text_of_a_float_has_15_digits_only(snowflake: Running) -> None:
    first, second = "0.1::FLOAT", "0.10000000000000002::FLOAT"
    texts = f"{first}::VARCHAR AS one, TO_VARCHAR({second}) AS other, 'NaN'::FLOAT::VARCHAR AS nan"
    assert rows(snowflake, f"SELECT {texts}, {first} = {second} AS same") == [["0.1", "0.1", "NaN", "false"]]


def test_nothing_is_counted_as_none(snowflake: Running) -> None:
    assert rows(snowflake, "SELECT COUNT_IF(id > 0) AS n FROM customers WHERE FALSE") == [["0"]]


def test_rows_are_made_of_json(snowflake: Running) -> None:
    text = """SELECT f.value[0]::NUMBER(18, 0) AS a, f.value[1]::VARCHAR AS b, f.value[9]::VARCHAR AS c
        FROM TABLE(FLATTEN(INPUT => PARSE_JSON('[[1,"it''s \\\\"x\\\\""],[2,null]]'))) AS f ORDER BY 1"""
    assert rows(snowflake, text) == [["1", 'it\'s "x"', None], ["2", None, None]]


def test_a_definition_ends_the_transaction_that_it_is_in(snowflake: Running) -> None:
    text = "BEGIN; INSERT INTO customers (id) VALUES (99); CREATE TABLE t (a INT); ROLLBACK"
    assert submit(snowflake, text, parameters={"MULTI_STATEMENT_COUNT": "4"}).status_code == 200
    assert rows(snowflake, "SELECT COUNT(*) AS n FROM customers WHERE id = 99") == [["1"]]


def test_values_have_the_encodings_of_the_documents(snowflake: Running) -> None:
    cells = (
        "1.0::NUMBER(4,1) AS a, 'x' AS b, NULL AS c, FALSE AS d, '2019-03-27'::DATE AS e, '23:01:59'::TIME AS f, "
        "'1969-12-31 23:59:59.5'::TIMESTAMP_NTZ AS g, 99999999999999999999999999999999999999 AS h, "
        "TO_BINARY('ff', 'hex') AS i, 'NaN'::FLOAT AS j"
    )
    assert rows(snowflake, f"SELECT {cells}") == [
        ["1.0", "x", None, "false", "17982", "82919.000000000", "-0.500000000", "9" * 38, "FF", "NaN"]
    ]
    formats = {"DATE_OUTPUT_FORMAT": "MM/DD/YYYY", "TIMESTAMP_NTZ_OUTPUT_FORMAT": 'YYYY-MM-DD"T"HH24:MI:SS.FF6'}
    formatted = rows(snowflake, f"SELECT {cells}", parameters=formats)[0]
    assert (formatted[4], formatted[6]) == ("03/27/2019", "1969-12-31T23:59:59.500000")


def test_null_as_text_when_the_request_says_so(snowflake: Running) -> None:
    assert submit(snowflake, "SELECT NULL AS a", query="?nullable=false").json()["data"] == [["null"]]


def test_partitions_after_the_first_are_gzip_without_metadata(snowflake: Running, control: Control) -> None:
    control.settings(partitionRows=1)
    first = submit(snowflake, "SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a")
    assert first.json()["data"] == [["1"]]
    assert 'rel="next"' in first.headers["Link"]
    second = status(snowflake, first.json()["statementHandle"], "?partition=1")
    assert second.headers["Content-Encoding"] == "gzip"
    assert second.json() == {"data": [["2"]]}


def test_several_statements_have_handles_of_their_own(snowflake: Running) -> None:
    text = "BEGIN; CREATE TABLE several AS SELECT 1 AS a; COMMIT; SELECT a FROM several"
    answer = submit(snowflake, text, parameters={"MULTI_STATEMENT_COUNT": "4"}).json()
    assert answer["data"] == [["Multiple statements executed successfully."]]
    assert status(snowflake, answer["statementHandles"][3]).json()["data"] == [["1"]]


def test_show_and_explain_need_no_warehouse(snowflake: Running, control: Control) -> None:
    without = {"warehouse": ""}
    shown = submit(snowflake, "SHOW TABLES LIKE 'cust%' IN SCHEMA SHOP.PUBLIC", **without).json()
    names = [column["name"] for column in shown["resultSetMetaData"]["rowType"]]
    assert [row[names.index("name")] for row in shown["data"]] == ["CUSTOMERS"]
    assert submit(snowflake, "SHOW TABLES IN SCHEMA SHOP.NOWHERE", **without).json()["code"] == "002043"
    grants = submit(snowflake, 'SHOW GRANTS TO ROLE "BACKFLOW_ROLE"', **without).json()["data"]
    assert ["CREATE SCHEMA", "DATABASE", "SHOP"] in [row[1:4] for row in grants]
    control.settings(readOnly=True)
    grants = submit(snowflake, 'SHOW GRANTS TO ROLE "BACKFLOW_ROLE"', **without).json()["data"]
    assert ["CREATE SCHEMA", "DATABASE", "SHOP"] not in [row[1:4] for row in grants]
    change = "EXPLAIN USING TEXT UPDATE customers SET email = 'x'"
    assert submit(snowflake, change, **without).json()["code"] == "003001"
    control.settings(readOnly=False)
    before = rows(snowflake, "SELECT * FROM customers")
    assert submit(snowflake, change, **without).status_code == 200
    assert submit(snowflake, "EXPLAIN SELECT * FROM nowhere", **without).json()["code"] == "002003"
    assert rows(snowflake, "SELECT * FROM customers") == before


def test_transactions_of_two_clients_wait_for_each_other(snowflake: Running) -> None:
    rows(snowflake, "CREATE TABLE turns (turn INT)")
    rows(snowflake, "CREATE TABLE firsts (name VARCHAR)")
    rows(snowflake, "INSERT INTO turns VALUES (0)")
    text = (
        "BEGIN TRANSACTION; UPDATE turns SET turn = turn + 1; "
        "INSERT INTO firsts SELECT 'a' WHERE NOT EXISTS (SELECT 1 FROM firsts WHERE name = 'a'); COMMIT"
    )
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(submit, snowflake, text, parameters={"MULTI_STATEMENT_COUNT": "4"}) for _ in range(8)]
    assert {one.result().status_code for one in tries} == {200}
    assert rows(snowflake, "SELECT turn, (SELECT COUNT(*) FROM firsts) AS n FROM turns") == [["8", "1"]]


def test_a_table_that_several_clients_make_at_once_is_made_once(snowflake: Running) -> None:
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(submit, snowflake, "CREATE TABLE IF NOT EXISTS at_once (turn INT)") for _ in range(16)]
    told = [one.result().json()["data"][0][0] for one in tries]
    assert sorted(set(told)) == ["AT_ONCE already exists, statement succeeded.", "Table AT_ONCE successfully created."]
    assert told.count("Table AT_ONCE successfully created.") == 1
    rows(snowflake, "DROP TABLE at_once")


def test_a_fault_without_a_number_of_times_strikes_until_it_is_cleared(snowflake: Running, control: Control) -> None:
    control.fault("throttle", times=None)
    assert [submit(snowflake, "SELECT 1 AS a").status_code for _ in range(3)] == [429, 429, 429]
    control.call("DELETE", "/faults")
    assert submit(snowflake, "SELECT 1 AS a").status_code == 200


def test_held_statement_answers_202_for_so_many_polls(snowflake: Running, control: Control) -> None:
    control.call("POST", "/holds", {"statement": "slow_one", "polls": 3})
    submitted = submit(snowflake, "SELECT 1 AS slow_one")
    handle = submitted.json()["statementHandle"]
    assert (submitted.status_code, submitted.json()["code"]) == (202, "333334")
    assert [status(snowflake, handle).status_code for _ in range(3)] == [202, 202, 200]


def test_cancelled_statement_leaves_no_table(snowflake: Running, control: Control) -> None:
    numbers = "FROM customers a " + " ".join(f"CROSS JOIN customers t{n}" for n in range(30))
    submitted = submit(snowflake, f"CREATE TABLE huge AS SELECT a.id AS id {numbers}", query="?async=true")
    handle = submitted.json()["statementHandle"]
    assert cancel(snowflake, handle).json()["code"] == "000604"
    assert status(snowflake, handle).json()["code"] == "000604"
    assert "SHOP.PUBLIC.HUGE" not in control.call("GET", "/tables")
    assert [s for s in control.call("GET", "/statements") if s["state"] == "RUNNING"] == []


def test_resubmitted_request_is_executed_once(snowflake: Running, control: Control) -> None:
    rows(snowflake, "CREATE TABLE once (a INT)")
    name = "?requestId=ea7b46ed-bdc1-4c32-9593-764fcad64e83"
    control.fault("reset", path="statements", afterBytes=0)
    with pytest.raises(requests.ConnectionError):
        submit(snowflake, "INSERT INTO once VALUES (1)", query=name)
    assert submit(snowflake, "INSERT INTO once VALUES (1)", query=f"{name}&retry=true").status_code == 200
    assert rows(snowflake, "SELECT COUNT(*) FROM once") == [["1"]]
    submit(snowflake, "INSERT INTO once VALUES (1)", query=name)
    assert rows(snowflake, "SELECT COUNT(*) FROM once") == [["2"]]


def test_expired_result_is_not_found(snowflake: Running, control: Control) -> None:
    handle = submit(snowflake, "SELECT 1").json()["statementHandle"]
    control.call("POST", "/expire", {"what": "results"})
    assert status(snowflake, handle).json()["code"] == "000709"


def test_statement_over_its_timeout_is_cancelled(snowflake: Running, control: Control) -> None:
    control.call("POST", "/holds", {"statement": "too_slow", "polls": None})
    handle = submit(snowflake, "SELECT 1 AS too_slow", timeout=1).json()["statementHandle"]
    statement = snowflake.warehouse.board.find(handle)
    assert statement.done.wait(10)
    answer = status(snowflake, handle)
    assert (answer.status_code, answer.json()["code"]) == (408, "000630")


def test_suspended_warehouse(snowflake: Running, control: Control) -> None:
    control.settings(warehouse={"running": False, "autoResume": False})
    assert submit(snowflake, "SELECT * FROM customers").json()["code"] == "000606"
    assert submit(snowflake, "SELECT CURRENT_VERSION()").status_code == 200
    control.settings(warehouse={"autoResume": True})
    assert submit(snowflake, "SELECT * FROM customers").status_code == 200
    assert control.call("GET", "/state")["warehouse"] == {"running": True, "autoResume": True, "resumes": 1}


def test_missing_permissions(snowflake: Running, control: Control) -> None:
    control.settings(deny=["SHOP.PUBLIC.CUSTOMERS"], readOnly=True)
    assert submit(snowflake, "SELECT * FROM customers").json()["code"] == "002003"
    refused = submit(snowflake, "CREATE TABLE t (a INT)")
    assert refused.json()["code"] == "003001"
    assert re.search(r"Insufficient privileges", refused.json()["message"])


def test_faults_on_demand(snowflake: Running, control: Control) -> None:
    control.fault("throttle", retryAfter=2)
    control.fault("throttle")
    control.fault("html", status=502)
    control.fault("unavailable", status=503)
    control.fault("unauthorized")
    first = submit(snowflake, "SELECT 1")
    assert (first.status_code, first.headers["Retry-After"], first.json()["code"]) == (429, "2", "390505")
    assert "Retry-After" not in submit(snowflake, "SELECT 1").headers
    assert submit(snowflake, "SELECT 1").text.startswith("<!DOCTYPE html>")
    assert submit(snowflake, "SELECT 1").status_code == 503
    assert submit(snowflake, "SELECT 1").json()["code"] == "390144"
    control.fault("truncate", afterBytes=20)
    with pytest.raises(requests.RequestException):
        submit(snowflake, "SELECT 1")
    control.fault("reset", afterBytes=20)
    with pytest.raises(requests.RequestException):
        submit(snowflake, "SELECT 1")
    control.fault("slow", bytesPerSecond=100_000)
    assert submit(snowflake, "SELECT 1").status_code == 200
    control.settings(shortPartition=0)
    short = submit(snowflake, "SELECT 1").json()
    assert (short["data"], short["resultSetMetaData"]["partitionInfo"][0]["rowCount"]) == ([], 1)


def test_ledger_has_no_credentials(snowflake: Running, control: Control) -> None:
    submit(snowflake, "SELECT 1")
    entry = control.call("GET", "/ledger")[0]
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/api/v2/statements", 200)
    assert entry["body"]["statement"] == "SELECT 1"
    secret = str(headers(snowflake)["Authorization"]).split()[1]
    assert secret.split(".")[0] not in str(entry)
    assert entry["headers"]["authorization"] == "Bearer <redacted>"


@pytest.mark.parametrize(
    "spec",
    [{}, {"kind": "typo"}, {"kind": "throttle", "afterBytes": 1}, {"kind": "slow"}, {"kind": "reset", "times": "2"}],
)
def test_wrong_fault_is_refused(snowflake: Running, spec: dict[str, object]) -> None:
    assert requests.post(snowflake.control + "/faults", json=[spec], timeout=5).status_code == 400
