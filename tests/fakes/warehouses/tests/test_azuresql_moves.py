"""What Azure SQL does within a batch: transactions that catch errors, statements in texts, tables that come and go."""

from __future__ import annotations

import pytest

from ..azuresql import execute, functions
from ..azuresql.errors import SqlError
from ..engine import Engine

CATCH = "\nEND TRY\nBEGIN CATCH\nIF XACT_STATE() <> 0 ROLLBACK TRANSACTION;\nTHROW;\nEND CATCH"


@pytest.fixture
def database() -> execute.Database:
    made = execute.Database(Engine(functions.MACROS))
    run(made, "CREATE SCHEMA s")
    run(made, "CREATE TABLE s.e (born bigint NOT NULL, name nvarchar(max), flag bit, PRIMARY KEY (born))")
    run(made, "INSERT INTO s.e VALUES (1, N'a', 1), (2, NULL, 0)")
    return made


def run(database: execute.Database, sql: str) -> list[execute.Result]:
    return execute.run(database, sql, None, "me")


def rows(database: execute.Database, sql: str) -> list[tuple[object, ...]]:
    return run(database, sql)[-1].rows


def transaction(*statements: str) -> str:
    return "BEGIN TRY\nBEGIN TRANSACTION;\n" + "\n".join(statements) + "\nCOMMIT TRANSACTION;" + CATCH


def test_a_transaction_moves_all_or_nothing(database: execute.Database) -> None:
    made = "EXECUTE (N'SELECT e.born, e.name INTO s.d FROM s.e AS e WHERE 1 = 0');"
    guard = "IF EXISTS (SELECT 1 FROM s.e WHERE born >= {}) THROW 50001, N'it''s another', 1;"
    with pytest.raises(SqlError) as thrown:
        run(database, transaction(made, "EXECUTE (N'DELETE e FROM s.e AS e WHERE e.born = 1');", guard.format(2)))
    assert (thrown.value.number, thrown.value.message) == (50001, "it's another")
    assert ("s", "d") not in database.catalog
    assert len(rows(database, "SELECT * FROM s.e")) == 2
    run(
        database,
        transaction(made, "EXECUTE (N'INSERT INTO s.d WITH (TABLOCK) SELECT 7, N''it''''s''');", guard.format(3)),
    )
    assert rows(database, "SELECT * FROM s.d") == [(7, "it's")]
    run(database, "EXECUTE (N'ALTER TABLE s.d ADD more nvarchar(60)'); EXECUTE (N'ALTER TABLE s.d DROP COLUMN name')")
    run(database, "EXECUTE sys.sp_addextendedproperty N'MS_Description', N'it''s', N'SCHEMA', N's', N'TABLE', N'd'")
    run(database, "CREATE UNIQUE CLUSTERED INDEX by_born ON s.d (born)")
    assert rows(database, "SELECT * FROM s.d") == [(7, None)]
    found = "SELECT c.name FROM sys.tables AS t INNER JOIN sys.columns AS c ON c.object_id = t.object_id "
    assert rows(database, found + "WHERE t.name = 'd' ORDER BY c.column_id") == [("born",), ("more",)]


def test_rows_of_a_text_move_a_table(database: execute.Database) -> None:
    given = "(SELECT j.k, j.v COLLATE Latin1_General_100_BIN2 AS v FROM OPENJSON(N'[[1,\"it''s \\\\ é\"],[3,null]]') "
    given += "WITH (k bigint '$[0]', v nvarchar(max) '$[1]') AS j)"
    merge = f"MERGE INTO s.e WITH (HOLDLOCK) AS e USING (SELECT a.k AS born, a.v AS name FROM {given} AS a) AS n "
    merge += "ON e.born = n.born WHEN MATCHED THEN UPDATE SET name = n.name "
    merge += "WHEN NOT MATCHED THEN INSERT (born, name) VALUES (n.born, n.name)"
    literal = merge.replace("'", "''")
    with pytest.raises(SqlError) as refused:
        run(database, f"EXECUTE (N'{literal}')")
    assert refused.value.number == 10713
    run(database, f"EXECUTE (N'{literal};')")
    all_of_it = "SELECT * FROM s.e ORDER BY born"
    assert rows(database, all_of_it) == [(1, "it's \\ é", True), (2, None, False), (3, None, None)]
    run(
        database,
        "UPDATE e SET name = N'x', flag = CAST(CASE WHEN e.flag = 1 THEN 0 ELSE 1 END AS bit) "
        "FROM s.e AS e INNER JOIN s.e AS d ON d.born = e.born WHERE d.born < 3",
    )
    run(database, "DELETE e FROM s.e AS e WHERE EXISTS (SELECT 1 FROM s.e AS d WHERE d.born = e.born AND d.born = 2)")
    assert rows(database, all_of_it) == [(1, "x", False), (3, None, None)]


def test_hashes_tell_values_apart(database: execute.Database) -> None:
    said = "ISNULL(CAST(DATALENGTH({0}) AS nvarchar(20)) + N':' + {0}, N'~')"
    hashed = f"CAST(HASHBYTES('SHA2_256', CONCAT({said.format('x.a')}, {said.format('x.b')})) AS binary(16))"
    values = [("NULL", "N'x'"), ("N'x'", "NULL"), ("N''", "N'x'"), ("N'1:'", "N''"), ("N'1'", "N':'")]
    found = set()
    for one, other in values:
        [(value,)] = rows(
            database, f"SELECT {hashed} AS h FROM (SELECT CAST({one} AS nvarchar(9)) AS a, {other} AS b) AS x"
        )
        assert isinstance(value, bytes) and len(value) == 16
        found.add(value)
    assert len(found) == len(values)
    exact = "SELECT CONVERT(nvarchar(40), CAST({} AS float) + 0e0, 3) AS a"
    assert rows(database, exact.format("0.1")) != rows(database, exact.format("0.10000000000000002"))
    assert rows(database, "SELECT CONVERT(binary(16), '0f', 2) AS a, CONVERT(nvarchar(max), 0x0f00, 1) AS b") == [
        (b"\x0f", "0x0F00")
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT born IS NULL AS a FROM s.e", 102),
        ("SELECT CASE WHEN flag THEN 1 END AS a FROM s.e", 4145),
        ("SELECT * FROM s.e WHERE flag", 4145),
        ("SELECT * FROM s.e WHERE NOT flag", 4145),
        ("SELECT * FROM s.e WHERE flag = 1 AND flag", 4145),
        ("SELECT COALESCE(born = 1, 0) AS a FROM s.e", 102),
        ("SELECT true AS a", 207),
        ("SELECT ROW_NUMBER() OVER (PARTITION BY born) AS a FROM s.e", 4112),
        ("SELECT LEAD(born) OVER () AS a FROM s.e", 4112),
        ("SELECT CONVERT(nvarchar(9), born, 77) AS a FROM s.e", 281),
        ("IF EXISTS (SELECT 1 FROM s.e) THROW 42, N'too small', 1", 35100),
        ("SELECT * INTO s.e FROM s.e", 2714),
        ("SELECT 1 + born INTO s.f FROM s.e", 1038),
        ("CREATE INDEX by_name ON s.e (name)", 1919),
        ("CREATE INDEX by_nothing ON s.e (nothing)", 1911),
        ("ALTER TABLE s.e ADD name nvarchar(9)", 2705),
        ("ALTER TABLE s.e DROP COLUMN nothing", 1911),
        ("ALTER TABLE s.nothing ADD name nvarchar(9)", 208),
        ("DELETE x FROM s.e AS e WHERE e.born = 1", 208),
        ("UPDATE x SET born = 1 FROM s.e AS e INNER JOIN s.e AS d ON d.born = e.born", 102),
        ("SELECT * FROM OPENJSON(N'[[1]') WITH (a bigint '$[0]') AS j", 13609),
        ("SELECT * FROM OPENJSON(N'{}') WITH (a bigint '$[0]') AS j", 13608),
        ("EXECUTE (N'SELECT 1; SELECT 2')", 102),
        ("CREATE INDEX ON s.e (born)", 102),
    ],
)
def test_what_the_server_refuses(database: execute.Database, sql: str, expected: int) -> None:
    with pytest.raises(SqlError) as refused:
        run(database, sql)
    assert refused.value.number == expected
