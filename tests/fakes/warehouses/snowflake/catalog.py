"""Databases, schemas and tables of the account: looking names up, and the information schema."""

from __future__ import annotations

import json
import time
from typing import Any

import sqlglot
from sqlglot import exp

from ..engine import Cursor
from ..names import decode, encode
from .dialect import SPECIAL
from .errors import SnowflakeError, missing
from .session import Session

_TYPE_NAMES = """
CREATE MACRO sf_type_name(t) AS CASE
    WHEN t IN ('BIGINT', 'HUGEINT', 'INTEGER') OR t LIKE 'DECIMAL%' THEN 'NUMBER'
    WHEN t = 'VARCHAR' THEN 'TEXT' WHEN t = 'DOUBLE' THEN 'FLOAT' WHEN t = 'BLOB' THEN 'BINARY'
    WHEN t = 'TIMESTAMP' THEN 'TIMESTAMP_NTZ' WHEN t = 'TIMESTAMP WITH TIME ZONE' THEN 'TIMESTAMP_LTZ'
    WHEN t = 'JSON' THEN 'VARIANT' ELSE t END
"""
MACROS = (_TYPE_NAMES,)

_INFORMATION = {
    "TABLES": """
        SELECT decode_name(database_name) AS "TABLE_CATALOG", decode_name(schema_name) AS "TABLE_SCHEMA",
            decode_name(table_name) AS "TABLE_NAME", 'BACKFLOW' AS "TABLE_OWNER", 'BASE TABLE' AS "TABLE_TYPE",
            CASE WHEN CAST(comment AS JSON) ->> '$.transient' = 'true' THEN 'YES' ELSE 'NO' END AS "IS_TRANSIENT",
            estimated_size AS "ROW_COUNT",
            to_timestamp(CAST(CAST(comment AS JSON) ->> '$.created' AS DOUBLE)) AS "CREATED",
            to_timestamp(CAST(CAST(comment AS JSON) ->> '$.created' AS DOUBLE)) AS "LAST_ALTERED"
        FROM duckdb_tables() WHERE database_name = {database}
        UNION ALL SELECT decode_name(database_name), decode_name(schema_name), decode_name(view_name), 'BACKFLOW',
            'VIEW', 'NO', NULL, now(), now() FROM duckdb_views() WHERE database_name = {database} AND NOT internal""",
    "COLUMNS": """
        SELECT decode_name(database_name) AS "TABLE_CATALOG", decode_name(schema_name) AS "TABLE_SCHEMA",
            decode_name(table_name) AS "TABLE_NAME", decode_name(column_name) AS "COLUMN_NAME",
            column_index AS "ORDINAL_POSITION", CASE WHEN is_nullable THEN 'YES' ELSE 'NO' END AS "IS_NULLABLE",
            sf_type_name(data_type) AS "DATA_TYPE", numeric_precision AS "NUMERIC_PRECISION",
            numeric_scale AS "NUMERIC_SCALE"
        FROM duckdb_columns() WHERE database_name = {database} AND NOT internal""",
    "SCHEMATA": """
        SELECT decode_name(database_name) AS "CATALOG_NAME", decode_name(schema_name) AS "SCHEMA_NAME",
            'BACKFLOW' AS "SCHEMA_OWNER"
        FROM duckdb_schemas() WHERE database_name = {database} AND schema_name NOT IN ('main')""",
}


def _folded(identifier: exp.Expression | None) -> str | None:
    if not isinstance(identifier, exp.Identifier):
        return None
    return str(identifier.name if identifier.quoted else identifier.name.upper())


def full_name(table: exp.Table, session: Session, action: str) -> tuple[str, str, str]:
    """Database, schema and name of a table; parts that it does not say come from the session."""
    database, schema, name = _folded(table.args.get("catalog")), _folded(table.args.get("db")), _folded(table.this)
    database = database or session.database
    if database is None:
        raise SnowflakeError(
            422,
            "090105",
            f"Cannot perform {action}. This session does not have a current database. "
            "Call 'USE DATABASE', or use a qualified name.",
            "22000",
        )
    schema = schema or (session.schema if database == session.database else None) or "PUBLIC"
    return database, schema, name or ""


def resolve(statement: exp.Expression, session: Session, cursor: Cursor, action: str) -> list[tuple[str, str, str]]:
    """Qualifies every table in place and checks that it is there. Answers the tables that are read or written."""
    found = []
    target = statement.find(exp.Table) if isinstance(statement, exp.Create | exp.Drop) else None
    if isinstance(statement, exp.Create | exp.Drop) and statement.kind in ("SCHEMA", "DATABASE"):
        return []
    for table in list(statement.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or _names_cte(table):
            continue
        database, schema, name = full_name(table, session, action)
        check_schema(session, database, schema)
        if schema == "INFORMATION_SCHEMA":
            table.replace(_information(table, database, name))
            continue
        denied = f"{database}.{schema}.{name}" in session.account.denied
        if denied or (table is not target and not exists(cursor, database, schema, name)):
            raise missing("Object", f"{database}.{schema}.{name}")
        for part, text in (("catalog", database), ("db", schema), ("this", name)):
            table.set(part, exp.to_identifier(text, quoted=True))
        found.append((database, schema, name))
    return found


def check_schema(session: Session, database: str, schema: str) -> None:
    """Refuses a database or schema that is not there."""
    databases = session.account.databases
    if database not in databases:
        raise missing("Database", database)
    if schema not in databases[database] and schema != "INFORMATION_SCHEMA":
        raise missing("Schema", f"{database}.{schema}")


def _names_cte(table: exp.Table) -> bool:
    if table.args.get("db"):
        return False
    name, node = _folded(table.this), table.parent
    while node is not None:
        clause = node.args.get("with_") or node.args.get("with")
        if clause and any(_folded(cte.args["alias"].this) == name for cte in clause.expressions):
            return True
        node = node.parent
    return False


def _information(table: exp.Table, database: str, name: str) -> exp.Expression:
    if name not in _INFORMATION:
        raise missing("Object", f"{database}.INFORMATION_SCHEMA.{name}")
    text = _INFORMATION[name].format(database="'" + encode(database).replace("'", "''") + "'")
    inner = sqlglot.parse_one(text, read="duckdb")
    for identifier in inner.find_all(exp.Identifier):
        identifier.meta["engine"] = True
    alias = _folded(table.args["alias"].this) if table.args.get("alias") else name
    return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def exists(cursor: Cursor, database: str, schema: str, name: str) -> bool:
    """Whether there is such a table or view."""
    return cursor.has((encode(database), encode(schema), encode(name)))


def quoted(*parts: str) -> str:
    """A name in the engine's SQL."""
    return ".".join('"' + encode(part).replace('"', '""') + '"' for part in parts)


def note(cursor: Cursor, name: tuple[str, str, str], transient: bool, types: dict[str, str]) -> None:
    """Keeps beside a new table what the engine's catalog cannot say."""
    comment = json.dumps({"created": str(time.time()), "transient": transient, "types": types})
    cursor.run(f"COMMENT ON TABLE {quoted(*name)} IS '{comment.replace(chr(39), chr(39) * 2)}'")


def declared(cursor: Cursor, tables: list[tuple[str, str, str]]) -> dict[str, str]:
    """Columns of these tables whose Snowflake type the engine's type does not say, by name."""
    types: dict[str, str] = {}
    for database, schema, name in tables:
        rows = cursor.run(
            "SELECT comment FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ?",
            [encode(database), encode(schema), encode(name)],
        ).rows
        if rows and rows[0][0]:
            types.update(json.loads(rows[0][0])["types"])
    return types


def special_types(statement: exp.Expression, known: dict[str, str]) -> dict[str, str]:
    """Types of a statement's outputs, or of a new table's columns, that only Snowflake has."""
    types = dict(known)
    for definition in statement.find_all(exp.ColumnDef):
        kind = definition.args.get("kind")
        if kind is not None and kind.this.name in SPECIAL:
            types[_folded(definition.this) or ""] = SPECIAL[kind.this.name]
    query: Any = statement.expression if isinstance(statement, exp.Create) else statement
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    for projection in query.expressions if isinstance(query, exp.Select) else []:
        inner = projection.unalias()
        name = _folded(projection.args.get("alias")) or projection.alias_or_name.upper()
        if isinstance(inner, exp.Column) and (_folded(inner.this) or "") in known:
            types[name] = known[_folded(inner.this) or ""]
        elif isinstance(inner, exp.Cast) and inner.to.this.name in SPECIAL:
            types[name] = SPECIAL[inner.to.this.name]
        elif inner.meta.get("called", "").startswith("OBJECT_CONSTRUCT"):
            types[name] = "object"
    return types


def all_tables(cursor: Cursor) -> list[str]:
    """Every table of the account."""
    rows = cursor.run("SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal").rows
    return sorted(".".join(decode(part) for part in row) for row in rows)
