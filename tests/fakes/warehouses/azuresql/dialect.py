"""From T-SQL to DuckDB's: statements of a batch, names, types, what they touch, and what each column is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot import exp, tokens
from sqlglot.dialects.tsql import TSQL

from ..parsing import CALLED, SyntaxRefused, called, parse, strict, to_duckdb
from . import functions, shapes
from .errors import SqlError, line_of
from .kinds import Kind, of_sql

DIALECT = strict(TSQL, "StrictTransactSql")
JOINED = re.compile(r"\\\r?\n")
WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
SET = re.compile(
    r"SET\s+(LOCK_TIMEOUT\s+\d+|XACT_ABORT\s+ON|TRANSACTION\s+ISOLATION\s+LEVEL\s+(SNAPSHOT|READ\s+COMMITTED)"
    r"|(ANSI_\w+|ARITHABORT|CONCAT_NULL_YIELDS_NULL|CURSOR_CLOSE_ON_COMMIT|IMPLICIT_TRANSACTIONS|NOCOUNT"
    r"|QUOTED_IDENTIFIER)\s+(ON|OFF)|TEXTSIZE\s+\d+)",
    re.IGNORECASE,
)
USE = re.compile(r"\s*USE\s+(?:\[((?:[^\]]|\]\])+)\]|(\w+))\s*", re.IGNORECASE)
FUNCTIONS = frozenset(
    "ABS AVG CASE CAST CEILING CHARINDEX COALESCE CONCAT CONVERT COUNT COUNT_BIG DATALENGTH DATEADD DATEDIFF "
    "DB_NAME EXISTS FLOOR GREATEST HASHBYTES HAS_PERMS_BY_NAME IIF ISNULL LEAD LEAST LEFT LEN LOWER LTRIM MAX "
    "MIN NCHAR NULLIF OPENJSON REPLACE RIGHT ROUND ROW_NUMBER RTRIM SERVERPROPERTY STASTEXT SUBSTRING SUM "
    "SWITCHOFFSET SYSUTCDATETIME TOSTRING TRY_CAST UPPER USER_NAME".split()
)
# Functions of what the account is.
ANSWERED = frozenset("DB_NAME HAS_PERMS_BY_NAME SERVERPROPERTY SYSUTCDATETIME USER_NAME".split())
Name = tuple[str, str]
Columns = list[tuple[str, Kind | None]]


@dataclass
class Statement:
    """A checked statement: what it is, what it touches, and what its columns are."""

    kind: str
    expression: exp.Expression | None = None
    text: str = ""
    target: Name | None = None
    reads: list[Name] = field(default_factory=list)
    columns: Columns = field(default_factory=list)
    # What it throws if its query has rows.
    throws: SqlError | None = None


def batch(sql: str, catalog: dict[Name, Columns], utf8: bool) -> list[Statement]:
    """The statements of a batch; the server's error if it does not take one of them."""
    pieces = _pieces(shapes.body(sql))
    found = [_read(piece, catalog, utf8) for piece in pieces]
    if len(found) > 1 and any(statement.kind == "CREATE SCHEMA" for statement in found):
        raise SqlError(111, "'CREATE SCHEMA' must be the first statement in a query batch.", level=15)
    return found


def _pieces(sql: str) -> list[str]:
    """The texts between semicolons. What is no word of T-SQL is refused."""
    try:
        read = DIALECT.Tokenizer(dialect=DIALECT()).tokenize(sql)
    except Exception as error:
        raise SqlError(105, "Unclosed quotation mark after the character string.", level=15) from error
    pieces, start = [], 0
    for token in read:
        if token.token_type == tokens.TokenType.LIMIT:
            raise SqlError(102, "Incorrect syntax near 'LIMIT'.", token.line, level=15)
        if sql[token.start : token.start + 1] == "`":
            raise SqlError(102, "Incorrect syntax near '`'.", token.line, level=15)
        if token.token_type == tokens.TokenType.SEMICOLON:
            pieces.append(sql[start : token.start])
            start = token.end + 1
    pieces.append(sql[start:])
    return [piece for piece in pieces if piece.strip()]


def _read(sql: str, catalog: dict[Name, Columns], utf8: bool) -> Statement:
    if re.fullmatch(r"\s*SET\s.*", sql, re.IGNORECASE | re.DOTALL):
        if not SET.fullmatch(sql.strip()):
            raise SqlError(195, "SET: not a recognized SET option.", level=15)
        return Statement("SET", text=sql.strip())
    if used := USE.fullmatch(sql):
        return Statement("USE", text=used[1].replace("]]", "]") if used[1] else used[2])
    text = shapes.executed(sql)
    if text is not None:
        return Statement("EXECUTE", text=text)
    described = shapes.described(sql)
    if described:
        return Statement("PROPERTY", text=sql, target=described)
    guarded = shapes.guard(sql)
    if guarded:
        found = _read(guarded[0], catalog, utf8)
        found.kind, found.throws = "THROW", guarded[1]
        return found
    sql = shapes.unlocked(sql)
    try:
        parsed = parse(sql, DIALECT)
    except SyntaxRefused as refused:
        line = re.match(r"line (\d+)", str(refused))
        raise SqlError(102, "Incorrect syntax.", int(line[1]) if line else 1, level=15) from refused
    if len(parsed) != 1:
        raise SqlError(102, "Incorrect syntax.", level=15)
    expression = shapes.reshaped(parsed[0])
    _rules(expression, sql)
    found = Statement(_kind(expression), expression, sql)
    into = expression.args.get("into")
    if into:
        found.kind, found.target = "SELECT INTO", ((into.this.db or "dbo").lower(), into.this.name.lower())
        expression.set("into", None)
        if any(not isinstance(projection, exp.Alias | exp.Column | exp.Star) for projection in expression.selects):
            raise SqlError(1038, "An object or column name is missing or empty.")
    if found.kind not in ("CREATE SCHEMA", "TRANSACTION", "COMMIT", "ROLLBACK"):
        _names(found)
    if isinstance(expression, exp.Query):
        found.columns = _columns(expression, catalog, {}, utf8)
    elif found.kind == "CREATE TABLE":
        for column in expression.find_all(exp.ColumnDef):
            kind = of_sql(column.args["kind"], utf8)
            if kind is None:
                raise SqlError(2715, "Column, parameter, or variable: Cannot find data type.")
            found.columns.append((column.name, kind))
    return found


def executed(sql: str, catalog: dict[Name, Columns], utf8: bool) -> Statement:
    """A statement in a text, which is read when those before it have had their effect. Lines are counted in it."""
    pieces = _pieces(sql)
    if len(pieces) != 1:
        raise SqlError(102, "Incorrect syntax.", level=15)
    found = _read(pieces[0], catalog, utf8)
    if found.kind == "MERGE" and not sql.rstrip().endswith(";"):
        raise SqlError(10713, "A MERGE statement must be terminated by a semi-colon (;).", level=15)
    return found


def _kind(expression: exp.Expression) -> str:
    if isinstance(expression, exp.Query):
        return "SELECT"
    if isinstance(expression, (*WRITES, exp.Transaction, exp.Commit, exp.Rollback)):
        return str(expression.key).upper()
    kind = str(expression.args.get("kind"))
    if isinstance(expression, exp.Alter) and kind == "TABLE":
        return "ALTER TABLE"
    if isinstance(expression, exp.Create) and kind in ("INDEX", "CLUSTERED INDEX") and expression.this.this:
        return "CREATE INDEX"
    if isinstance(expression, exp.Create | exp.Drop) and kind in ("TABLE", "SCHEMA"):
        if expression.args.get("exists") and isinstance(expression, exp.Create):
            raise SqlError(156, "Incorrect syntax near the keyword 'IF'.", level=15)
        return f"{str(expression.key).upper()} {kind}"
    raise SqlError(102, "Incorrect syntax near the statement.", level=15)


def _rules(expression: exp.Expression, sql: str) -> None:
    """What T-SQL does not allow and the parser would take."""
    # How a table is distributed is said as by a function.
    for name in called(expression.this if isinstance(expression, exp.Create) else expression):
        if name not in FUNCTIONS:
            text = f"'{name.lower()}' is not a recognized built-in function name."
            raise SqlError(195, text, line_of(sql, name), level=15)
    shapes.conditions(expression)
    shapes.ordered(expression)
    derived = [*expression.find_all(exp.CTE), *expression.find_all(exp.Subquery)]
    for outer in derived:
        inner = outer.this
        if isinstance(outer, exp.Subquery) and not outer.alias and isinstance(outer.parent, exp.From | exp.Join):
            raise SqlError(102, "Incorrect syntax near ')'.", level=15)
        if inner.args.get("with_") or inner.args.get("with"):
            raise SqlError(156, "Incorrect syntax near the keyword 'WITH'.", line_of(sql, "with"), level=15)
        if inner.args.get("order") and not (inner.args.get("limit") or inner.args.get("offset")):
            text = "The ORDER BY clause is invalid in views, derived tables, and common table expressions"
            raise SqlError(1033, text, line_of(sql, "order by"), level=15)
        seen: set[str] = set()
        for at, projection in enumerate(inner.selects if outer.alias else [], 1):
            named = isinstance(projection, exp.Alias | exp.Column)
            name = projection.alias_or_name.lower() if named else ""
            if projection.is_star:
                continue
            if not name and not outer.args["alias"].args.get("columns"):
                raise SqlError(8155, f"No column name was specified for column {at} of '{outer.alias}'.")
            if name and name in seen:
                text = f"The column '{projection.alias_or_name}' was specified multiple times for '{outer.alias}'."
                raise SqlError(8156, text)
            seen.add(name)


def _names(found: Statement) -> None:
    expression = found.expression
    assert expression is not None
    writes = isinstance(expression, (exp.Create, exp.Drop, exp.Alter, *WRITES))
    target = expression.find(exp.Table) if writes else None
    known = {cte.alias.lower() for cte in expression.find_all(exp.CTE)}
    for table in list(expression.find_all(exp.Table)):
        if not table.db and table.name.lower() in known:
            continue
        name = ((table.db or "dbo").lower(), table.name.lower())
        if name[0] == "sys":
            _catalog(table, name[1])
            continue
        table.set("catalog", None)
        table.set("db", exp.to_identifier(name[0], quoted=True))
        table.set("this", exp.to_identifier(name[1], quoted=True))
        if table is target:
            found.target = name
            continue
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name[1], quoted=True)))
        found.reads.append(name)


_VIEWS = {
    "schemas": "SELECT schema_name AS name, oid AS schema_id FROM duckdb_schemas() WHERE database_name = 'memory'",
    "tables": "SELECT t.table_name AS name, t.schema_oid AS schema_id, t.table_oid AS object_id "
    "FROM duckdb_tables() AS t WHERE t.database_name = 'memory'",
    "columns": "SELECT c.column_name AS name, c.table_oid AS object_id, c.column_index AS column_id "
    "FROM duckdb_columns() AS c WHERE c.database_name = 'memory'",
    "databases": "SELECT 'shop' AS name, 1 AS snapshot_isolation_state, TRUE AS is_read_committed_snapshot_on",
}


def _catalog(table: exp.Table, view: str) -> None:
    if view not in _VIEWS:
        raise SqlError(208, f"Invalid object name 'sys.{view}'.")
    inner = exp.maybe_parse(_VIEWS[view], dialect="duckdb")
    table.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(table.alias or view))))


def _columns(query: exp.Expression, catalog: dict[Name, Columns], outer: dict[str, Columns], utf8: bool) -> Columns:
    """The names of a query's columns with the types that they were declared with, as far as they can be followed."""
    ctes = dict(outer)
    clause = query.args.get("with_") or query.args.get("with")
    for cte in clause.expressions if clause else []:
        named = _columns(cte.this, catalog, ctes, utf8)
        given = cte.args["alias"].args.get("columns") or []
        ctes[cte.alias.lower()] = [
            (given[at].name if at < len(given) else name, kind) for at, (name, kind) in enumerate(named)
        ]
    while isinstance(query, exp.Subquery):
        query = query.this
    if isinstance(query, exp.SetOperation):
        return _columns(query.this, catalog, ctes, utf8)
    sources: dict[str, Columns] = {}
    start = query.args.get("from_") or query.args.get("from")
    for place in [start, *(query.args.get("joins") or [])]:
        source = place.this if place else None
        if isinstance(source, exp.Table):
            known = ctes.get(source.name.lower()) if not source.db else None
            if known is None:
                known = catalog.get((source.db.lower(), source.name.lower()), [])
            sources[source.alias_or_name.lower()] = known
        elif isinstance(source, exp.Subquery):
            sources[source.alias.lower()] = _columns(source.this, catalog, ctes, utf8)
    found: Columns = []
    for projection in query.selects:
        if isinstance(projection, exp.Star):
            found += [column for source in sources.values() for column in source]
        elif isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
            found += sources.get(projection.table.lower(), [])
        else:
            found.append((projection.alias_or_name, _type(projection.unalias(), sources, utf8)))
    return found


def _type(node: exp.Expression, sources: dict[str, Columns], utf8: bool) -> Kind | None:
    if isinstance(node, exp.Cast):
        return of_sql(node.to, utf8)
    if isinstance(node, exp.Column):
        for name, source in sources.items():
            if node.table and node.table.lower() != name:
                continue
            for column, kind in source:
                if column.lower() == node.name.lower():
                    return kind
    return None


def translate(expression: exp.Expression, constants: dict[str, exp.Expression]) -> str:
    """The statement in DuckDB's SQL; `constants` are calls that the account answers."""
    copy = expression.copy()
    functions.marked(copy)
    for node in list(copy.walk(bfs=False))[::-1]:
        replacement = _rewrite(node, constants)
        if replacement is None:
            node.pop()
        elif replacement is not node:
            node.replace(replacement)
    if isinstance(copy, exp.Create):
        copy.set("properties", None)
    return to_duckdb(copy)


def _rewrite(node: exp.Expression, constants: dict[str, exp.Expression]) -> exp.Expression | None:
    if isinstance(node, exp.National) or (isinstance(node, exp.Literal) and node.is_string):
        # A backslash at the end of a line joins it with the next.
        return exp.Literal.string(JOINED.sub("", node.name))
    if isinstance(node, exp.DataType):
        kind = of_sql(node)
        return kind.duck() if kind else node
    if isinstance(node, exp.ColumnConstraint) and isinstance(node.kind, exp.CollateColumnConstraint):
        return None
    if isinstance(node, exp.Ordered) and isinstance(node.parent, exp.PrimaryKey):
        return node.this.copy()
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous | exp.Func):
        return exp.cast(node.this.copy(), "text", dialect="duckdb")
    # To write every call down takes most of the time that a statement takes.
    answered = bool(node._meta) and node._meta.get(CALLED) in ANSWERED
    key = node.sql(dialect=DIALECT).upper() if answered else ""
    if key in constants:
        return constants[key].copy()
    if key == "SYSUTCDATETIME()":
        return exp.maybe_parse("CAST(now() AT TIME ZONE 'UTC' AS TIMESTAMP)", dialect="duckdb")
    return functions.rewritten(node)
