"""SHOW: what is there and who may what, without a warehouse."""

from __future__ import annotations

import re
import time

from sqlglot import exp

from ..engine import Cursor
from ..names import decode, encode
from . import catalog
from .errors import SnowflakeError, missing
from .session import Account, Session

_PLAIN = re.compile(r"[A-Z_][A-Z0-9_$]*")
Table = tuple[list[str], list[tuple[str | None, ...]]]


def show(statement: exp.Show, session: Session, cursor: Cursor) -> Table:
    """Names of the columns and the rows of a SHOW statement."""
    kind = statement.name.upper()
    if kind == "GRANTS":
        scope = statement.args["scope"]
        return _grants(session.account, scope.name if scope.quoted else scope.name.upper(), cursor)
    like = statement.args.get("like")
    pattern = re.compile(_like(like.name if like is not None else "%"), re.IGNORECASE)
    scope, scope_kind = statement.args.get("scope"), statement.args.get("scope_kind")
    parts = [part.name if part.quoted else part.name.upper() for part in scope.parts] if scope is not None else []
    if kind == "SCHEMAS":
        database = parts[0] if parts else session.database
        if database not in session.account.databases:
            raise _absent()
        names = sorted(name for name in session.account.databases[database] if pattern.fullmatch(name))
        return ["created_on", "name", "database_name"], [(_now(), name, database) for name in names]
    if scope_kind != "SCHEMA":
        raise SnowflakeError(
            422, "000002", "Unsupported feature 'SHOW TABLES without IN SCHEMA in this fake'.", "0A000"
        )
    database, schema = parts if len(parts) == 2 else (session.database or "", parts[0])
    if schema not in session.account.databases.get(database, set()):
        raise _absent()
    found = cursor.run(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? ORDER BY 1",
        [encode(database), encode(schema)],
    )
    names = [name for name in (decode(row[0]) for row in found.rows) if pattern.fullmatch(name)]
    columns = ["created_on", "name", "database_name", "schema_name", "kind", "comment"]
    return columns, [(_now(), name, database, schema, "TABLE", "") for name in names]


def _like(pattern: str) -> str:
    return "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)


def _now() -> str:
    return f"{time.time():.6f}000"


def _absent() -> SnowflakeError:
    text = "SQL compilation error:\nObject does not exist, or operation cannot be performed."
    return SnowflakeError(422, "002043", text, "02000")


def _quoted(*parts: str) -> str:
    """A name as SHOW prints it: in double quotes where SQL would want them."""
    return ".".join(part if _PLAIN.fullmatch(part) else '"' + part.replace('"', '""') + '"' for part in parts)


def _grants(account: Account, role: str, cursor: Cursor) -> Table:
    """The grants of a role: to read everything that is not denied, and to write unless the role may only read."""
    if role not in account.roles:
        raise missing("Role", role)
    given: list[tuple[str, str, str]] = []
    if role == account.default_role:
        given += [("USAGE", "WAREHOUSE", _quoted(name)) for name in account.warehouses]
        for database, schemas in account.databases.items():
            given.append(("USAGE", "DATABASE", _quoted(database)))
            given += [("USAGE", "SCHEMA", _quoted(database, schema)) for schema in sorted(schemas)]
            if not account.read_only:
                given.append(("CREATE SCHEMA", "DATABASE", _quoted(database)))
                given += [("CREATE TABLE", "SCHEMA", _quoted(database, schema)) for schema in sorted(schemas)]
        privilege = "SELECT" if account.read_only else "OWNERSHIP"
        for full in catalog.all_tables(cursor):
            if full not in account.denied:
                given.append((privilege, "TABLE", _quoted(*full.split("."))))
    columns = ["created_on", "privilege", "granted_on", "name", "granted_to", "grantee_name", "grant_option"]
    return columns, [(_now(), what, kind, name, "ROLE", role, "false") for what, kind, name in given]
