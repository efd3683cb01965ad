"""Which statements the SQL API takes at all, before anything is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.dialects.snowflake import Snowflake

from ..parsing import SyntaxRefused, called, parse, strict
from .errors import SnowflakeError, compilation, syntax, unsupported
from .functions import FUNCTIONS

DIALECT = strict(Snowflake, "StrictSnowflake")
MAX_STATEMENT = 1_048_576  # Snowflake's limit of a statement's text, 1 MB
MAX_IDENTIFIER = 255

# Only inside a request with several statements (page "Introduction to the SQL API", limitations).
SESSION_KINDS: tuple[type[exp.Expression], ...] = (exp.Use, exp.Set, exp.Transaction, exp.Commit, exp.Rollback)
WRITES: tuple[type[exp.Expression], ...] = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.TruncateTable)
# Window functions that mean nothing without an order.
RANKS: tuple[type[exp.Expression], ...] = (exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.Lead, exp.Lag)
# Statements that the parser does not know.
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(USING\s+(TEXT|JSON|TABULAR)\s+)?", re.IGNORECASE)
_GRANTS = re.compile(r'SHOW\s+GRANTS\s+TO\s+ROLE\s+(?P<quote>"?)(?P<name>[\w$]+)"?;?', re.IGNORECASE)
SHOWN = {"TABLES", "SCHEMAS"}
CREATED = {"TABLE", "VIEW", "SCHEMA", "DATABASE"}


@dataclass(frozen=True)
class Checked:
    """A statement of a kind that this account may try to run."""

    expression: exp.Expression
    session_only: bool
    explained: bool = False


def check(sql: str, expected: int) -> list[Checked]:
    """The statements of a request, or the service's refusal. `expected` is MULTI_STATEMENT_COUNT."""
    if len(sql.encode()) > MAX_STATEMENT:
        raise compilation("000602", "42601", f"The statement is longer than {MAX_STATEMENT} bytes.")
    explained = _EXPLAIN.match(sql)
    if explained:
        inner = check(sql[explained.end() :], 1)[0]
        return [Checked(inner.expression, False, explained=True)]
    grants = _GRANTS.fullmatch(sql.strip())
    if grants:
        role = exp.Show(this="GRANTS", scope=exp.to_identifier(grants["name"], quoted=bool(grants["quote"])))
        return [Checked(role, False)]
    words = sql.split(None, 1)
    if words and words[0].upper() in ("PUT", "GET"):
        raise unsupported(f"{words[0].upper()} in the SQL API")
    try:
        statements = parse(sql, DIALECT)
    except SyntaxRefused as refused:
        raise syntax(str(refused)) from refused
    if not statements:
        raise compilation("000900", "42601", "Empty SQL statement.")
    if expected != 0 and len(statements) != expected:
        raise SnowflakeError(
            422,
            "000008",
            f"Actual statement count {len(statements)} did not match the desired statement count {expected}.",
            "0A000",
        )
    return [_check(statement, alone=len(statements) == 1 and expected == 1) for statement in statements]


def _check(statement: exp.Expression, alone: bool) -> Checked:
    session_only = _session_only(statement)
    if alone and session_only:
        raise unsupported(f"{session_only} outside of a request with several statements")
    _kind(statement)
    for name in called(statement):
        if name not in FUNCTIONS:
            raise compilation("002140", "42601", f"Unknown function {name}")
    for window in statement.find_all(exp.Window):
        if isinstance(window.this, RANKS) and not window.args.get("order"):
            name = window.this.sql_name() if isinstance(window.this, exp.Func) else ""
            detail = f"Window function type [{name}] requires ORDER BY in window specification."
            raise compilation("002303", "42601", detail)
    for identifier in statement.find_all(exp.Identifier):
        if len(identifier.name) > MAX_IDENTIFIER:
            raise compilation("000700", "42601", "Identifier is longer than 255 characters.")
    return Checked(statement, session_only is not None)


def _session_only(statement: exp.Expression) -> str | None:
    if isinstance(statement, SESSION_KINDS):
        return str(statement.key).upper()
    if isinstance(statement, exp.Alter) and statement.args.get("kind") == "SESSION":
        return "ALTER SESSION"
    if isinstance(statement, exp.Create) and statement.find(exp.TemporaryProperty):
        return f"temporary {statement.kind}"
    return None


def _kind(statement: exp.Expression) -> None:
    if isinstance(statement, (exp.Query, *SESSION_KINDS, *WRITES)):
        return
    if isinstance(statement, exp.Create | exp.Drop) and statement.kind in CREATED:
        return
    if isinstance(statement, exp.Alter) and statement.args.get("kind") in ("TABLE", "SESSION"):
        return
    if isinstance(statement, exp.Show) and statement.name.upper() in SHOWN:
        return
    if isinstance(statement, exp.Condition | exp.Alias | exp.Tuple):
        raise syntax(f"line 1 at position 0 unexpected '{statement.sql(dialect='snowflake')[:40]}'")
    raise unsupported(statement.key.upper())
