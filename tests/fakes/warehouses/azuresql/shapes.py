"""Statements of T-SQL that no parser reads as they stand, or that DuckDB says in another way."""

from __future__ import annotations

import json
import re

from sqlglot import exp

from .errors import SqlError

_NAME = r"(?:\[(?:[^\]]|\]\])+\]|\w+)"
_TEXT = r"N?'((?:[^']|'')*)'"
# A batch that is rolled back whatever fails in it, and tells what failed.
_FRAME = re.compile(
    r"\s*BEGIN TRY\s+(.*?)\s+END TRY\s+BEGIN CATCH\s+"
    r"IF XACT_STATE\(\) <> 0 ROLLBACK TRANSACTION;\s+THROW;\s+END CATCH\s*",
    re.DOTALL,
)
_EXECUTE = re.compile(rf"\s*EXEC(?:UTE)?\s*\({_TEXT}\)\s*", re.DOTALL)
_PROPERTY = re.compile(
    rf"\s*EXEC(?:UTE)? sys\.sp_addextendedproperty N'MS_Description', {_TEXT}, "
    rf"N'SCHEMA', {_TEXT}, N'TABLE', {_TEXT}\s*",
    re.DOTALL,
)
_GUARD = re.compile(rf"\s*IF EXISTS \((.*)\)\s+THROW (\d+), {_TEXT}, (\d+)\s*", re.DOTALL)
_LOCKED = re.compile(rf"(INSERT INTO (?:{_NAME}\.)?{_NAME}) WITH \(TABLOCK\)")
_JOINED = re.compile(r"\\\r?\n")


def body(sql: str) -> str:
    """What stands in a batch that catches its errors; any other batch as it is."""
    framed = _FRAME.fullmatch(sql)
    return framed[1] if framed else sql


def told(text: str) -> str:
    """What stands between the quotes of a text."""
    return _JOINED.sub("", text.replace("''", "'"))


def executed(sql: str) -> str | None:
    """The statement that is executed from a text."""
    found = _EXECUTE.fullmatch(sql)
    return told(found[1]) if found else None


def described(sql: str) -> tuple[str, str] | None:
    """The table that is described to people: schema and name."""
    found = _PROPERTY.fullmatch(sql)
    return (told(found[2]).lower(), told(found[3]).lower()) if found else None


def guard(sql: str) -> tuple[str, SqlError] | None:
    """A query, and what is thrown if it has rows."""
    found = _GUARD.fullmatch(sql)
    if not found:
        return None
    number = int(found[2])
    if number < 50_000:
        raise SqlError(35100, f"Error number {number} in the THROW statement is outside the valid range.")
    return found[1], SqlError(number, told(found[3]), state=int(found[4]))


def unlocked(sql: str) -> str:
    """An INSERT without its hint to lock the table."""
    return _LOCKED.sub(r"\1", sql, count=1)


def reshaped(expression: exp.Expression) -> exp.Expression:
    """The same with the target where DuckDB has it, and rows of JSON as a query."""
    if isinstance(expression, exp.Delete) and expression.args.get("tables"):
        [alias] = expression.args["tables"]
        if alias.name != expression.this.alias_or_name:
            raise SqlError(208, f"Invalid object name '{alias.name}'.")
        expression.set("tables", None)
    if isinstance(expression, exp.Update) and expression.args.get("from_"):
        _update(expression)
    for opened in list(expression.find_all(exp.OpenJSON)):
        table = opened.parent
        table.replace(_rows(opened, table.alias))
    return expression


def _update(update: exp.Update) -> None:
    source = update.args["from_"].this
    joins = source.args.get("joins") or []
    if source.alias_or_name != update.this.name or len(joins) != 1 or not joins[0].args.get("on"):
        raise SqlError(102, "Incorrect syntax near 'FROM'.", level=15)
    [join] = joins
    source.set("joins", None)
    update.set("this", source)
    update.set("from_", exp.From(this=join.this))
    where = update.args.get("where")
    update.set("where", exp.Where(this=exp.and_(join.args["on"], where.this if where else None, copy=False)))


def _rows(opened: exp.OpenJSON, alias: str) -> exp.Expression:
    """The rows of an array of arrays, each column by its place."""
    text = _JOINED.sub("", opened.this.name)
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise SqlError(13609, "JSON text is not properly formatted.") from error
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise SqlError(13608, "Property cannot be found on the specified JSON path.")
    columns = []
    for column in opened.expressions:
        place = re.fullmatch(r"\$\[(\d+)\]", column.args["path"].name if column.args.get("path") else "")
        if not place or not alias:
            raise SqlError(13607, "JSON path is not properly formatted.")
        kind = "BIGINT" if column.args["kind"].this == exp.DataType.Type.BIGINT else "TEXT"
        columns.append(f"CAST(r.j ->> '$[{place[1]}]' AS {kind}) AS {column.name}")
    listed = exp.Literal.string(text).sql(dialect="duckdb")
    query = f"SELECT {', '.join(columns)} FROM (SELECT UNNEST(CAST({listed} AS JSON[])) AS j) AS r"
    inner = exp.maybe_parse(query, dialect="duckdb")
    return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias)))


# Where a condition may stand, by the parent and its argument.
_CONDITIONS = {
    exp.Where: "this",
    exp.Having: "this",
    exp.Join: "on",
    exp.Merge: "on",
    exp.When: "condition",
}


def conditions(expression: exp.Expression) -> None:
    """A condition is no value, and a value is no condition."""
    for node in expression.walk():
        if isinstance(node, exp.Boolean):
            raise SqlError(207, f"Invalid column name '{node.sql()}'.")
        parent, key = _outside(node)
        if isinstance(node, exp.Paren) or isinstance(parent, exp.Escape) or parent is None:
            continue
        condition = isinstance(node, exp.Connector | exp.Not | exp.Predicate | exp.Escape)
        if _wants(parent, key):
            if not condition:
                text = "An expression of non-boolean type specified in a context where a condition is expected."
                raise SqlError(4145, text, level=15)
        elif condition and not (isinstance(parent, exp.Update | exp.When | exp.Merge) and isinstance(node, exp.EQ)):
            raise SqlError(102, "Incorrect syntax near a condition.", level=15)


def _outside(node: exp.Expression) -> tuple[exp.Expression | None, str]:
    """What a node stands in, whatever parentheses are around it, and as what."""
    while isinstance(node.parent, exp.Paren):
        node = node.parent
    return node.parent, str(node.arg_key)


def _wants(parent: exp.Expression, key: str) -> bool:
    if isinstance(parent, exp.Connector | exp.Not):
        return True
    if isinstance(parent, exp.If):
        case = parent.parent
        return key == "this" and not (isinstance(case, exp.Case) and case.this)
    return _CONDITIONS.get(type(parent)) == key


def ordered(expression: exp.Expression) -> None:
    """Windows of functions that count rows have an order."""
    for window in expression.find_all(exp.Window):
        if isinstance(window.this, exp.RowNumber | exp.Lead) and not window.args.get("order"):
            name = type(window.this).__name__
            raise SqlError(4112, f"The function '{name}' must have an OVER clause with ORDER BY.", level=15)
