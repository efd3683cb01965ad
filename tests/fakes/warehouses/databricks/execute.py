"""Running a statement in the workspace's catalog."""

from __future__ import annotations

import time
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import duckdb
from sqlglot import exp

from ..engine import Cursor, Engine
from ..statements import Statement
from . import dialect, values
from .errors import StatementError, of_engine, table_missing
from .requests import Submission

CATALOG, SCHEMA = "workspace", "default"
INLINE_LIMIT = 26_214_400


@dataclass
class Result:
    """A whole result: described columns, cells as strings, whether it was cut."""

    columns: list[dict[str, Any]]
    rows: list[list[str | None]]
    truncated: bool = False


class Workspace:
    """The catalog and who may see what."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.schemas = {SCHEMA, "shop"}
        self.denied: Container[str] = set()
        self.read_only = False
        self.truncate_rows: int | None = None
        self.inline_limit = INLINE_LIMIT
        cursor = engine.cursor()
        cursor.run(f"ATTACH ':memory:' AS {CATALOG}")
        for schema in self.schemas:
            cursor.run(f'CREATE SCHEMA {CATALOG}."{schema}"')
        cursor.close()

    def exists(self, cursor: Cursor, name: dialect.Name) -> bool:
        """Whether there is such a table or view."""
        return cursor.has(name)


def run(workspace: Workspace, asked: Submission, statement: Statement | None, force: bool = False) -> Result:
    """Runs one statement."""
    found = dialect.read(
        asked.statement, asked.catalog or CATALOG, asked.schema or SCHEMA, asked.parameters, workspace.read_only
    )
    _check_place(workspace, asked)
    cursor = workspace.engine.cursor()
    if statement:
        cursor.attach(statement)
    try:
        if found.kind != "SELECT":
            cursor.wait_for_writers()
        _check(workspace, found, cursor, force)
        result = _execute(workspace, found, cursor)
    except duckdb.Error as error:
        raise of_engine(error) from error
    finally:
        cursor.close()
    return _limited(workspace, asked, result)


def _check_place(workspace: Workspace, asked: Submission) -> None:
    """Catalog and schema of a request are used before its statement is."""
    if asked.catalog not in (None, CATALOG):
        raise StatementError("NO_SUCH_CATALOG_EXCEPTION", "42704", f"Catalog '{asked.catalog}' was not found.")
    if asked.schema is not None and asked.schema.lower() not in workspace.schemas:
        text = f"The schema `{CATALOG}`.`{asked.schema}` cannot be found."
        raise StatementError("SCHEMA_NOT_FOUND", "42704", text)


def _limited(workspace: Workspace, asked: Submission, result: Result) -> Result:
    """The limits of the request, of the disposition, and the one that a test sets."""
    for limit in (asked.row_limit, workspace.truncate_rows):
        if limit is not None and len(result.rows) > limit:
            result = Result(result.columns, result.rows[:limit], True)
    size = 0
    for at, row in enumerate(result.rows):
        size += sum(len(cell.encode()) for cell in row if cell is not None) + 3 * len(row)
        if asked.byte_limit is not None and size > asked.byte_limit:
            return Result(result.columns, result.rows[:at], True)
    if not asked.external and size > workspace.inline_limit:
        text = (
            f"Inline byte limit exceeded. A result with disposition INLINE has at most {workspace.inline_limit} bytes."
        )
        raise StatementError("INLINE_LIMIT", "54000", f"{text} Use EXTERNAL_LINKS.")
    return result


def _check(workspace: Workspace, found: dialect.Statement, cursor: Cursor, force: bool) -> None:
    for name in [*found.reads, *([found.target] if found.target else [])]:
        shown = ".".join(f"`{part}`" for part in name)
        if name[0] != CATALOG:
            raise StatementError("NO_SUCH_CATALOG_EXCEPTION", "42704", f"Catalog '{name[0]}' was not found.")
        if name[1] not in workspace.schemas:
            raise StatementError("SCHEMA_NOT_FOUND", "42704", f"The schema `{name[0]}`.`{name[1]}` cannot be found.")
        if ".".join(name) in workspace.denied and not force:
            text = f"Insufficient privileges: User does not have SELECT on Table {shown}."
            raise StatementError("INSUFFICIENT_PERMISSIONS", "42501", text)
    if workspace.read_only and found.kind != "SELECT" and not force:
        text = "Insufficient privileges: User does not have CREATE TABLE on Schema."
        if found.target and workspace.exists(cursor, found.target):
            shown = ".".join(f"`{part}`" for part in found.target)
            text = f"Insufficient privileges: User does not have MODIFY on Table {shown}."
        raise StatementError("INSUFFICIENT_PERMISSIONS", "42501", text)
    for name in found.reads:
        if not workspace.exists(cursor, name):
            raise table_missing(".".join(f"`{part}`" for part in name))


def _execute(workspace: Workspace, found: dialect.Statement, cursor: Cursor) -> Result:
    if found.kind.endswith("SCHEMA"):
        return _schema(workspace, found, cursor)
    if found.target and not _target(workspace, found, cursor):
        return Result([], [])
    sql = dialect.translate(found)
    if found.kind == "MERGE":
        _check_matches(found, cursor)
        actions = [row[0] for row in cursor.run(f"{sql} RETURNING merge_action").rows]
        counts = {name: actions.count(action) for name, action in _MERGED.items()}
        return _counts({"num_affected_rows": len(actions), **counts})
    rows = cursor.run(sql)
    if found.kind == "INSERT":
        return _counts({"num_affected_rows": rows.rows[0][0], "num_inserted_rows": rows.rows[0][0]})
    if found.kind in ("UPDATE", "DELETE"):
        return _counts({"num_affected_rows": rows.rows[0][0]})
    if found.kind == "CREATE TABLE" and found.target:
        cursor.run(f"COMMENT ON TABLE {_quoted(found.target)} IS '{time.time()}'")
    if found.kind != "SELECT":
        return Result([], [])
    return Result(values.columns(rows.columns), [[values.encode(cell) for cell in row] for row in rows.rows])


def _check_matches(found: dialect.Statement, cursor: Cursor) -> None:
    """Which of two rows of the source changes one of the target is not known, unless all that match are deleted."""
    matched = [when for when in found.expression.args["whens"].expressions if when.args.get("matched")]
    alone = len(matched) == 1 and not matched[0].args.get("condition")
    deletes = alone and isinstance(matched[0].args["then"], exp.Var)
    if matched and not deletes and cursor.run(dialect.matches(found.expression)).rows[0][0]:
        text = "Cannot perform Merge as multiple source rows matched and attempted to modify the same target row."
        raise StatementError("DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", "21506", text)


_MERGED = {"num_updated_rows": "UPDATE", "num_deleted_rows": "DELETE", "num_inserted_rows": "INSERT"}


def _counts(counts: dict[str, int]) -> Result:
    described = [
        {"name": name, "type_text": "BIGINT", "type_name": "LONG", "position": at} for at, name in enumerate(counts)
    ]
    return Result(described, [[str(count) for count in counts.values()]])


def _quoted(name: tuple[str, ...]) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name)


def _target(workspace: Workspace, found: dialect.Statement, cursor: Cursor) -> bool:
    """Whether there is something left to do with the table that a statement creates, drops or changes."""
    assert found.target
    args, there = found.expression.args, workspace.exists(cursor, found.target)
    shown = ".".join(f"`{part}`" for part in found.target)
    if found.kind.startswith("CREATE"):
        if there and args.get("exists"):
            return False
        if there and not args.get("replace"):
            text = f"Cannot create table or view {shown} because it already exists."
            raise StatementError("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07", text)
        if found.expression.expression is not None:
            _check_columns(found, cursor)
        return True
    if there:
        return True
    if found.kind.startswith("DROP") and args.get("exists"):
        return False
    raise table_missing(shown)


def _check_columns(found: dialect.Statement, cursor: Cursor) -> None:
    """A table has no two columns of one name, and none without a type."""
    inner = dialect.Statement(found.expression.expression, "SELECT")
    described = cursor.run("DESCRIBE " + dialect.translate(inner)).rows
    names = [str(row[0]).lower() for row in described]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise StatementError("COLUMN_ALREADY_EXISTS", "42711", f"The column `{twice}` already exists.")
    void = next((row[0] for row in described if row[1] == '"NULL"'), None)
    if void:
        text = f"Column `{void}` has a data type of void, which is not supported by Delta."
        raise StatementError("DELTA_UNSUPPORTED_DATA_TYPES", "0AKDC", text)


def _schema(workspace: Workspace, found: dialect.Statement, cursor: Cursor) -> Result:
    table = found.expression.find(exp.Table)
    name = [part.name.lower() for part in (table.parts if table else []) if part.name][-1]
    args = found.expression.args
    if found.kind == "CREATE SCHEMA":
        if name in workspace.schemas:
            if args.get("exists"):
                return Result([], [])
            text = f"Cannot create schema `{CATALOG}`.`{name}` because it already exists."
            raise StatementError("SCHEMA_ALREADY_EXISTS", "42P06", text)
        cursor.run(f"CREATE SCHEMA {_quoted((CATALOG, name))}")
        workspace.schemas.add(name)
        return Result([], [])
    if name not in workspace.schemas:
        if args.get("exists"):
            return Result([], [])
        raise StatementError("SCHEMA_NOT_FOUND", "42704", f"The schema `{CATALOG}`.`{name}` cannot be found.")
    held = cursor.run("SELECT 1 FROM duckdb_tables() WHERE schema_name = ?", [name]).rows
    if held and not args.get("cascade"):
        text = f"Cannot drop a schema `{CATALOG}`.`{name}` because it contains objects."
        raise StatementError("SCHEMA_NOT_EMPTY", "2BP01", text)
    cursor.run(f"DROP SCHEMA {_quoted((CATALOG, name))} CASCADE")
    workspace.schemas.discard(name)
    return Result([], [])
