"""Azure SQL's protocol: what it runs, what it refuses, and what a client that is not ours makes of it."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import struct
import threading
import uuid

import pytds
import pytest
import requests

from ..azuresql import packets
from ..running import Running
from .azuresql_shop import PRELOGIN, Raw, batch, connect, login7
from .harness import Control


def rows(running: Running, folder: pathlib.Path, sql: str) -> list[tuple[object, ...]]:
    with connect(running, folder) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def number(running: Running, folder: pathlib.Path, sql: str) -> int:
    with connect(running, folder) as connection, connection.cursor() as cursor:
        with pytest.raises(pytds.Error) as refused:
            _ = cursor.execute(sql), cursor.fetchall()
        # The connection is as it was.
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
        return refused.value.number


def refused(running: Running, folder: pathlib.Path, **changes: object) -> int:
    """Why a login fails. The witness tries some errors again until its own time is up."""
    with pytest.raises((pytds.Error, TimeoutError)):
        connect(running, folder, **{"login_timeout": 1, **changes})
    return running.warehouse.state()["loginFailures"][-1]


def test_a_client_that_is_not_ours_reads_every_type(azuresql: Running, tmp_path: pathlib.Path) -> None:
    empty, full = rows(azuresql, tmp_path, "SELECT * FROM kinds ORDER BY a")
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=dt.UTC)
    assert full[:8] == (
        255,
        -9007199254740993,
        True,
        0.1,
        0.5,
        decimal.Decimal("-12.5"),
        decimal.Decimal("922337203685.4775"),
        decimal.Decimal("-214748.3648"),
    )
    assert full[8:13] == (
        dt.date(2026, 1, 2),
        dt.time(3, 4, 5, 678000),
        dt.datetime(2026, 1, 2, 3, 4, 5, 500000),
        dt.datetime(2026, 1, 2, 3, 4, 5, 678901),
        dt.datetime(2026, 1, 2, 3, 4),
    )
    assert full[13].astimezone(dt.UTC) == moment
    assert full[14] == uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
    assert full[15:] == ("a  ", "é", "é 😀", b"\x00\xff\xab", b"\x01", "<a/>", -7)
    assert empty == (None,) * 22
    assert azuresql.warehouse.state()["violations"] == []


def test_long_values_and_many_rows_arrive_whole(azuresql: Running, tmp_path: pathlib.Path) -> None:
    text = "é😀 x" * 30_000
    assert rows(azuresql, tmp_path, f"SELECT CAST(N'{text}' AS nvarchar(max)) AS t") == [(text,)]
    values = ", ".join(f"({n}, N'name {n}', 'x')" for n in range(2000))
    with connect(azuresql, tmp_path) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE many (id int NOT NULL, name nvarchar(50), plan varchar(20))")
        cursor.execute(f"INSERT INTO many VALUES {values}")
        assert cursor.rowcount == 2000
        cursor.execute("SELECT id, name FROM many ORDER BY id")
        assert cursor.fetchall() == [(n, f"name {n}") for n in range(2000)]
        cursor.execute("DROP TABLE many")


def test_a_backslash_joins_lines(azuresql: Running, tmp_path: pathlib.Path) -> None:
    assert rows(azuresql, tmp_path, "SELECT 'a\\\nb' AS a, N'c\\\\\r\n\r\nd' AS b") == [("ab", "c\\\r\nd")]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM nothing", 208),
        ("SELECT * FROM nowhere.customers", 208),
        ("SELECT nothing FROM customers", 207),
        ("SELEC 1", 102),
        ("SELECT id FROM customers LIMIT 1", 102),
        ("SELECT `id` FROM customers", 102),
        ("SELECT 'a", 105),
        ("SELECT * FROM (WITH a AS (SELECT 1 AS x) SELECT x FROM a) AS _m", 156),
        ("SELECT * FROM (SELECT id FROM customers ORDER BY id) AS _m", 1033),
        ("SELECT * FROM (SELECT COUNT(*) FROM customers) AS _m", 8155),
        ("SELECT * FROM (SELECT id, name AS id FROM customers) AS _m", 8156),
        ("SELECT * FROM (SELECT id FROM customers)", 102),
        ("SELECT MD5('a') AS a", 195),
        ("SELECT STRUCT_PACK(1)", 195),
        ("SELECT CAST('x' AS int) AS a", 245),
        ("SET FMTONLY ON", 195),
        ("SELECT 1 AS a; CREATE SCHEMA other", 111),
        ("CREATE TABLE IF NOT EXISTS t (a int)", 156),
        ("CREATE TABLE nowhere.t (a int)", 2760),
        ("CREATE TABLE customers (a int)", 2714),
        ("CREATE TABLE t (a int) WITH (HEAP)", 102),
        ("COMMIT TRANSACTION", 3902),
        ("DROP VIEW v", 102),
    ],
)
def test_what_the_server_refuses(azuresql: Running, tmp_path: pathlib.Path, sql: str, expected: int) -> None:
    assert number(azuresql, tmp_path, sql) == expected


def test_grants_hold(azuresql: Running, azuresql_control: Control, tmp_path: pathlib.Path) -> None:
    may = (
        "SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'CREATE TABLE'), HAS_PERMS_BY_NAME(N'[no]', 'SCHEMA', 'ALTER')"
    )
    assert rows(azuresql, tmp_path, may) == [(1, None)]
    azuresql_control.settings(readOnly=True, deny=["dbo.customers"])
    assert rows(azuresql, tmp_path, may) == [(0, None)]
    assert number(azuresql, tmp_path, "SELECT id FROM customers") == 229
    assert number(azuresql, tmp_path, "CREATE SCHEMA other") == 262
    assert number(azuresql, tmp_path, "DELETE FROM kinds") == 229


def test_the_products_differ(azuresql: Running, azuresql_control: Control, tmp_path: pathlib.Path) -> None:
    keyed = "CREATE TABLE t (a nvarchar(max) NOT NULL, b int NOT NULL, PRIMARY KEY (b))"
    azuresql_control.settings(edition="pool")
    assert number(azuresql, tmp_path, keyed) == 104467
    assert number(azuresql, tmp_path, "CREATE TABLE t (a nvarchar(max))") == 35343
    with connect(azuresql, tmp_path) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a nvarchar(max), b int) WITH (HEAP, DISTRIBUTION = HASH(b))")
        cursor.execute("DROP TABLE t")
        azuresql_control.settings(edition="azure")
        cursor.execute(keyed)
        cursor.execute("INSERT INTO t VALUES (N'a', 1)")
        with pytest.raises(pytds.Error) as twice:
            cursor.execute("INSERT INTO t VALUES (N'a', 1)")
        assert twice.value.number == 2627
        cursor.execute("DROP TABLE t")
    azuresql_control.settings(edition="fabric")
    assert refused(azuresql, tmp_path) == 18456


@pytest.mark.parametrize("change", [{"password": "wrong"}, {"user": "nobody"}, {"database": "nowhere"}])
def test_nobody_else_is_let_in(azuresql: Running, tmp_path: pathlib.Path, change: dict[str, str]) -> None:
    assert refused(azuresql, tmp_path, **change) == (4060 if "database" in change else 18456)


def test_a_token_lets_in_until_it_is_revoked(
    azuresql: Running, azuresql_control: Control, tmp_path: pathlib.Path
) -> None:
    told = azuresql.connection
    url = f"{told['authority']}/{told['tenantId']}/oauth2/v2.0/token"
    scope = "https://database.windows.net/.default"
    form = {"grant_type": "client_credentials", "client_id": told["clientId"], "scope": scope}
    answer = requests.post(url, {**form, "client_secret": told["clientSecret"]}, timeout=20)
    token = answer.json()["access_token"]
    given = {"user": None, "password": None, "access_token_callable": lambda: token}
    with connect(azuresql, tmp_path, **given) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT USER_NAME()")
        assert cursor.fetchone() == ("backflow-app",)
    azuresql_control.call("POST", "/expire", {"what": "tokens"})
    assert refused(azuresql, tmp_path, **given) == 18456
    for wrong in (
        {"client_secret": "wrong"},
        {"client_secret": told["clientSecret"], "scope": "https://database.windows.net/"},
        {"client_assertion": told["podToken"]},
        {},
    ):
        assert requests.post(url, {**form, **wrong}, timeout=20).status_code in (400, 401)


def test_a_login_is_sent_to_another_server(
    azuresql: Running, azuresql_control: Control, tmp_path: pathlib.Path
) -> None:
    azuresql_control.settings(route=True)
    assert rows(azuresql, tmp_path, "SELECT id FROM customers WHERE id = 3") == [(3,)]


def test_a_statement_that_is_stopped_ends(azuresql: Running, azuresql_control: Control) -> None:
    azuresql_control.call("POST", "/holds", {"statement": "held", "polls": None})
    with Raw(azuresql) as raw:
        logged_in(raw, azuresql)
        raw.send(packets.BATCH, batch("SELECT 1 AS held"))
        while not any(s["held"] for s in azuresql_control.call("GET", "/statements")):
            pass
        raw.send(packets.ATTENTION, b"")
        assert raw.receive() == bytes.fromhex("fd2000") + bytes(10)
        raw.send(packets.BATCH, batch("SELECT 1 AS x"))
        assert raw.receive().endswith(struct.pack("<BHHQ", 0xFD, 0x10, 0xC1, 1))
    states = [s["state"] for s in azuresql_control.call("GET", "/statements") if "held" in s["sql"]]
    assert states == ["CANCELLED"]


def test_of_two_who_take_the_turn_one_is_first(azuresql: Running, tmp_path: pathlib.Path) -> None:
    with connect(azuresql, tmp_path) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE turns (turn int NOT NULL)")
        cursor.execute("INSERT INTO turns SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM turns)")
        cursor.execute("CREATE TABLE taken (who int NOT NULL)")
    first = (
        "BEGIN TRANSACTION; UPDATE turns SET turn = turn + 1; "
        "INSERT INTO taken SELECT {} WHERE NOT EXISTS (SELECT 1 FROM taken); COMMIT TRANSACTION"
    )

    def take(who: int) -> None:
        with connect(azuresql, tmp_path) as connection, connection.cursor() as cursor:
            cursor.execute(first.format(who))

    takers = [threading.Thread(target=take, args=(who,)) for who in range(4)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(30)
    assert len(rows(azuresql, tmp_path, "SELECT who FROM taken")) == 1
    assert rows(azuresql, tmp_path, "SELECT turn FROM turns") == [(4,)]


def logged_in(raw: Raw, running: Running) -> None:
    raw.send(packets.PRELOGIN, PRELOGIN)
    assert raw.receive()[5:7] != b""
    raw.encrypt()
    raw.send(packets.LOGIN, login7(running.connection))
    assert b"\xad" in raw.receive()


def test_a_login_that_is_made_by_the_specification_is_taken(azuresql: Running) -> None:
    with Raw(azuresql) as raw:
        logged_in(raw, azuresql)


def closed(raw: Raw) -> bool:
    try:
        raw.receive()
    except (EOFError, ConnectionError):
        return True
    return False


@pytest.mark.parametrize(
    "prelogin",
    [
        b"",
        b"\xff",
        PRELOGIN[:10],
        PRELOGIN[5:],
        b"\x09" + PRELOGIN[1:],
        PRELOGIN[:-1] + b"\x07",
        PRELOGIN[:2] + b"\xf0" + PRELOGIN[3:],
        PRELOGIN[:4] + b"\x05" + PRELOGIN[5:],
    ],
)
def test_a_prelogin_that_is_none_ends_the_connection(azuresql: Running, prelogin: bytes) -> None:
    with Raw(azuresql) as raw:
        raw.send(packets.PRELOGIN, prelogin)
        assert closed(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0x04000074},
        {"size": 100},
        {"flags1": 0xE1},
        {"flags2": 0x83},
        {"longer": 1},
        {"longer": -1},
        {"features": b""},
        {"features": b"\x0a\x01\0\0\0\x01"},
        {"features": b"\x0a\xff\0\0\0\x01\xff"},
        {"features": b"\x0a\x01\0\0\0\x01\x0a\x01\0\0\0\x01\xff"},
        {"features": b"\x02\x05\0\0\0\x02\x04\0\0\0\xff"},
        {"features": b"\x02\x05\0\0\0\x03\x00\0\0\0\xff"},
        {"password": "x" * 129},
    ],
)
def test_a_login_that_is_none_ends_the_connection(azuresql: Running, changes: dict[str, object]) -> None:
    with Raw(azuresql) as raw:
        raw.send(packets.PRELOGIN, PRELOGIN)
        raw.receive()
        raw.encrypt()
        raw.send(packets.LOGIN, login7(azuresql.connection, **changes))
        assert closed(raw)


def test_a_token_is_not_taken_in_the_clear(azuresql: Running) -> None:
    token = "token".encode("utf-16-le")
    data = b"\x02" + struct.pack("<I", len(token)) + token
    features = b"\x02" + struct.pack("<I", len(data)) + data + b"\xff"
    with Raw(azuresql) as raw:
        raw.send(packets.PRELOGIN, PRELOGIN[:-1] + b"\x02")
        raw.receive()
        raw.send(packets.LOGIN, login7(azuresql.connection, user="", password="", features=features))
        assert closed(raw)


@pytest.mark.parametrize(
    "message",
    [
        (packets.BATCH, b"SELECT 1"),
        (packets.BATCH, batch("SELECT 1")[1:]),
        (packets.BATCH, batch("SELECT 1")[:18] + b"\x02" + batch("SELECT 1")[19:]),
        (packets.BATCH, batch("SELECT 1") + b"x"),
        (packets.ATTENTION, b"x"),
        (packets.LOGIN, b""),
        (0x03, batch("SELECT 1")),
    ],
)
def test_a_message_that_is_none_ends_the_connection(azuresql: Running, message: tuple[int, bytes]) -> None:
    with Raw(azuresql) as raw:
        logged_in(raw, azuresql)
        raw.send(*message)
        assert closed(raw)


def test_packets_are_in_order_and_as_long_as_agreed(azuresql: Running) -> None:
    long = batch("SELECT '" + "x" * 5000 + "' AS x")
    with Raw(azuresql) as raw:
        logged_in(raw, azuresql)
        raw.send(packets.BATCH, long, 8000)
        assert closed(raw)
    with Raw(azuresql) as raw:
        logged_in(raw, azuresql)
        first, *rest = packets.frame(packets.BATCH, long, 4096)
        raw.say(first + rest[0][:6] + b"\x09" + rest[0][7:])
        assert closed(raw)


@pytest.mark.parametrize(
    ("setting", "wanted", "answer"), [("off", 1, 2), ("required", 2, 3), ("required", 1, 1), ("on", 2, 2)]
)
def test_both_sides_agree_on_encryption(
    azuresql: Running, azuresql_control: Control, setting: str, wanted: int, answer: int
) -> None:
    azuresql_control.settings(encryption=setting)
    with Raw(azuresql) as raw:
        raw.send(packets.PRELOGIN, PRELOGIN[:-1] + bytes([wanted]))
        told = raw.receive()
        place = struct.unpack(">H", told[6:8])[0]
        assert (told[5], told[place]) == (1, answer)
        if answer == 3:
            assert closed(raw)


def test_trouble_on_demand(azuresql: Running, azuresql_control: Control, tmp_path: pathlib.Path) -> None:
    azuresql_control.fault("error", method="BATCH", body="SELECT id", number=1205)
    assert number(azuresql, tmp_path, "SELECT id FROM customers") == 1205
    azuresql_control.fault("error", method="LOGIN", number=40613, times=None)
    assert refused(azuresql, tmp_path) == 40613
    azuresql_control.reset()
    for kind, fields in (("reset", {"afterBytes": 40}), ("truncate", {"afterBytes": 40}), ("refuse", {})):
        azuresql_control.fault(kind, method="BATCH", body="SELECT id", **fields)
        with pytest.raises((pytds.Error, OSError)):
            rows(azuresql, tmp_path, "SELECT id FROM customers")
    azuresql_control.fault("slow", method="BATCH", body="SELECT id", bytesPerSecond=20_000)
    assert len(rows(azuresql, tmp_path, "SELECT id FROM customers")) == 3
    azuresql_control.settings(fail={"rows": 2, "number": 8134})
    assert number(azuresql, tmp_path, "SELECT id FROM customers") == 8134
