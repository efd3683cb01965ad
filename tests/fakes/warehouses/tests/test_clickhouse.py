"""ClickHouse's HTTP interface: what it runs, and what it refuses."""

from __future__ import annotations

import threading

import pytest
import requests

from ..running import Running
from .clickhouse_shop import Client
from .harness import Control

READ = {"readonly": 2}


def test_the_engine_answers_in_the_form_that_is_asked_for(clickhouse: Running) -> None:
    client = Client(clickhouse)
    document = client.ask("SELECT id, name FROM customers ORDER BY id", database="shop").json()
    assert document["meta"] == [{"name": "id", "type": "UInt32"}, {"name": "name", "type": "Nullable(String)"}]
    assert (document["data"], document["rows"]) == ([[1, "one"], [2, None], [3, "three"]], 3)
    assert client.data("SELECT toInt64(1)", output_format_json_quote_64bit_integers=1) == [["1"]]
    assert client.data("SELECT toInt64(1)", output_format_json_quote_64bit_integers=0) == [[1]]
    assert client.data("SELECT 1", method="GET") == [[1]]
    answer = client.ask("SELECT 1", query_id="my-query")
    assert answer.headers["X-ClickHouse-Query-Id"] == "my-query"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"X-ClickHouse-Key": "wrong"}, (403, "516")),
        ({"X-ClickHouse-User": "nobody"}, (403, "516")),
        ({"Authorization": "Basic YTpi"}, (403, "516")),
    ],
)
def test_nobody_else_is_let_in(clickhouse: Running, change: dict[str, str], expected: tuple[int, str]) -> None:
    client = Client(clickhouse)
    assert client.code("SELECT 1", headers={**client.headers, **change}) == expected
    assert client.code("SELECT 1", headers={}) == expected


def test_basic_authentication_is_taken_too(clickhouse: Running) -> None:
    told = clickhouse.connection
    answer = requests.get(clickhouse.url + "/?query=SELECT+1", auth=(told["user"], told["password"]), timeout=30)
    assert answer.text == "1\n"


@pytest.mark.parametrize(
    ("sql", "settings", "expected"),
    [
        ("SELECT 1", {"no_such_setting": 1}, (404, "115")),
        ("SELECT 1", {"database": "nowhere"}, (404, "81")),
        ("SELECT nothing FROM shop.customers", {}, (404, "47")),
        ("SELECT * FROM shop.nothing", {}, (404, "60")),
        ("SELECT (1", {}, (400, "62")),
        ("SELECT throwIf(number = 5) FROM numbers(9)", {}, (500, "395")),
        ("CREATE DATABASE other", READ, (500, "164")),
        ("INSERT INTO shop.customers VALUES (9, '')", READ, (500, "164")),
    ],
)
def test_what_the_server_refuses(
    clickhouse: Running, sql: str, settings: dict[str, object], expected: tuple[int, str]
) -> None:
    assert Client(clickhouse).code(sql, **settings) == expected


def test_the_profile_holds(clickhouse: Running, clickhouse_control: Control) -> None:
    client = Client(clickhouse)
    clickhouse_control.settings(profile=1)
    assert client.code("SELECT 1", session_timezone="UTC") == (500, "164")
    assert client.data("SELECT 1") == [[1]]
    clickhouse_control.settings(profile=2)
    assert client.data("SELECT 1", session_timezone="UTC", **READ) == [[1]]
    assert client.code("SELECT 1", readonly=0) == (500, "164")
    assert client.code("CREATE DATABASE other") == (500, "164")


def test_grants_hold(clickhouse: Running, clickhouse_control: Control) -> None:
    client = Client(clickhouse)
    check = "CHECK GRANT SELECT, INSERT ON `_backflow`.*"
    assert client.data(check) == [[1]]
    clickhouse_control.settings(readOnly=True, deny=["shop.customers"])
    assert client.data(check) == [[0]]
    assert client.code("CREATE DATABASE other") == (500, "497")
    assert client.code("SELECT id FROM shop.customers") == (500, "497")


def test_of_two_inserts_with_one_token_one_is_taken(clickhouse: Running) -> None:
    client = Client(clickhouse)
    remembers = "SETTINGS non_replicated_deduplication_window = 100"
    made = client.ask(f"CREATE TABLE shop.once (w String) ENGINE = MergeTree ORDER BY w {remembers}")
    assert made.status_code == 200
    row = 'INSERT INTO shop.once (w) FORMAT JSONCompactEachRow\n["{}"]\n'
    for writing in ("a", "b"):
        assert client.ask(row.format(writing), insert_deduplication_token="first").text == ""
    assert client.ask(row.format("c")).status_code == 200
    assert client.data("SELECT w FROM shop.once ORDER BY w") == [["a"], ["c"]]
    assert client.ask("DROP TABLE shop.once").status_code == 200


def test_a_query_that_is_killed_ends(clickhouse: Running, clickhouse_control: Control) -> None:
    client = Client(clickhouse)
    clickhouse_control.call("POST", "/holds", {"statement": "held", "polls": None})
    answers: list[requests.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(client.ask("SELECT 1 AS held", query_id="q-1", **READ)))
    waiting.start()
    while client.data("KILL QUERY WHERE query_id = 'q-1' ASYNC") != [["waiting"]]:
        pass
    waiting.join(30)
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"
    states = [
        statement["state"]
        for statement in clickhouse_control.call("GET", "/statements")
        if statement["handle"] == "q-1"
    ]
    assert states == ["CANCELLED"]


@pytest.mark.parametrize("form", ["text", "member", "tagged"])
def test_a_query_that_fails_after_its_first_rows_says_so_behind_them(
    clickhouse: Running, clickhouse_control: Control, form: str
) -> None:
    clickhouse_control.settings(fail={"rows": 2, "code": 241, "form": form})
    answer = Client(clickhouse).ask("SELECT _m.`id` FROM (\nSELECT id FROM shop.customers ORDER BY id\n) AS _m")
    assert answer.status_code == 200
    assert "X-ClickHouse-Exception-Code" not in answer.headers
    assert "[1]" in answer.text
    assert "[3]" not in answer.text
    assert "Code: 241. DB::Exception: " in answer.text


def test_a_user_begins_with_nothing_and_another_password(clickhouse: Running) -> None:
    # The last test: nothing is given back.
    client, control = Client(clickhouse), Control(clickhouse)
    control.settings(ungranted=True)
    read = "SELECT id FROM shop.customers"
    assert client.code(read) == (500, "497")
    clickhouse.warehouse.seed("GRANT SELECT(id) ON shop.customers TO backflow")
    assert client.ask(read).status_code == 200
    assert client.code("CREATE DATABASE _backflow") == (500, "497")
    user = "CREATE USER backflow IDENTIFIED WITH sha256_password BY 'new'"
    clickhouse.warehouse.seed(f"REVOKE ALL ON *.* FROM backflow;\n{user}")
    assert client.code(read) == (403, "516")
    client.headers["X-ClickHouse-Key"] = "new"
    assert client.code(read) == (500, "497")
    for statement in (user.replace("backflow", "other"), "GRANT SELECT ON nowhere.* TO backflow"):
        with pytest.raises(ValueError):
            clickhouse.warehouse.seed(statement)
