"""What T-SQL's functions are in DuckDB's."""

from __future__ import annotations

from sqlglot import exp

from .errors import SqlError

T = exp.DataType.Type
_TEXTS = (T.NVARCHAR, T.VARCHAR, T.NCHAR, T.CHAR, T.TEXT)
MACROS = (
    "CREATE MACRO tsql_size(x) AS CASE WHEN typeof(x) = 'BLOB' THEN octet_length(CAST(x AS BLOB)) "
    "ELSE 2 * length(CAST(x AS VARCHAR)) END",
    "CREATE MACRO tsql_hash(x) AS unhex(sha256(x))",
    "CREATE MACRO tsql_first(x, n) AS unhex(left(hex(CAST(x AS BLOB)), 2 * n))",
    "CREATE MACRO tsql_number(x) AS CAST(hash(x) % 2147483648 AS INTEGER)",
    "CREATE MACRO tsql_hex(x) AS '0x' || hex(x)",
)


def rewritten(node: exp.Expression) -> exp.Expression:
    """A call, or what is like one, in DuckDB's words; parts of it are in those already."""
    if isinstance(node, exp.Collate):
        return node.this
    if isinstance(node, exp.SHA2):
        return exp.func("tsql_hash", node.this)
    if isinstance(node, exp.Anonymous):
        return _named(node)
    if isinstance(node, exp.Add) and (is_text(node.this) or is_text(node.expression)):
        return exp.DPipe(this=node.this, expression=node.expression)
    if isinstance(node, exp.Div) and isinstance(node.this, exp.Anonymous) and node.this.name == "tsql_size":
        return exp.IntDiv(this=node.this, expression=node.expression)
    if isinstance(node, exp.Cast) and not isinstance(node, exp.TryCast):
        return _cast(node)
    if isinstance(node, exp.Convert):
        return _convert(node)
    return node


def _named(node: exp.Anonymous) -> exp.Expression:
    name = node.name.upper()
    if name == "DATALENGTH":
        return exp.func("tsql_size", *node.expressions)
    if name == "NCHAR":
        return exp.func("chr", *node.expressions)
    if name == "SWITCHOFFSET":
        if node.expressions[1].name != "+00:00":
            raise SqlError(9812, "The timezone provided to builtin function switchoffset is invalid.")
        return node.expressions[0]
    return node


def _cast(node: exp.Cast) -> exp.Expression:
    inner = node.this
    name = inner.name if isinstance(inner, exp.Anonymous) else ""
    if name == "tsql_hash" and node.meta.get("bytes"):
        return exp.func("tsql_first", inner, exp.Literal.number(node.meta["bytes"]))
    if isinstance(inner, exp.Substring) and isinstance(inner.this, exp.Anonymous) and inner.this.name == "tsql_hash":
        return exp.func("tsql_number", inner.this)
    return node


def _convert(node: exp.Convert) -> exp.Expression:
    style = node.args.get("style")
    if style is None:
        return node
    target, value = node.this, node.expression
    number = int(style.name)
    if node.meta.get("binary") and number == 2:
        return exp.func("unhex", value)
    if number == 1 and node.meta.get("text"):
        return exp.func("tsql_hex", value)
    if number in (2, 3, 23, 121, 126) and node.meta.get("text"):
        return exp.cast(value, target)
    raise SqlError(281, f"{number} is not a valid style number when converting to a character string.")


def marked(expression: exp.Expression) -> None:
    """Notes of each conversion what its type was in T-SQL."""
    for node in expression.find_all(exp.Cast, exp.Convert):
        kind = node.this if isinstance(node, exp.Convert) else node.args["to"]
        if kind.this == T.BINARY and kind.expressions:
            node.meta["bytes"] = int(kind.expressions[0].name)
        node.meta["binary"] = kind.this in (T.BINARY, T.VARBINARY)
        node.meta["text"] = kind.this in _TEXTS


def is_text(node: exp.Expression) -> bool:
    """Whether a value is a text, as far as it can be seen."""
    if isinstance(node, exp.Cast | exp.Convert):
        return bool(node.meta.get("text"))
    if isinstance(node, exp.DPipe | exp.Concat | exp.National):
        return True
    if isinstance(node, exp.Anonymous):
        return node.name in ("chr", "tsql_hex")
    return isinstance(node, exp.Literal) and bool(node.is_string)
