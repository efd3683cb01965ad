"""From a checked Snowflake statement to DuckDB's SQL: names, types, functions and what DuckDB does not know."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.time import format_time

from ..names import encode
from ..parsing import CALLED
from . import formats
from .errors import unsupported
from .session import Session

_TEXTS = {exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR, exp.DataType.Type.CHAR, exp.DataType.Type.NVARCHAR}
_TYPES = {
    **dict.fromkeys(("INT", "BIGINT", "SMALLINT", "TINYINT", "INT128"), "HUGEINT"),
    **dict.fromkeys(("VARIANT", "OBJECT", "ARRAY", "JSON"), "JSON"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMPNTZ", "DATETIME"), "TIMESTAMP"),
    **dict.fromkeys(("TIMESTAMPTZ", "TIMESTAMPLTZ"), "TIMESTAMPTZ"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "DOUBLE"),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "NCHAR", "NVARCHAR"), "VARCHAR"),
    **dict.fromkeys(("BINARY", "VARBINARY"), "BLOB"),
    "BOOLEAN": "BOOLEAN", "DATE": "DATE", "TIME": "TIME",
}  # fmt: skip
SPECIAL = {"VARIANT": "variant", "OBJECT": "object", "ARRAY": "array", "TIMESTAMPTZ": "timestamp_tz"}
# Constraints that Snowflake stores and does not enforce.
_UNENFORCED = (exp.PrimaryKeyColumnConstraint, exp.UniqueColumnConstraint, exp.Reference, exp.CommentColumnConstraint)
_MAX_PRECISION, _WIDE = 38, 18


def translate(statement: exp.Expression, session: Session) -> exp.Expression:
    """A copy of the statement in the engine's terms. Tables must have been resolved before."""
    copy = statement.copy()
    _name_outputs(copy)
    for node in list(copy.walk(bfs=False))[::-1]:
        replacement = _rewrite(node, session)
        if replacement is not node:
            if node is copy:
                copy = replacement
            node.replace(replacement)
    for identifier in copy.find_all(exp.Identifier):
        if not identifier.meta.get("engine"):
            folded = identifier.name if identifier.quoted else identifier.name.upper()
            identifier.set("this", encode(folded))
            identifier.set("quoted", True)
    return copy


def _name_outputs(statement: exp.Expression) -> None:
    """Unnamed outputs of a query are named by their text, in upper case, as Snowflake does."""
    query = statement
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        return
    for projection in list(query.expressions):
        if not isinstance(projection, exp.Alias | exp.Column | exp.Star):
            name = projection.sql(dialect="snowflake")[:255].upper()
            projection.replace(exp.alias_(projection.copy(), exp.to_identifier(name, quoted=True)))


def _rewrite(node: exp.Expression, session: Session) -> exp.Expression:
    name = node.meta.get(CALLED) if node._meta else None
    if name in _REWRITES:
        return _REWRITES[name](node, session)
    if isinstance(node, exp.CurrentTimestamp):
        return exp.cast(exp.func("now"), exp.DataType.Type.TIMESTAMPTZ)
    if isinstance(node, exp.Cast) and not isinstance(node.this, exp.Interval):
        return _cast(node)
    if isinstance(node, exp.DataType) and not isinstance(node.parent, exp.Cast):
        return engine_type(node)
    if isinstance(node, exp.ColumnConstraint) and isinstance(node.kind, _UNENFORCED):
        node.pop()
    if isinstance(node, exp.PrimaryKey | exp.ForeignKey | exp.Constraint) and isinstance(node.parent, exp.Schema):
        node.pop()
    if isinstance(node, exp.Bracket) and len(node.expressions) == 1:
        return _element(node)
    if isinstance(node, exp.TableFromRows | exp.Lateral) and isinstance(node.this, exp.Explode):
        return _flatten(node)
    if isinstance(node, exp.AutoIncrementColumnConstraint | exp.GeneratedAsIdentityColumnConstraint):
        raise unsupported("AUTOINCREMENT in this fake")
    return node


def engine_type(node: exp.DataType) -> exp.DataType:
    """DuckDB's type for a type of Snowflake."""
    kind = node.this.name if isinstance(node.this, exp.DataType.Type) else str(node.this)
    if kind == "DECIMAL":
        sizes = [int(size.name) for size in node.expressions]
        precision = sizes[0] if sizes else _MAX_PRECISION
        scale = sizes[1] if len(sizes) > 1 else 0
        if scale:
            return exp.DataType.build(f"DECIMAL({precision}, {scale})", dialect="duckdb")
        return exp.DataType.build("HUGEINT" if precision > _WIDE else "BIGINT", dialect="duckdb")
    if kind not in _TYPES:
        raise unsupported(f"type {kind} in this fake")
    return exp.DataType.build(_TYPES[kind], dialect="duckdb")


def _cast(node: exp.Cast) -> exp.Expression:
    """Casts to text have Snowflake's output formats; TRY_CAST keeps its NULL."""
    if node.to.this in _TEXTS:
        return exp.func("sf_text", node.this.copy())
    node.set("to", engine_type(node.to))
    return node


def _arguments(node: exp.Expression) -> list[exp.Expression]:
    """The arguments of a call in their order, whatever class it was parsed to."""
    found: list[exp.Expression] = []
    for value in node.args.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, exp.Expression):
                found.append(item)
    return found


def _to_varchar(node: exp.Expression, session: Session) -> exp.Expression:
    arguments = _arguments(node)
    if isinstance(node, exp.Cast):
        return exp.func("sf_text", node.this.copy())
    if len(arguments) < 2:
        return exp.func("sf_text", arguments[0].copy())
    pattern = node.args.get("format") or arguments[1]
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        raise unsupported("TO_VARCHAR with a format that is no literal, in this fake")
    text = pattern.this
    if isinstance(node, exp.TimeToStr):
        # Of a value whose type it knows, the parser translates the format; here it is wanted as it was written.
        text = format_time(text, Snowflake.INVERSE_TIME_MAPPING, Snowflake.INVERSE_TIME_TRIE) or text
    return formats.to_varchar(arguments[0], text)


def _element(node: exp.Bracket) -> exp.Expression:
    """An element of an ARRAY, by its position from 0; NULL if there is none."""
    position = node.expressions[0]
    if not isinstance(position, exp.Literal) or position.is_string:
        raise unsupported("an element that is not named by a number, in this fake")
    return exp.func("json_extract", node.this.copy(), exp.Literal.string(f"$[{position.name}]"))


def _flatten(node: exp.TableFromRows | exp.Lateral) -> exp.Expression:
    """FLATTEN of an ARRAY: of its columns there is VALUE alone."""
    argument = node.this.this
    alias = node.args.get("alias")
    if not isinstance(argument, exp.Kwarg) or argument.name.upper() != "INPUT" or alias is None:
        raise unsupported("FLATTEN but of an INPUT, with a name, in this fake")
    elements = exp.cast(argument.expression.copy(), exp.DataType.build("JSON[]", dialect="duckdb"))
    rows = exp.select(exp.alias_(exp.Unnest(expressions=[elements]), exp.to_identifier("VALUE", quoted=True)))
    named = exp.TableAlias(this=alias.this.copy())
    if isinstance(node, exp.Lateral):
        return exp.Lateral(this=exp.Subquery(this=rows), alias=named)
    return exp.Subquery(this=rows, alias=named)


def _count_if(node: exp.Expression, session: Session) -> exp.Expression:
    """0 of no rows, and not NULL."""
    return exp.func("count", exp.Case().when(_arguments(node)[0].copy(), exp.Literal.number(1)))


def _octets(node: exp.Expression, session: Session) -> exp.Expression:
    return exp.func("sf_octets", _arguments(node)[0].copy())


def _object(node: exp.Expression, session: Session) -> exp.Expression:
    """OBJECT_CONSTRUCT: keys in order, values as VARIANT; without KEEP_NULL a NULL leaves its key out."""
    pairs: list[tuple[exp.Expression, exp.Expression]] = []
    items = _arguments(node)
    for item in items:
        if isinstance(item, exp.JSONKeyValue | exp.PropertyEQ):
            pairs.append((item.this, item.expression))
    if not pairs:
        pairs = list(zip(items[::2], items[1::2], strict=True))
    if all(key.is_string for key, _ in pairs):
        pairs.sort(key=lambda pair: pair[0].name)
    flat = [part for key, value in pairs for part in (key.copy(), exp.func("sf_variant", value.copy()))]
    built = exp.func("json_object", *flat)
    if node.meta[CALLED] == "OBJECT_CONSTRUCT":
        return exp.func("json_merge_patch", exp.Literal.string("{}"), built)
    return built


def _to_json(node: exp.Expression, session: Session) -> exp.Expression:
    return exp.cast(_arguments(node)[0].copy(), exp.DataType.build("VARCHAR", dialect="duckdb"))


def _hash(node: exp.Expression, session: Session) -> exp.Expression:
    arguments = [argument.copy() for argument in _arguments(node)]
    row = arguments[0] if len(arguments) == 1 else exp.func("row", *arguments)
    return exp.func("sf_hash", row)


def _text_of(attribute: str) -> Callable[[exp.Expression, Session], exp.Expression]:
    def rewrite(node: exp.Expression, session: Session) -> exp.Expression:
        value = getattr(session, attribute)
        return exp.Literal.string(value) if value else exp.Null()

    return rewrite


def _account(node: exp.Expression, session: Session) -> exp.Expression:
    return exp.Literal.string(session.account.name)


def _user(node: exp.Expression, session: Session) -> exp.Expression:
    return exp.Literal.string(session.account.user)


def _version(node: exp.Expression, session: Session) -> exp.Expression:
    return exp.Literal.string("9.40.0")


_REWRITES = {
    "TO_VARCHAR": _to_varchar,
    "TO_CHAR": _to_varchar,
    "OBJECT_CONSTRUCT": _object,
    "OBJECT_CONSTRUCT_KEEP_NULL": _object,
    "TO_JSON": _to_json,
    "COUNT_IF": _count_if,
    "HASH": _hash,
    "OCTET_LENGTH": _octets,
    "CURRENT_ACCOUNT": _account,
    "CURRENT_ACCOUNT_NAME": _account,
    "CURRENT_USER": _user,
    "CURRENT_VERSION": _version,
    "CURRENT_ROLE": _text_of("role"),
    "CURRENT_WAREHOUSE": _text_of("warehouse"),
    "CURRENT_DATABASE": _text_of("database"),
    "CURRENT_SCHEMA": _text_of("schema"),
}
