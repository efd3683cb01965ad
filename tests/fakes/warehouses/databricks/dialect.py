"""From Databricks SQL to DuckDB's: which statements there are, names, types, functions, and what they touch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.dialects.databricks import Databricks

from ..parsing import CALLED, SyntaxRefused, called, parse, strict, to_duckdb
from .errors import StatementError
from .functions import FUNCTIONS

DIALECT = strict(Databricks, "StrictDatabricks")
WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable)
_BAD_NAME = re.compile(r"[ ,;{}()\n\t=]")
# Types of parameters (reference of executeStatement).
_PARAMETER_TYPE = re.compile(
    r"(?i)BIGINT|BINARY|BOOLEAN|DATE|DECIMAL(\(\d{1,2}(,\s*\d{1,2})?\))?|DOUBLE|FLOAT|INT|SMALLINT|STRING|TIMESTAMP"
    r"|TIMESTAMP_NTZ|TINYINT"
)
Name = tuple[str, str, str]


@dataclass
class Statement:
    """A checked statement: what it is, what it touches."""

    expression: exp.Expression
    kind: str
    target: Name | None = None
    reads: list[Name] = field(default_factory=list)


def read(
    sql: str, catalog: str, schema: str, parameters: dict[str, tuple[str | None, str]], read_only: bool = False
) -> Statement:
    """Parses one statement and qualifies its tables; Databricks' error otherwise."""
    try:
        statements = parse(sql, DIALECT)
    except SyntaxRefused as refused:
        raise StatementError("PARSE_SYNTAX_ERROR", "42601", f"Syntax error: {refused}.") from refused
    if not statements:
        raise StatementError("PARSE_EMPTY_STATEMENT", "42617", "Syntax error, unexpected empty statement.")
    if len(statements) > 1:
        raise StatementError("PARSE_SYNTAX_ERROR", "42601", "Syntax error at or near ';': extra input.")
    statement = statements[0]
    found = Statement(statement, _kind(statement))
    for name in called(statement):
        if name not in FUNCTIONS:
            text = f"Cannot resolve routine `{name.lower()}` on search path."
            raise StatementError("UNRESOLVED_ROUTINE", "42883", text)
    _check_windows(statement)
    _bind(statement, parameters)
    if not found.kind.endswith("SCHEMA"):
        _qualify(found, catalog, schema, read_only)
    return found


def _kind(statement: exp.Expression) -> str:
    if isinstance(statement, exp.Query):
        return "SELECT"
    if isinstance(statement, WRITES):
        return str(statement.key).upper()
    kind = str(statement.args.get("kind"))
    if isinstance(statement, exp.Create | exp.Drop) and kind in ("TABLE", "VIEW", "SCHEMA"):
        if statement.find(exp.TemporaryProperty):
            raise StatementError("UNSUPPORTED_FEATURE", "0A000", "Temporary tables need a session.")
        return f"{str(statement.key).upper()} {kind}"
    if isinstance(statement, exp.Alter) and kind == "TABLE":
        return "ALTER TABLE"
    if isinstance(statement, exp.Condition | exp.Alias | exp.Tuple):
        near = statement.sql(dialect="databricks")[:40]
        raise StatementError("PARSE_SYNTAX_ERROR", "42601", f"Syntax error at or near '{near}'.")
    text = f"Syntax error: {statement.key.upper()} is no statement that this fake runs."
    raise StatementError("PARSE_SYNTAX_ERROR", "42601", text)


_ORDERED = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist, exp.Ntile, exp.Lead, exp.Lag)


def _check_windows(statement: exp.Expression) -> None:
    """Functions that are about an order of rows need one."""
    for window in statement.find_all(exp.Window):
        if isinstance(window.this, _ORDERED) and not window.args.get("order"):
            text = f"Window function {window.this.sql(dialect='databricks')} requires window to be ordered."
            raise StatementError("_LEGACY_ERROR_TEMP_1037", "42K0E", text)


def _bind(statement: exp.Expression, parameters: dict[str, tuple[str | None, str]]) -> None:
    """Named markers only, as the API has it."""
    for node in list(statement.find_all(exp.Placeholder, exp.Parameter)):
        if node.name not in parameters:
            text = f"Found the unbound parameter: {node.name or '?'}."
            raise StatementError("UNBOUND_SQL_PARAMETER", "42P02", text)
        value, kind = parameters[node.name]
        if not _PARAMETER_TYPE.fullmatch(kind):
            raise StatementError("UNSUPPORTED_DATATYPE", "0A000", f'Unsupported data type "{kind}".')
        literal = exp.Null() if value is None else exp.Literal.string(value)
        node.replace(exp.cast(literal, exp.DataType.build(kind, dialect="databricks")))


def _qualify(found: Statement, catalog: str, schema: str, read_only: bool) -> None:
    statement = found.expression
    creates = isinstance(statement, exp.Create | exp.Drop | exp.Alter)
    target = statement.find(exp.Table) if creates or isinstance(statement, WRITES) else None
    for table in list(statement.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or _names_cte(table):
            continue
        parts = [piece.name.lower() for piece in table.parts]
        if len(parts) > 1 and parts[-2] == "information_schema":
            _information(table, parts, catalog, read_only)
            continue
        defaults = [catalog, schema]
        name: Name = (*defaults[: 3 - len(parts)], *parts) if len(parts) < 3 else tuple(parts)
        for key, part in zip(("catalog", "db", "this"), name, strict=True):
            table.set(key, exp.to_identifier(part, quoted=True))
        if table is target:
            found.target = name
            continue
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name[2], quoted=True)))
        found.reads.append(name)


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
    "tables": """SELECT database_name AS table_catalog, schema_name AS table_schema, table_name,
        'MANAGED' AS table_type, 'DELTA' AS data_source_format,
        to_timestamp(CAST(comment AS DOUBLE)) AS created
        FROM duckdb_tables() WHERE NOT internal AND database_name = '{catalog}'""",
    "columns": """SELECT database_name AS table_catalog, schema_name AS table_schema, table_name, column_name,
        column_index - 1 AS ordinal_position, CASE WHEN is_nullable THEN 'YES' ELSE 'NO' END AS is_nullable, data_type
        FROM duckdb_columns() WHERE NOT internal AND database_name = '{catalog}'""",
    "schemata": """SELECT database_name AS catalog_name, schema_name, 'owner@example.com' AS schema_owner
        FROM duckdb_schemas() WHERE NOT internal AND database_name = '{catalog}'""",
    "catalogs": "SELECT '{catalog}' AS catalog_name, 'owner@example.com' AS catalog_owner",
    "catalog_privileges": """SELECT 'account users' AS grantee, '{catalog}' AS catalog_name, privilege_type
        FROM (VALUES ('USE_CATALOG'), ('CREATE_SCHEMA')) AS granted(privilege_type)
        WHERE privilege_type <> 'CREATE_SCHEMA' OR NOT {read_only}""",
    "schema_privileges": """SELECT 'account users' AS grantee, database_name AS catalog_name, schema_name, privilege_type
        FROM duckdb_schemas(), (VALUES ('USE_SCHEMA'), ('CREATE_TABLE')) AS granted(privilege_type)
        WHERE NOT internal AND database_name = '{catalog}'
        AND (privilege_type <> 'CREATE_TABLE' OR NOT {read_only})""",
}


def _information(table: exp.Table, parts: list[str], catalog: str, read_only: bool) -> None:
    view, owner = parts[-1], parts[0] if len(parts) == 3 else catalog
    if view not in _VIEWS:
        text = f"The table or view `information_schema`.`{view}` cannot be found."
        raise StatementError("TABLE_OR_VIEW_NOT_FOUND", "42P01", text)
    text = _VIEWS[view].format(catalog=owner.replace("'", "''"), read_only=str(read_only).upper())
    inner = exp.maybe_parse(text, dialect="duckdb")
    table.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(table.alias or view))))


def translate(found: Statement) -> str:
    """The statement in DuckDB's SQL."""
    copy = found.expression.copy()
    _name_outputs(copy)
    for node in list(copy.walk(bfs=False))[::-1]:
        replacement = _rewrite(node)
        if replacement is not node:
            node.replace(replacement)
    if isinstance(copy, exp.Create):
        copy.set("properties", None)
    return to_duckdb(copy)


def matches(merge: exp.Merge) -> str:
    """How many rows of a MERGE's target have more than one of its source, in DuckDB's SQL."""
    copy = Statement(merge.copy(), "MERGE").expression
    target, alias = copy.this, copy.this.alias_or_name
    inner = exp.select(exp.column("rowid", table=alias)).from_(target).join(copy.args["using"], on=copy.args["on"])
    inner = inner.group_by(exp.column("rowid", table=alias)).having("COUNT(*) > 1")
    return translate(Statement(exp.select("COUNT(*)").from_(inner.subquery("twice")), "SELECT"))


def _name_outputs(statement: exp.Expression) -> None:
    """Unnamed outputs are named by their text; a Delta table takes no such name."""
    creates = isinstance(statement, exp.Create)
    query = statement.expression if creates else statement
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    for projection in list(query.expressions) if isinstance(query, exp.Select) else []:
        if isinstance(projection, exp.Alias | exp.Column | exp.Star | exp.Dot):
            continue
        name = projection.sql(dialect="databricks")
        if creates and _BAD_NAME.search(name):
            text = f"Found invalid character(s) among ' ,;{{}}()\\n\\t=' in the column names of your schema: {name}."
            raise StatementError("DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES", "42K05", text)
        projection.replace(exp.alias_(projection.copy(), name, quoted=True))


def _rewrite(node: exp.Expression) -> exp.Expression:
    name = node.meta.get(CALLED) if node._meta else None
    if name == "TO_JSON":
        return _to_json(node)
    if name == "FROM_JSON":
        return _from_json(node)
    if name == "XXHASH64":
        items = [exp.cast(item.copy(), "text") for item in _arguments(node)]
        return exp.func("db_hash", exp.Array(expressions=items))
    if isinstance(node, exp.Cast) and node.to.this in (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR):
        return node if isinstance(node.parent, exp.Array) else exp.func("db_text", node.this.copy())
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.VARIANT:
        return exp.DataType.build("JSON", dialect="duckdb")
    if isinstance(node, exp.ColumnConstraint) and not isinstance(
        node.kind, exp.NotNullColumnConstraint | exp.DefaultColumnConstraint
    ):
        node.pop()
    if isinstance(node, exp.PrimaryKey | exp.ForeignKey):
        node.pop()
    return node


def _arguments(node: exp.Expression) -> list[exp.Expression]:
    found: list[exp.Expression] = []
    for value in node.args.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, exp.Expression):
                found.append(item)
    return found


def _from_json(node: exp.Expression) -> exp.Expression:
    """JSON of a schema that is a literal. What is not of it is an error, as the mode FAILFAST has it."""
    arguments = _arguments(node)
    if _options(arguments[2] if len(arguments) > 2 else None).get("mode") != "FAILFAST":
        raise StatementError("UNSUPPORTED_FEATURE", "0A000", "from_json of another mode than FAILFAST in this fake.")
    kind = exp.DataType.build(arguments[1].name, dialect="databricks")
    return exp.cast(exp.cast(arguments[0].copy(), "json"), kind)


def _to_json(node: exp.Expression) -> exp.Expression:
    """Spark's to_json: NULL fields are left out and timestamps cut to milliseconds, unless the options say else."""
    arguments = _arguments(node)
    pairs = _options(arguments[1] if len(arguments) > 1 else None)
    struct = arguments[0]
    if not isinstance(struct, exp.Struct):
        return exp.cast(exp.func("db_json", struct.copy(), exp.Literal.string("%g")), "text")
    fraction = "%f" if "SSSSSS" in pairs.get("timestampFormat", "") else "%g"
    flat: list[exp.Expression] = []
    for at, item in enumerate(struct.expressions):
        value = item.expression if isinstance(item, exp.PropertyEQ) else item.unalias()
        label = item.this.name if isinstance(item, exp.PropertyEQ) else item.alias_or_name or f"col{at + 1}"
        flat += [exp.Literal.string(label), exp.func("db_json", value.copy(), exp.Literal.string(fraction))]
    built: exp.Expression = exp.func("json_object", *flat)
    if pairs.get("ignoreNullFields", "true") != "false":
        built = exp.func("json_merge_patch", exp.Literal.string("{}"), built)
    return exp.cast(built, "text")


def _options(node: exp.Expression | None) -> dict[str, str]:
    """The options of a call, a literal map."""
    if node is None:
        return {}
    literals = [str(literal.this) for literal in node.find_all(exp.Literal, bfs=False)]
    half = len(literals) // 2
    keyed = isinstance(node, exp.Map | exp.VarMap) and isinstance(node.args.get("keys"), exp.Array)
    pairs = (
        zip(literals[:half], literals[half:], strict=True) if keyed else zip(literals[::2], literals[1::2], strict=True)
    )
    return dict(pairs)
