"""FreeTDS, the C library of many drivers, as another witness of Azure SQL's protocol: `pymssql` has it inside."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymssql
import pytest

from ..azuresql.service import USER
from ..running import Running
from ..tls import server_context
from ..wire import Place
from .harness import Control

Login = Callable[..., Any]


@pytest.fixture
def login(azuresql: Running, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Login:
    """Logs in with TLS to a server whose certificate is proven, as FreeTDS does by its own defaults."""
    authority, configuration = tmp_path / "ca.pem", tmp_path / "freetds.conf"
    configuration.write_text(f"[global]\nca file = {authority}\ncheck certificate hostname = yes\n")
    monkeypatch.setenv("FREETDSCONF", str(configuration))

    @contextmanager
    def cursor(certificate: str | None = None, **changes: object) -> Iterator[Any]:
        told = azuresql.connection
        authority.write_text(certificate or told["certificateAuthority"])
        given: dict[str, object] = {
            "server": told["host"],
            "port": told["port"],
            "database": told["database"],
            "user": told["user"],
            "password": told["password"],
            "tds_version": "7.4",
            "encryption": "require",
            "autocommit": True,
            "login_timeout": 20,
            "timeout": 20,
        }
        with pymssql.connect(**{**given, **changes}) as connection, connection.cursor() as made:
            yield made

    return cursor


def rows(login: Login, sql: str) -> list[tuple[object, ...]]:
    with login() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def error(login: Login, **changes: object) -> tuple[int, str]:
    """Number and words of what a login is refused with."""
    with pytest.raises(pymssql.OperationalError) as refused, login(**changes):
        pass
    number, message = refused.value.args[0]
    return number, message.decode()


def test_it_logs_in_over_tls_with_its_own_settings(azuresql: Running, azuresql_control: Control, login: Login) -> None:
    azuresql_control.settings(encryption="required")
    assert rows(login, "SELECT USER_NAME() AS name") == [(USER,)]
    said = [statement["sql"] for statement in azuresql_control.call("GET", "/statements")]
    assert said[-2] == "use [shop]" and said[-3].startswith("SET ARITHABORT ON;")
    assert azuresql.warehouse.state()["violations"] == []


def test_it_follows_to_another_server(azuresql_control: Control, login: Login) -> None:
    azuresql_control.settings(route=True)
    assert rows(login, "SELECT id FROM customers WHERE id = 3") == [(3,)]


def test_nobody_else_is_let_in(azuresql: Running, login: Login) -> None:
    number, message = error(login, password="wrong")
    assert number == 18456 and f"Login failed for user '{USER}'." in message
    error(login, database="nowhere")
    assert azuresql.warehouse.state()["loginFailures"][-2:] == [18456, 4060]


def test_it_sends_no_login_to_a_server_that_is_not_proven(azuresql_control: Control, login: Login) -> None:
    azuresql_control.reset()
    _, another = server_context(Place())
    error(login, certificate=another)
    assert azuresql_control.call("GET", "/ledger") == []


def test_it_sends_no_login_in_the_clear(azuresql_control: Control, login: Login) -> None:
    azuresql_control.reset()
    azuresql_control.settings(encryption="off")
    error(login)
    azuresql_control.settings(encryption="required")
    error(login, encryption="off")
    assert azuresql_control.call("GET", "/ledger") == []


def test_it_reads_every_type(azuresql: Running, login: Login) -> None:
    empty, full = rows(login, "SELECT * FROM kinds ORDER BY a")
    assert full == (
        255,
        -9007199254740993,
        True,
        0.1,
        0.5,
        decimal.Decimal("-12.5"),
        decimal.Decimal("922337203685.4775"),
        decimal.Decimal("-214748.3648"),
        dt.date(2026, 1, 2),
        dt.time(3, 4, 5, 678000),
        dt.datetime(2026, 1, 2, 3, 4, 5, 500000),
        dt.datetime(2026, 1, 2, 3, 4, 5, 678901),
        dt.datetime(2026, 1, 2, 3, 4),
        dt.datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=dt.UTC),
        uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        "a  ",
        "é",
        "é 😀",
        b"\x00\xff\xab",
        b"\x01",
        "<a/>",
        -7,
    )
    assert empty == (None,) * 22
    assert rows(login, "SELECT id, name, plan FROM customers ORDER BY id") == [
        (1, "é one", None),
        (2, None, "pro"),
        (3, "three", "free"),
    ]
    assert azuresql.warehouse.state()["violations"] == []


def test_long_values_and_many_rows_arrive_whole(login: Login) -> None:
    piece = "é😀 x" * 10
    grown = f"REPLACE(REPLACE(N'{'a' * 40}', 'a', '{'b' * 40}'), 'b', N'{piece}')"
    assert rows(login, f"SELECT {grown} AS t") == [(piece * 1600,)]
    many = rows(login, "SELECT a.id FROM " + ", ".join(f"customers AS {name}" for name in "abcdefg"))
    assert sorted(many) == [(n,) for n in (1, 2, 3) for _ in range(3**6)]


def test_an_error_has_its_number_and_words_and_the_connection_goes_on(azuresql_control: Control, login: Login) -> None:
    azuresql_control.settings(fail={"rows": 2, "number": 8134})
    with login() as cursor:
        for sql, number, words in (
            ("SELECT nothing FROM customers", 207, "Invalid column name 'nothing'."),
            ("SELECT * FROM nowhere.customers", 208, "Invalid object name 'nowhere.customers'."),
            ("USE nowhere", 40508, "USE statement is not supported to switch between databases."),
            ("SET SHOWPLAN_ALL ON", 195, "not a recognized SET option"),
        ):
            with pytest.raises(pymssql.Error) as refused:
                cursor.execute(sql)
            assert refused.value.args[0] == number and words in refused.value.args[1].decode()
        cursor.execute("SELECT id FROM customers")
        with pytest.raises(pymssql.Error) as broken:
            cursor.fetchall()
        assert broken.value.args[0] == 8134
        cursor.execute("SELECT 1 AS one")
        assert cursor.fetchall() == [(1,)]


def test_a_transaction_is_rolled_back(login: Login) -> None:
    seen = "UPDATE customers SET plan = 'gone'; SELECT DISTINCT plan FROM customers"
    with login() as cursor:
        cursor.execute(f"BEGIN TRANSACTION; {seen}; ROLLBACK TRANSACTION")
        assert cursor.fetchall() == [("gone",)]
        cursor.execute("SELECT plan FROM customers ORDER BY id")
        assert cursor.fetchall() == [(None,), ("pro",), ("free",)]
