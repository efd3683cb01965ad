"""Parsing a vendor's SQL strictly: no fallbacks, and every function's name as it was written."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator

import sqlglot
from sqlglot import exp, generator, tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, SqlglotError

logging.getLogger("sqlglot").setLevel(logging.ERROR)

# Set on a function's node: the name that the statement called it by.
CALLED = "called"
# The longest text whose statements are remembered.
REMEMBERED = 2_000
_WRAPPERS = (exp.Window, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)


class SyntaxRefused(Exception):
    """The text is not a statement of the dialect."""


def strict(dialect: type[Dialect], name: str) -> type[Dialect]:
    """The dialect with a parser that remembers under which name each function was called."""

    class Parser(dialect.Parser):  # type: ignore[name-defined,misc]
        """The dialect's parser, with memory."""

        def _parse_function_call(self, *args: object, **kwargs: object) -> exp.Expression | None:
            token = self._curr
            called = bool(token and self._next and self._next.token_type == tokens.TokenType.L_PAREN)
            node: exp.Expression | None = super()._parse_function_call(*args, **kwargs)
            inner = node
            while isinstance(inner, _WRAPPERS):
                inner = inner.this
            if called and inner is not None:
                inner.meta.setdefault(CALLED, token.text.upper())
            return node

    return type(name, (dialect,), {"Parser": Parser, "Tokenizer": dialect.Tokenizer, "Generator": dialect.Generator})


def parse(sql: str, dialect: type[Dialect]) -> list[exp.Expression]:
    """The statements of a text. Anything that is not fully understood is refused."""
    if len(sql) > REMEMBERED:
        return _parse(sql, dialect)
    # Clients give most of their statements again and again, with other values for the same places.
    return [statement.copy() for statement in _parse_once(sql, dialect)]


def _parse(sql: str, dialect: type[Dialect]) -> list[exp.Expression]:
    try:
        parsed = sqlglot.parse(sql, read=dialect, error_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise SyntaxRefused(_where(error)) from error
    except RecursionError as error:
        raise SyntaxRefused("the statement is nested too deeply") from error
    statements = [statement for statement in parsed if statement is not None and not _empty(statement)]
    for statement in statements:
        if isinstance(statement, exp.Command):
            raise SyntaxRefused(f"unexpected '{statement.this}'")
        for node in statement.walk():
            # Where it stood in the text, which nobody asks for, takes most of the time that a copy takes.
            if node._meta:
                node._meta = {CALLED: node._meta[CALLED]} if CALLED in node._meta else None
    return statements


_parse_once = functools.lru_cache(256)(_parse)


def _empty(statement: exp.Expression) -> bool:
    return isinstance(statement, exp.Semicolon)


def _where(error: SqlglotError) -> str:
    """The place of a syntax error, without the statement's text."""
    found = getattr(error, "errors", None)
    if found:
        first = found[0]
        return f"line {first.get('line')} at position {first.get('col')} unexpected '{first.get('highlight')}'"
    return str(error).splitlines()[0]


def called(statement: exp.Expression) -> Iterator[str]:
    """Names of all functions that the statement calls."""
    for node in statement.walk():
        name = node.meta.get(CALLED) if node._meta else None
        if name:
            yield name


def to_duckdb(statement: exp.Expression, dialect: type[generator.Generator] | str = "duckdb") -> str:
    """The statement, which is used up, in DuckDB's SQL."""
    return str(statement.sql(dialect=dialect, unsupported_level=ErrorLevel.IGNORE, copy=False))
