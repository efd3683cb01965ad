"""Running a batch in the database."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

import duckdb
from sqlglot import exp

from ..engine import Cursor, Engine
from ..statements import Statement
from . import dialect, tables
from .errors import SqlError, line_of, of_engine
from .kinds import Kind
from .kinds import of_engine as kind_of_engine

DATABASE = "shop"
# What SERVERPROPERTY calls the products.
EDITIONS = {"server": 3, "azure": 5, "pool": 6, "fabric": 11}


@dataclass
class Result:
    """What one statement came to."""

    columns: list[tuple[str, Kind]] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    changed: int = 0
    is_query: bool = False


class Database:
    """The schemas and who may see what."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.catalog: dict[dialect.Name, dialect.Columns] = {}
        self.denied: Container[str] = set()
        self.read_only = False
        self.edition = "azure"
        cursor = engine.cursor()
        cursor.run("CREATE SCHEMA dbo")
        cursor.close()

    def has_schema(self, cursor: Cursor, name: str) -> bool:
        """Whether there is such a schema."""
        sql = "SELECT 1 FROM duckdb_schemas() WHERE database_name = 'memory' AND schema_name = ?"
        return bool(cursor.run(sql, [name]).rows)


def run(database: Database, sql: str, statement: Statement | None, user: str, force: bool = False) -> list[Result]:
    """Runs a batch: a transaction that it begins it ends, or is rolled back."""
    cursor = database.engine.cursor()
    if statement:
        cursor.attach(statement)
    begun, before = False, database.catalog
    try:
        results = []
        utf8 = database.edition == "fabric"
        for read in dialect.batch(sql, database.catalog, utf8):
            found = dialect.executed(read.text, database.catalog, utf8) if read.kind == "EXECUTE" else read
            if found.kind == "TRANSACTION":
                cursor.wait_for_writers()
                cursor.run("BEGIN")
                begun, before = True, dict(database.catalog)
            elif found.kind in ("COMMIT", "ROLLBACK"):
                if not begun:
                    raise SqlError(
                        3902, f"The {found.kind} TRANSACTION request has no corresponding BEGIN TRANSACTION."
                    )
                cursor.run(found.kind)
                if found.kind == "ROLLBACK":
                    database.catalog.clear()
                    database.catalog.update(before)
                begun = False
            elif found.kind == "USE":
                _use(database.edition, found.text)
            elif found.kind != "SET":
                if found.kind not in ("SELECT", "THROW"):
                    cursor.wait_for_writers()
                _check(database, found, cursor, user, force)
                results.append(_execute(database, found, cursor, user))
        return results
    except duckdb.Error as error:
        raise of_engine(error, sql) from error
    finally:
        if begun:
            cursor.run("ROLLBACK")
            database.catalog.clear()
            database.catalog.update(before)
        cursor.close()


def _use(edition: str, name: str) -> None:
    """Clients name the database of their login once more. Only a SQL Server has others to go to."""
    if name.lower() == DATABASE:
        return
    if edition == "server":
        raise SqlError(911, f"Database '{name}' does not exist. Make sure that the name is entered correctly.")
    text = "USE statement is not supported to switch between databases. "
    raise SqlError(40508, text + "Use a new connection to connect to a different database.")


def _check(database: Database, found: dialect.Statement, cursor: Cursor, user: str, force: bool) -> None:
    if found.kind in ("CREATE TABLE", "CREATE SCHEMA", "SELECT INTO"):
        if database.read_only and not force:
            what = found.kind.replace("SELECT INTO", "CREATE TABLE")
            raise SqlError(262, f"{what} permission denied in database '{DATABASE}'.", level=14)
        _edition_rules(database.edition, found)
        if found.kind != "CREATE SCHEMA":
            assert found.target is not None
            if not database.has_schema(cursor, found.target[0]):
                text = f'The specified schema name "{found.target[0]}" does not exist or you may not use it.'
                raise SqlError(2760, text)
            if found.target in database.catalog:
                raise SqlError(2714, f"There is already an object named '{found.target[1]}' in the database.")
        if found.kind != "SELECT INTO":
            return
    made = found.target if found.kind == "SELECT INTO" else None
    # That it is gone already is no error to DROP TABLE IF EXISTS.
    if found.kind == "DROP TABLE" and found.target not in database.catalog:
        assert found.expression is not None
        if found.expression.args.get("exists"):
            return
    writes = found.kind not in ("SELECT", "THROW")
    for name in [*found.reads, *([found.target] if found.target and not made else [])]:
        shown = ".".join(name)
        if name not in database.catalog:
            said = shown if re.search(re.escape(name[0]), found.text, re.IGNORECASE) else name[1]
            raise SqlError(208, f"Invalid object name '{said}'.", line_of(found.text, name[1]))
        grant = found.kind if writes and name == found.target else "SELECT"
        if not force and (shown in database.denied or (database.read_only and grant != "SELECT")):
            place = f"database '{DATABASE}', schema '{name[0]}'"
            text = f"The {grant} permission was denied on the object '{name[1]}', {place}."
            raise SqlError(229, text, line_of(found.text, name[1]), level=14, state=5)


def _edition_rules(edition: str, found: dialect.Statement) -> None:
    """What a dedicated pool and a warehouse of Fabric do not take in a table."""
    expression = found.expression
    assert expression is not None
    keyed = expression.find(exp.PrimaryKey, exp.PrimaryKeyColumnConstraint) is not None
    longest = any(kind and kind.length is None and kind.name in ("nvarchar", "varchar") for _, kind in found.columns)
    options = re.search(r"\bWITH\s*\((.*)\)\s*$", found.text, re.IGNORECASE | re.DOTALL)
    if edition == "pool":
        if keyed:
            raise SqlError(104467, "Enforced unique constraints are not supported.")
        if longest and not (options and re.search(r"\bHEAP\b", options[1], re.IGNORECASE)):
            raise SqlError(
                35343, "The statement failed. A column has a data type that cannot participate in a columnstore index."
            )
    elif options:
        raise SqlError(102, "Incorrect syntax near 'HEAP'.", level=15)
    if edition == "fabric":
        if keyed:
            raise SqlError(24584, "The PRIMARY KEY keyword is not supported in the CREATE TABLE statement.")
        if any(kind and kind.name in ("nvarchar", "nchar", "money", "datetime", "xml") for _, kind in found.columns):
            raise SqlError(24574, "The type is not supported in a table of this warehouse.")


def _constants(database: Database, expression: exp.Expression, cursor: Cursor, user: str) -> dict[str, exp.Expression]:
    """The calls that the account answers, by their text."""
    found: dict[str, exp.Expression] = {
        "USER_NAME()": exp.Literal.string(user),
        "DB_NAME()": exp.Literal.string(DATABASE),
        "SERVERPROPERTY('ENGINEEDITION')": exp.Literal.number(EDITIONS[database.edition]),
        "SERVERPROPERTY('PRODUCTVERSION')": exp.Literal.string("12.0.2000.8"),
    }
    for call in expression.find_all(exp.Anonymous):
        if call.name.upper() != "HAS_PERMS_BY_NAME":
            continue
        place, kind, grant = call.expressions
        answer = _granted(database, cursor, place.name, kind.name.upper(), grant.name.upper())
        value = exp.Null() if answer is None else exp.Literal.number(int(answer))
        found[call.sql(dialect=dialect.DIALECT).upper()] = value
        # Inner calls are put in place first.
        inner = call.copy()
        for nested in list(inner.find_all(exp.Func)):
            if nested is not inner and nested.sql(dialect=dialect.DIALECT).upper() == "DB_NAME()":
                nested.replace(exp.Literal.string(DATABASE))
        for text in list(inner.find_all(exp.National)):
            text.replace(exp.Literal.string(text.name))
        found[inner.sql(dialect=dialect.DIALECT).upper()] = value
    return found


def _granted(database: Database, cursor: Cursor, place: str, kind: str, grant: str) -> bool | None:
    parts = tuple(part.replace("]]", "]").lower() for part in re.findall(r"\[((?:[^\]]|\]\])*)\]", place))
    if kind == "SCHEMA" and not database.has_schema(cursor, parts[0]):
        return None
    if kind == "OBJECT" and parts not in database.catalog:
        return None
    return grant == "SELECT" or not database.read_only


def _execute(database: Database, found: dialect.Statement, cursor: Cursor, user: str) -> Result:
    if found.kind == "PROPERTY":
        return Result()
    assert found.expression is not None
    if found.kind in ("CREATE INDEX", "ALTER TABLE"):
        tables.change(database.catalog, found, cursor)
        return Result()
    text = dialect.translate(found.expression, _constants(database, found.expression, cursor, user))
    if found.kind == "SELECT INTO":
        assert found.target is not None
        schema, name = (part.replace('"', '""') for part in found.target)
        cursor.run(f'CREATE TABLE "{schema}"."{name}" AS {text}')
        database.catalog[found.target] = found.columns
        return Result()
    done = cursor.run(text)
    if found.kind == "THROW":
        if done.rows and found.throws:
            raise found.throws
        return Result()
    if found.kind == "CREATE TABLE":
        assert found.target is not None
        database.catalog[found.target] = found.columns
        return Result()
    if found.kind == "DROP TABLE":
        database.catalog.pop(found.target or ("", ""), None)
        return Result()
    if found.kind != "SELECT":
        return Result(changed=int(done.rows[0][0]) if done.rows and done.rows[0] else 0)
    columns = []
    for at, column in enumerate(done.columns):
        name, kind = found.columns[at] if at < len(found.columns) else (column.name, None)
        columns.append((name, kind or kind_of_engine(column.type, [row[at] for row in done.rows])))
    return Result(columns, done.rows, len(done.rows), True)
