"""Changes of tables that are there."""

from __future__ import annotations

from sqlglot import exp

from ..engine import Cursor
from . import dialect
from .errors import SqlError
from .kinds import of_sql


def change(catalog: dict[dialect.Name, dialect.Columns], found: dialect.Statement, cursor: Cursor) -> None:
    """CREATE INDEX, which DuckDB need not have, and ALTER TABLE."""
    assert found.expression is not None
    assert found.target is not None
    columns = catalog[found.target]
    if found.kind == "CREATE INDEX":
        for ordered in found.expression.this.args["params"].args["columns"]:
            kind = dict(columns)[_known(columns, found.target, ordered.this.name)]
            if kind and kind.length is None and kind.name in ("nvarchar", "varchar", "varbinary"):
                text = "is of a type that is invalid for use as a key column in an index."
                raise SqlError(1919, f"Column '{ordered.this.name}' in table '{found.target[1]}' {text}")
        return
    schema, name = (part.replace('"', '""') for part in found.target)
    for action in found.expression.args["actions"]:
        if isinstance(action, exp.ColumnDef):
            kind = of_sql(action.args["kind"])
            if kind is None:
                raise SqlError(2715, "Column, parameter, or variable: Cannot find data type.")
            if action.name in dict(columns):
                raise SqlError(2705, "Column names in each table must be unique.")
            cursor.run(
                f'ALTER TABLE "{schema}"."{name}" ADD COLUMN "{action.name}" {kind.duck().sql(dialect="duckdb")}'
            )
            columns = [*columns, (action.name, kind)]
        elif isinstance(action, exp.Drop):
            for gone in [part.name for part in action.args["tables"]]:
                _known(columns, found.target, gone)
                cursor.run(f'ALTER TABLE "{schema}"."{name}" DROP COLUMN "{gone}"')
                columns = [(known, kind) for known, kind in columns if known != gone]
        else:
            raise SqlError(102, "Incorrect syntax near 'ALTER'.", level=15)
    catalog[found.target] = columns


def _known(columns: dialect.Columns, table: dialect.Name, name: str) -> str:
    if name not in dict(columns):
        raise SqlError(1911, f"Column name '{name}' does not exist in the target table or view '{table[1]}'.")
    return name
