"""From BigQuery's GoogleSQL to DuckDB's: which statements there are, names, types, and what they touch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

from ..names import encode
from ..parsing import CALLED, SyntaxRefused, parse, strict, to_duckdb
from . import errors
from .functions import FUNCTIONS

DIALECT = strict(BigQuery, "StrictBigQuery")
MAX_QUERY = 1024 * 1024
WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable)
_TRANSACTIONS = (exp.Transaction, exp.Commit, exp.Rollback)
_DDL = (exp.Create, exp.Drop, exp.Alter)
_TYPES = {"DECIMAL": "DECIMAL(38, 9)", "BIGDECIMAL": "DECIMAL(38, 18)"}

Name = tuple[str, str, str]


@dataclass
class Query:
    """A checked statement: what it is, what it touches."""

    expression: exp.Expression
    statement_type: str
    target: Name | None = None
    reads: list[Name] = field(default_factory=list)


Parameter = tuple[str | None, str, str | None]  # name, type, value


def read(sql: str, project: str, dataset: str | None, parameters: tuple[Parameter, ...]) -> list[Query]:
    """Parses a statement, or a script of several, and qualifies the tables; BigQuery's refusal otherwise."""
    if len(sql) > MAX_QUERY:
        raise errors.BigQueryError(
            "invalid", "The query is too large. The maximum query length is 1024.00K characters."
        )
    try:
        statements = parse(sql, DIALECT)
    except SyntaxRefused as refused:
        raise errors.query(f"Syntax error: {refused}") from refused
    if not statements:
        raise errors.query("Syntax error: Unexpected end of statement at [1:1]")
    if len(statements) == 1 and isinstance(statements[0], _TRANSACTIONS):
        raise errors.query("Transaction control statements are supported only in scripts or sessions")
    position = 0
    queries = []
    for statement in statements:
        _check(statement)
        position = _bind(statement, parameters, position)
        query = Query(statement, _statement_type(statement))
        if query.statement_type not in ("CREATE_SCHEMA", "DROP_SCHEMA"):
            _qualify(query, project, dataset)
        queries.append(query)
    return queries


def _bind(statement: exp.Expression, parameters: tuple[Parameter, ...], position: int) -> int:
    """Puts parameters in their places; answers how many positional ones were used so far."""
    for node in list(statement.find_all(exp.Placeholder, exp.Parameter, bfs=False)):
        name = node.name if isinstance(node, exp.Parameter) else None
        if name is None:
            found = parameters[position] if position < len(parameters) else None
            position += 1
        else:
            found = next((one for one in parameters if (one[0] or "").lower() == name.lower()), None)
        if found is None or (name is None) != (found[0] is None):
            raise errors.query(f"Query parameter {name or position} not found at [1:1]")
        literal = exp.Null() if found[2] is None else exp.Literal.string(found[2])
        node.replace(exp.cast(literal, exp.DataType.build(found[1], dialect="bigquery")))
    return position


def _statement_type(statement: exp.Expression) -> str:
    if isinstance(statement, exp.Query):
        return "SELECT"
    if isinstance(statement, _TRANSACTIONS):
        word = "BEGIN" if isinstance(statement, exp.Transaction) else str(statement.key).upper()
        return f"{word}_TRANSACTION"
    if isinstance(statement, exp.TruncateTable):
        return "TRUNCATE_TABLE"
    if isinstance(statement, WRITES):
        return str(statement.key).upper()
    kind = str(statement.args.get("kind"))
    if isinstance(statement, exp.Create) and kind in ("TABLE", "VIEW", "SCHEMA"):
        if statement.find(exp.TemporaryProperty):
            raise errors.query("CREATE TEMPORARY TABLE is only allowed in a script or a session")
        return f"CREATE_{kind}" + ("_AS_SELECT" if kind == "TABLE" and statement.expression else "")
    if isinstance(statement, exp.Drop) and kind in ("TABLE", "VIEW", "SCHEMA"):
        return f"DROP_{kind}"
    if isinstance(statement, exp.Alter) and kind == "TABLE":
        return "ALTER_TABLE"
    if isinstance(statement, exp.Condition | exp.Alias | exp.Tuple):
        near = statement.sql(dialect="bigquery")[:40]
        raise errors.query(f'Syntax error: Unexpected "{near}" at [1:1]')
    raise errors.query(f"Syntax error: {statement.key.upper()} is no statement that this fake runs")


def _check(statement: exp.Expression) -> None:
    """Refuses what GoogleSQL has not, node by node."""
    # Page "Data manipulation language syntax".
    if isinstance(statement, exp.Update | exp.Delete) and statement.args.get("where") is None:
        raise errors.query(f"{statement.key.upper()} must have a WHERE clause at [1:1]")
    for node in statement.walk():
        name = node.meta.get(CALLED) if node._meta else None
        if name and name not in FUNCTIONS:
            raise errors.query(f"Function not found: {name} at [1:1]")
        match node:
            # Page "Query syntax".
            case exp.Join() if node.side == "FULL":
                on = node.args.get("on")
                parts = on.flatten() if isinstance(on, exp.And) else [on]
                if not any(isinstance(part, exp.EQ) for part in parts):
                    text = "FULL OUTER JOIN cannot be used without a condition that is an equality of fields from both"
                    raise errors.query(f"{text} sides of the join.")
            # Page "Navigation functions".
            case exp.Window() if isinstance(node.this, exp.Lead | exp.Lag) and not node.args.get("order"):
                raise errors.query(f"Window ORDER BY is required for analytic function {node.this.key} at [1:1]")


def _qualify(query: Query, project: str, dataset: str | None) -> None:
    target = None
    if isinstance(query.expression, (*_DDL, *WRITES)):
        target = query.expression.find(exp.Table)
    for table in list(query.expression.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or _names_cte(table):
            continue
        parts = [part for piece in table.parts for part in piece.name.split(".")]
        if len(parts) > 1 and parts[-2].upper() == "INFORMATION_SCHEMA":
            _information(table, parts, project)
            continue
        if len(parts) == 1:
            if dataset is None:
                text = f'Table "{parts[0]}" must be qualified with a dataset (e.g. dataset.table).'
                raise errors.BigQueryError("invalid", text)
            parts = [dataset, *parts]
        name: Name = (parts[-3] if len(parts) > 2 else project, parts[-2], parts[-1])
        for key, part in zip(("catalog", "db", "this"), name, strict=True):
            identifier = exp.to_identifier(encode(part), quoted=True)
            table.set(key, identifier)
        if not table.alias and table is not target:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name[2], quoted=True)))
        if table is target:
            query.target = name
        else:
            query.reads.append(name)


def _names_cte(table: exp.Table) -> bool:
    if table.args.get("db"):
        return False
    node = table.parent
    while node is not None:
        clause = node.args.get("with_") or node.args.get("with")
        if clause and any(cte.alias.lower() == table.name.lower() for cte in clause.expressions):
            return True
        node = node.parent
    return False


_VIEWS = {
    "TABLES": """SELECT database_name AS table_catalog, decode_name(schema_name) AS table_schema,
        decode_name(table_name) AS table_name, 'BASE TABLE' AS table_type,
        to_timestamp(CAST(CAST(comment AS JSON) ->> '$.created' AS DOUBLE)) AS creation_time
        FROM duckdb_tables() WHERE NOT internal AND {where}""",
    "COLUMNS": """SELECT database_name AS table_catalog, decode_name(schema_name) AS table_schema,
        decode_name(table_name) AS table_name, column_name, column_index AS ordinal_position,
        CASE WHEN is_nullable THEN 'YES' ELSE 'NO' END AS is_nullable, data_type
        FROM duckdb_columns() WHERE NOT internal AND {where}""",
    "SCHEMATA": """SELECT database_name AS catalog_name, decode_name(schema_name) AS schema_name
        FROM duckdb_schemas() WHERE NOT internal AND {where}""",
}


def _information(table: exp.Table, parts: list[str], project: str) -> None:
    view, owner = parts[-1].upper(), parts[:-2]
    if view not in _VIEWS:
        raise errors.BigQueryError("notFound", f"Not found: Table {project}:INFORMATION_SCHEMA.{parts[-1]}")
    where = "schema_name <> 'main'"
    if owner and not owner[-1].startswith("region-") and view != "SCHEMATA":
        where = f"schema_name = '{encode(owner[-1]).replace(chr(39), chr(39) * 2)}'"
    inner = exp.maybe_parse(_VIEWS[view].format(where=where), dialect="duckdb")
    alias = table.alias or parts[-1]
    table.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias))))


def translate(query: Query) -> str:
    """The statement in DuckDB's SQL."""
    copy = query.expression.copy()
    _name_outputs(copy)
    for node in list(copy.walk()):
        said = _said(node)
        if said is None:
            node.pop()
        elif said is not node:
            node.replace(said)
    if isinstance(copy, exp.Create):
        copy.set("properties", None)
    return to_duckdb(copy)


def _said(node: exp.Expression) -> exp.Expression | None:
    """What DuckDB says instead; None: nothing."""
    match node:
        case exp.DataType():
            kind = node.this.name if isinstance(node.this, exp.DataType.Type) else str(node.this)
            if kind in _TYPES and not node.expressions:
                return exp.DataType.build(_TYPES[kind], dialect="duckdb")
        case exp.ColumnConstraint():
            kept = isinstance(node.kind, exp.NotNullColumnConstraint | exp.DefaultColumnConstraint)
            return node if kept else None
        case exp.PrimaryKey() | exp.ForeignKey():
            return None
        case exp.Format():
            return _printed(node)
        case exp.ByteLength():
            return exp.Anonymous(this="bq_byte_length", expressions=[node.this])
        case exp.CountIf():
            # DuckDB's has no number for a condition that is NULL in all rows.
            return exp.Count(this=exp.case().when(node.this, exp.Literal.number(1)))
        case exp.Anonymous() if node.name.upper() == "ARRAY_LENGTH":
            node.set("this", "bq_array_length")
    return node


def _printed(text: exp.Format) -> exp.Expression:
    """FORMAT of one number, in a form that C's printf has, too."""
    pattern = text.this.name if text.this.is_string else ""
    if not re.fullmatch(r"%(\.\d+)?[dfg]", pattern) or len(text.expressions) != 1:
        raise errors.query("This fake prints one number, with a pattern such as %.17g")
    return exp.Anonymous(this="printf", expressions=[text.this, *text.expressions])


def _name_outputs(statement: exp.Expression) -> None:
    """Unnamed outputs are f0_, f1_ and so on; a new table may not have any."""
    creates = isinstance(statement, exp.Create)
    query = statement.expression if creates else statement
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        return
    unnamed = 0
    for at, projection in enumerate(list(query.expressions)):
        if isinstance(projection, exp.Alias | exp.Column | exp.Star | exp.Dot):
            continue
        if creates:
            raise errors.query(f"CREATE TABLE columns must be named, but column {at + 1} has no name")
        projection.replace(exp.alias_(projection.copy(), f"f{unnamed}_", quoted=True))
        unnamed += 1


def expiration(statement: exp.Expression) -> str | None:
    """The text of the option expiration_timestamp of a new table."""
    for option in statement.find_all(exp.Property):
        if option.name.lower() == "expiration_timestamp":
            found = option.args["value"].find(exp.Literal)
            return str(found.this) if found else None
    return None
