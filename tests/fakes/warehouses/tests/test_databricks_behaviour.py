"""What a client may rely on: results, chunks, states, the traps of Spark, faults."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from ..running import Running
from .databricks_shop import ROOT, call, error, execute, rows
from .harness import TIMEOUT, Control

OPTIONS = (
    "map('ignoreNullFields', 'false', 'timeZone', 'UTC', 'timestampFormat', 'yyyy-MM-dd\\'T\\'HH:mm:ss.SSSSSSXXX')"
)
PLAN = f"""CREATE TABLE workspace._backflow.d USING DELTA CLUSTER BY (_b, _n) AS
WITH m AS (SELECT q.id AS _k, q.*, md5(to_json(struct(q.email, q.t), {OPTIONS})) AS _h,
        COUNT(*) OVER (PARTITION BY q.id) AS _dup
    FROM (SELECT * FROM workspace.shop.customers) q)
SELECT x.*, ROW_NUMBER() OVER (PARTITION BY _b ORDER BY _k) AS _n FROM (
    SELECT COALESCE(m._k, c.k) AS _k, m._h,
        CASE WHEN m._dup > 1 OR (m._h IS NOT NULL AND m._k IS NULL) THEN 9
            WHEN c._h IS NULL THEN 1 WHEN m._h IS NULL THEN 3 ELSE 2 END AS _op,
        pmod(xxhash64(COALESCE(m._k, c.k)), 1024) AS _b, m.email
    FROM m FULL OUTER JOIN workspace._backflow.c c ON c.k = m._k
    WHERE c._h IS NULL OR m._h IS NULL OR m._h <> c._h OR m._dup > 1) x"""
APPLY = """MERGE INTO workspace._backflow.c c USING workspace._backflow.d d ON c.k = d._k
    WHEN MATCHED AND d._op = 3 THEN DELETE WHEN MATCHED THEN UPDATE SET _h = d._h
    WHEN NOT MATCHED AND d._op <> 3 THEN INSERT (k, _h) VALUES (d._k, d._h)"""


def test_a_run_finds_changes_and_commits_them(databricks: Running, databricks_control: Control) -> None:
    rows(databricks, "CREATE SCHEMA IF NOT EXISTS workspace._backflow")
    rows(databricks, "CREATE TABLE workspace._backflow.c (k BIGINT, _h STRING) USING DELTA")
    rows(databricks, PLAN)
    changes = "SELECT _k, _op FROM workspace._backflow.d ORDER BY _k"
    assert rows(databricks, changes) == [["1", "1"], ["2", "1"], ["3", "1"]]
    assert rows(databricks, APPLY) == [["3", "0", "0", "3"]]
    rows(databricks, "DROP TABLE workspace._backflow.d")
    # One microsecond, NULL to '', and a row that is gone.
    rows(databricks, "UPDATE customers SET t = TIMESTAMP '2020-01-01 00:00:00.123457' WHERE id = 1")
    rows(databricks, "UPDATE customers SET email = '' WHERE id = 2")
    rows(databricks, "DELETE FROM customers WHERE id = 3")
    rows(databricks, PLAN)
    assert rows(databricks, changes) == [["1", "2"], ["2", "2"], ["3", "3"]]
    assert rows(databricks, APPLY) == [["3", "2", "1", "0"]]
    tables = ["workspace._backflow.c", "workspace._backflow.d", "workspace.shop.customers"]
    assert databricks_control.call("GET", "/tables") == tables
    names = "SELECT table_name FROM workspace.information_schema.tables WHERE table_schema = '_backflow' ORDER BY 1"
    assert rows(databricks, names) == [["c"], ["d"]]


def test_a_merge_is_all_or_nothing_and_takes_rows_of_json(databricks: Running) -> None:
    rows(databricks, "CREATE TABLE f (k BIGINT, v STRING) USING DELTA CLUSTER BY (k) COMMENT 'it\\'s'")
    kind = "ARRAY<STRUCT<c1: BIGINT, c2: STRING>>"
    given = f"SELECT r.c1, r.c2 FROM (SELECT explode(from_json(:rows, '{kind}', map('mode', 'FAILFAST'))) AS r) AS g"
    merge = f"""MERGE INTO f AS e USING ({given}) AS s ON e.k = s.c1
        WHEN MATCHED THEN UPDATE SET v = CASE WHEN e.k = 2 AND s.c2 IS NULL THEN raise_error('no') ELSE s.c2 END
        WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.c1, s.c2)"""

    def merged(text: str) -> requests.Response:
        return execute(databricks, merge, parameters=[{"name": "rows", "value": text}])

    first = merged('[{"c1": 9007199254740993, "c2": null}, {"c1": 2, "c2": "it\'s \\"é"}]')
    assert first.json()["status"]["state"] == "SUCCEEDED", first.text
    assert rows(databricks, "SELECT * FROM f ORDER BY k") == [["2", "it's \"é"], ["9007199254740993", None]]
    raised = merged('[{"c1": 9007199254740993, "c2": "x"}, {"c1": 2, "c2": null}]')
    assert error(raised) == ("USER_RAISED_EXCEPTION", "P0001")
    twice = merged('[{"c1": 2, "c2": "x"}, {"c1": 2, "c2": "y"}]')
    assert error(twice) == ("DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", "21506")
    assert rows(databricks, "SELECT v FROM f ORDER BY k") == [["it's \"é"], [None]]
    lengths = "SELECT octet_length('é') AS a, octet_length(CAST('ab' AS BINARY)) AS b"
    assert rows(databricks, lengths) == [["2", "2"]]


def test_traps_of_spark_are_there(databricks: Running) -> None:
    first, second = "TIMESTAMP '2020-01-01 00:00:00.123001'", "TIMESTAMP '2020-01-01 00:00:00.123002'"
    plain = f"to_json(struct({first} AS t)) = to_json(struct({second} AS t))"
    exact = f"to_json(struct({first} AS t), {OPTIONS}) = to_json(struct({second} AS t), {OPTIONS})"
    skips = "xxhash64(NULL, 'a') = xxhash64('a', NULL)"
    assert rows(databricks, f"SELECT {plain} AS a, {exact} AS b, {skips} AS c") == [["true", "false", "true"]]
    assert rows(databricks, "SELECT to_json(struct(CAST(NULL AS STRING) AS a)) AS j") == [["{}"]]


def test_a_table_that_several_clients_make_at_once_is_made_once(databricks: Running) -> None:
    text = "CREATE TABLE IF NOT EXISTS shop.at_once (turn INT)"
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(execute, databricks, text) for _ in range(16)]
    assert all(one.result().json()["status"] == {"state": "SUCCEEDED"} for one in tries)
    rows(databricks, "DROP TABLE shop.at_once")


def test_values_have_their_encodings(databricks: Running) -> None:
    found = rows(databricks, "SELECT b, n, dt, a, m, r, CAST('NaN' AS DOUBLE) AS x FROM customers WHERE id = 1")
    structured = ['["a","b"]', '{"k":1}', '{"x":1,"y":"z"}']
    assert found == [["6162", "2020-01-01T00:00:00.500", "2019-03-27", *structured, "NaN"]]


def test_limits_of_a_request_and_a_truncated_manifest(databricks: Running, databricks_control: Control) -> None:
    limited = execute(databricks, "SELECT explode(array(1, 2, 3)) AS a", row_limit=2).json()
    assert (limited["manifest"]["total_row_count"], limited["manifest"]["truncated"]) == (2, True)
    databricks_control.settings(truncateRows=1)
    cut = execute(databricks, "SELECT explode(array(1, 2, 3)) AS a", disposition="EXTERNAL_LINKS").json()["manifest"]
    assert (cut["total_row_count"], cut["truncated"]) == (1, True)


def test_result_without_rows_has_no_chunk(databricks: Running) -> None:
    answer = execute(databricks, "SELECT 1 AS a WHERE false").json()
    assert (answer["manifest"]["total_chunk_count"], answer["result"]) == (0, {})


def test_cancelled_statement_leaves_no_table(databricks: Running, databricks_control: Control) -> None:
    many = "FROM customers a " + " ".join(f"CROSS JOIN customers t{n}" for n in range(40))
    started = execute(databricks, f"CREATE TABLE huge AS SELECT a.id AS id {many}", wait_timeout="0s").json()
    assert started["status"] == {"state": "PENDING"}
    path = f"{ROOT}/{started['statement_id']}"
    assert call(databricks, "POST", f"{path}/cancel").json() == {}
    assert call(databricks, "GET", path).json()["status"] == {"state": "CANCELED"}
    assert "workspace.shop.huge" not in databricks_control.call("GET", "/tables")


def test_expired_result_is_closed(databricks: Running, databricks_control: Control) -> None:
    handle = execute(databricks, "SELECT 1 AS a").json()["statement_id"]
    databricks_control.call("POST", "/expire", {"what": "results"})
    assert call(databricks, "GET", f"{ROOT}/{handle}").json()["status"] == {"state": "CLOSED"}
    assert call(databricks, "GET", f"{ROOT}/{handle}/result/chunks/0").status_code == 404


def test_stopped_warehouse_starts_with_a_statement_only(databricks: Running, databricks_control: Control) -> None:
    databricks_control.settings(warehouse={"running": False})
    path = f"/api/2.0/sql/warehouses/{databricks.connection['warehouseId']}"
    assert call(databricks, "GET", path).json()["state"] == "STOPPED"
    before = databricks_control.call("GET", "/state")["warehouse"]["resumes"]
    rows(databricks, "SELECT 1 AS a")
    assert databricks_control.call("GET", "/state")["warehouse"] == {"running": True, "resumes": before + 1}


def test_faults_have_the_form_of_the_service(databricks: Running, databricks_control: Control) -> None:
    databricks_control.fault("throttle", retryAfter=1)
    databricks_control.fault("unauthorized")
    databricks_control.fault("unavailable", status=503)
    databricks_control.fault("html", status=502)
    databricks_control.fault("refuse")
    throttled = execute(databricks, "SELECT 1")
    assert (throttled.status_code, throttled.headers["Retry-After"]) == (429, "1")
    assert throttled.json()["error_code"] == "RESOURCE_EXHAUSTED"
    assert execute(databricks, "SELECT 1").status_code == 401
    assert execute(databricks, "SELECT 1").json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert execute(databricks, "SELECT 1").headers["Content-Type"] == "text/html"
    with pytest.raises(requests.ConnectionError):
        execute(databricks, "SELECT 1")


def test_a_service_principal_of_entra(databricks: Running) -> None:
    told = databricks.connection
    form = {
        "grant_type": "client_credentials",
        "client_id": told["clientId"],
        "client_secret": told["entraSecret"],
        "scope": "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default",
    }
    address = f"{databricks.url}/{told['tenantId']}/oauth2/v2.0/token"
    token = requests.post(address, data=form, timeout=TIMEOUT).json()["access_token"]
    answer = call(databricks, "GET", f"/api/2.0/sql/warehouses/{told['warehouseId']}", Authorization=f"Bearer {token}")
    assert answer.json()["state"] == "RUNNING"
    for changes, status, code in [
        ({"client_secret": told["clientSecret"]}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 400, "unauthorized_client"),
        ({"scope": "all-apis"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "invalid_request"),
    ]:
        answer = requests.post(address, data={**form, **changes}, timeout=TIMEOUT)
        assert (answer.status_code, answer.json()["error"]) == (status, code)
    other = address.replace(told["tenantId"], "other.example.com")
    assert requests.post(other, data=form, timeout=TIMEOUT).json()["error"] == "invalid_request"


def test_privileges_are_told_as_they_are(databricks: Running, databricks_control: Control) -> None:
    granted = (
        "SELECT COUNT(*) FROM information_schema.{view} WHERE privilege_type = '{privilege}' "
        "AND is_account_group_member(grantee)"
    )
    schema = granted.format(view="schema_privileges", privilege="CREATE_TABLE") + " AND schema_name = 'shop'"
    catalog = granted.format(view="catalog_privileges", privilege="CREATE_SCHEMA")
    assert (rows(databricks, schema), rows(databricks, catalog)) == ([["1"]], [["1"]])
    databricks_control.settings(readOnly=True)
    assert (rows(databricks, schema), rows(databricks, catalog)) == ([["0"]], [["0"]])
    databricks_control.settings(readOnly=False)


def test_catalog_and_schema_of_a_request_are_there(databricks: Running) -> None:
    assert error(execute(databricks, "SELECT 1", catalog="nope")) == ("NO_SUCH_CATALOG_EXCEPTION", "42704")
    assert error(execute(databricks, "SELECT 1", schema="nope")) == ("SCHEMA_NOT_FOUND", "42704")
