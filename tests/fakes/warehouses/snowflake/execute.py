"""Running a checked statement in the context of a request, to a result in Snowflake's form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import duckdb
from sqlglot import exp

from ..engine import Cursor, Rows
from ..parsing import to_duckdb
from . import catalog, shows, values
from .dialect import translate
from .errors import SnowflakeError, compilation, missing, of_engine, unsupported
from .rules import WRITES, Checked
from .session import Session

_ACTIONS = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}
_STATS = {"inserted": "numRowsInserted", "updated": "numRowsUpdated", "deleted": "numRowsDeleted"}


@dataclass
class Result:
    """Column metadata, cells as strings, and the counts of a DML statement."""

    types: list[dict[str, Any]]
    data: list[list[Any]]
    stats: dict[str, int] | None = None
    children: list[str] = field(default_factory=list)


class Execution:
    """Statements of one request; several share the session and its transaction."""

    def __init__(self, session: Session, cursor: Cursor, nullable: bool = True) -> None:
        self._session, self._cursor, self._nullable = session, cursor, nullable
        self._in_transaction = False

    def run(self, checked: Checked, literals: list[exp.Expression]) -> Result:
        """Runs one statement."""
        statement = checked.expression
        _bind(statement, literals)
        try:
            if checked.session_only:
                return self._session_statement(statement)
            if checked.explained:
                return self._explain(statement)
            if isinstance(statement, exp.Show):
                names, rows = shows.show(statement, self._session, self._cursor)
                types = [_created(name) if name == "created_on" else text_column(name) for name in names]
                return Result(types, [list(row) for row in rows])
            return self._statement(statement)
        except duckdb.Error as error:
            raise of_engine(error) from error

    def _statement(self, statement: exp.Expression) -> Result:
        session, cursor = self._session, self._cursor
        if isinstance(statement, (*WRITES, exp.Create, exp.Drop, exp.Alter)):
            cursor.wait_for_writers()
        tables = catalog.resolve(statement, session, cursor, statement.key.upper())
        if isinstance(statement, exp.Create | exp.Drop | exp.Alter):
            self._may_write(tables)
            self._end_transaction("COMMIT")  # as every definition does (page "Transactions")
            return self._definition(statement, tables)
        if isinstance(statement, WRITES):
            self._may_write(tables)
            session.need_warehouse()
            return self._change(statement)
        if tables:
            session.need_warehouse()
        types = catalog.special_types(statement, catalog.declared(cursor, tables))
        rows = cursor.run(to_duckdb(translate(statement, session)))
        limit = int(session.parameters.get("ROWS_PER_RESULTSET", 0))
        if limit:
            rows.rows = rows.rows[:limit]
        return self._result(rows, types)

    def _explain(self, statement: exp.Expression) -> Result:
        """Compiles a statement, which checks names and privileges, and runs nothing: no warehouse is needed."""
        tables = catalog.resolve(statement, self._session, self._cursor, statement.key.upper())
        if isinstance(statement, (*WRITES, exp.Create, exp.Drop, exp.Alter)):
            self._may_write(tables)
        if isinstance(statement, exp.Create):
            statement.set("properties", None)
        self._cursor.run("EXPLAIN " + to_duckdb(translate(statement, self._session)))
        return Result([text_column("content")], [["GlobalStats: partitionsTotal=0 partitionsAssigned=0"]])

    def _result(self, rows: Rows, special: dict[str, str]) -> Result:
        types = []
        for column in rows.columns:
            entry = values.row_type(column, None)
            if entry["name"] in special and entry["type"] in ("variant", "timestamp_ltz"):
                entry = values.row_type(column, special[entry["name"]])
            types.append(entry)
        return Result(types, values.encode_rows(rows, types, self._session.parameters, self._nullable))

    def _may_write(self, tables: list[tuple[str, str, str]]) -> None:
        if self._session.account.read_only:
            schema = tables[0][1] if tables else self._session.schema or "PUBLIC"
            detail = f"SQL access control error:\nInsufficient privileges to operate on schema '{schema}'"
            raise SnowflakeError(422, "003001", detail, "42501")

    def _change(self, statement: exp.Expression) -> Result:
        """INSERT, UPDATE, DELETE, MERGE, TRUNCATE: the counts are the result."""
        sql = to_duckdb(translate(statement, self._session))
        if isinstance(statement, exp.TruncateTable):
            self._cursor.run(sql)
            return _status("Statement executed successfully.")
        if isinstance(statement, exp.Merge):
            kinds = [_merge_action(when) for when in statement.find_all(exp.When)]
            done = [_ACTIONS[row[0]] for row in self._cursor.run(f"{sql} RETURNING merge_action").rows]
            counts = {action: done.count(action) for action in _ACTIONS.values() if action in kinds}
        else:
            counts = {_ACTIONS[statement.key.upper()]: int(self._cursor.run(sql).rows[0][0])}
        names = [f"number of rows {action}" for action in counts]
        if isinstance(statement, exp.Update):
            names.append("number of multi-joined rows updated")
        data = [str(count) for count in counts.values()] + ["0"] * (len(names) - len(counts))
        stats = {name: counts.get(action, 0) for action, name in _STATS.items()}
        return Result([_fixed(name) for name in names], [data], {**stats, "numDuplicateRowsUpdated": 0})

    def _definition(self, statement: exp.Expression, tables: list[tuple[str, str, str]]) -> Result:
        kind = str(statement.args.get("kind"))
        if kind == "SCHEMA":
            return self._schema(statement)
        if kind == "DATABASE":
            raise unsupported(f"{statement.key.upper()} DATABASE in this fake")
        name = tables[0]
        if isinstance(statement, exp.Create):
            return self._create(statement, name, tables[1:])
        if isinstance(statement, exp.Drop):
            if not catalog.exists(self._cursor, *name):
                if statement.args.get("exists"):
                    return _status(f"Drop statement executed successfully ({name[2]} already dropped).")
                raise missing("Table", ".".join(name))
            self._cursor.run(f"DROP {kind} {catalog.quoted(*name)}")
            return _status(f"{name[2]} successfully dropped.")
        self._cursor.run(to_duckdb(translate(statement, self._session)))
        return _status("Statement executed successfully.")

    def _create(self, statement: exp.Create, name: tuple[str, str, str], read: list[tuple[str, str, str]]) -> Result:
        transient = statement.find(exp.TransientProperty) is not None
        known = catalog.declared(self._cursor, read)
        types = catalog.special_types(statement, known)
        query = statement.expression
        if query is not None:
            self._session.need_warehouse()
            self._check_columns(query)
        if catalog.exists(self._cursor, *name):
            if statement.args.get("exists"):
                return _status(f"{name[2]} already exists, statement succeeded.")
            if not statement.args.get("replace"):
                raise SnowflakeError(
                    422, "002002", f"SQL compilation error:\nObject '{'.'.join(name)}' already exists.", "42710"
                )
        if statement.find(exp.LikeProperty, exp.Clone):
            raise unsupported("CREATE TABLE from another table's form in this fake")
        statement.set("properties", None)
        self._cursor.run(to_duckdb(translate(statement, self._session)))
        if statement.kind == "TABLE":
            catalog.note(self._cursor, name, transient, types)
        return _status(f"{str(statement.kind).capitalize()} {name[2]} successfully created.")

    def _check_columns(self, query: exp.Expression) -> None:
        """A new table's columns need names of their own."""
        selected = query
        while isinstance(selected, exp.SetOperation | exp.Subquery):
            selected = selected.this
        for projection in selected.expressions if isinstance(selected, exp.Select) else []:
            if not isinstance(projection, exp.Alias | exp.Column | exp.Star):
                raise compilation("002022", "42601", "Missing column specification")
        described = self._cursor.run("DESCRIBE " + to_duckdb(translate(query, self._session)))
        names = [row[0] for row in described.rows]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise compilation("002025", "42S21", f"duplicate column name '{twice}'")

    def _schema(self, statement: exp.Expression) -> Result:
        target = statement.find(exp.Table)
        assert target is not None
        parts = exp.Table(this=target.args.get("db"), db=target.args.get("catalog"))
        database = catalog.full_name(exp.Table(this=parts.this, catalog=parts.args["db"]), self._session, "CREATE")[0]
        schema = catalog.full_name(parts, self._session, "CREATE")[2]
        schemas = self._session.account.databases.get(database)
        if schemas is None:
            raise missing("Database", database)
        if isinstance(statement, exp.Drop):
            if schema not in schemas:
                if statement.args.get("exists"):
                    return _status(f"Drop statement executed successfully ({schema} already dropped).")
                raise missing("Schema", f"{database}.{schema}")
            self._cursor.run(f"DROP SCHEMA {catalog.quoted(database, schema)} CASCADE")
            schemas.discard(schema)
            return _status(f"{schema} successfully dropped.")
        if schema in schemas:
            if statement.args.get("exists"):
                return _status(f"{schema} already exists, statement succeeded.")
            raise SnowflakeError(422, "002002", f"SQL compilation error:\nObject '{schema}' already exists.", "42710")
        self._cursor.run(f"CREATE SCHEMA {catalog.quoted(database, schema)}")
        schemas.add(schema)
        return _status(f"Schema {schema} successfully created.")

    def _session_statement(self, statement: exp.Expression) -> Result:
        """Statements that only a request with several of them may have."""
        if isinstance(statement, exp.Transaction | exp.Commit | exp.Rollback):
            if not isinstance(statement, exp.Transaction):
                self._end_transaction(statement.key.upper())
            elif not self._in_transaction:
                self._cursor.run("BEGIN")
                self._in_transaction = True
            return _status("Statement executed successfully.")
        if isinstance(statement, exp.Use):
            return self._use(statement)
        raise unsupported(f"{statement.key.upper()} in this fake")

    def _end_transaction(self, how: str) -> None:
        if self._in_transaction:
            self._cursor.run(how)
            self._in_transaction = False

    def _use(self, statement: exp.Use) -> Result:
        kind = str(statement.args.get("kind") or "DATABASE").upper()
        name = statement.this.name.upper()
        session = self._session
        if kind == "WAREHOUSE" and name in session.account.warehouses:
            session.warehouse = name
        elif kind == "ROLE" and name in session.account.roles:
            session.role = name
        elif kind == "DATABASE" and name in session.account.databases:
            session.database, session.schema = name, "PUBLIC"
        elif kind == "SCHEMA" and session.database and name in session.account.databases[session.database]:
            session.schema = name
        else:
            raise SnowflakeError(
                422,
                "002043",
                "SQL compilation error:\nObject does not exist, or operation cannot be performed.",
                "02000",
            )
        return _status("Statement executed successfully.")


def _bind(statement: exp.Expression, literals: list[exp.Expression]) -> None:
    placeholders = list(statement.find_all(exp.Placeholder, bfs=False))
    for position, node in enumerate(placeholders):
        named = node.name not in ("", "?")
        if named or position >= len(literals):
            variable = node.sql(dialect="snowflake")
            raise compilation("002049", "42601", f"error line 1 at position 0\nBind variable {variable} not set.")
        node.replace(literals[position].copy())


def _merge_action(when: exp.When) -> str:
    then = when.args["then"]
    return _ACTIONS[then.key.upper() if then.key.upper() in _ACTIONS else str(then.name).upper()]


def _fixed(name: str) -> dict[str, Any]:
    return {"name": name, "database": "", "schema": "", "table": "", "type": "fixed", "byteLength": None,
            "length": None, "precision": 19, "scale": 0, "nullable": False, "collation": None}  # fmt: skip


def text_column(name: str) -> dict[str, Any]:
    """Metadata of a text column that the service itself makes."""
    sizes = {"length": values.MAX_TEXT, "byteLength": values.MAX_TEXT}
    return {**_fixed(name), "type": "text", "precision": None, "scale": None, **sizes}


def _created(name: str) -> dict[str, Any]:
    return {**_fixed(name), "type": "timestamp_ltz", "precision": 6, "scale": 9}


def _status(message: str) -> Result:
    return Result([text_column("status")], [[message]])


def create_database(cursor: Cursor, name: str, schemas: list[str]) -> None:
    """A database with its schemas, when the account is set up."""
    cursor.run(f"ATTACH ':memory:' AS {catalog.quoted(name)}")
    for schema in schemas:
        cursor.run(f"CREATE SCHEMA {catalog.quoted(name, schema)}")
