"""The SQL engine below all fakes: one in-memory DuckDB, a cursor per statement, interruptible."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import duckdb

from .statements import Cancelled, Statement


@dataclass(frozen=True)
class Column:
    """A result column: its name, DuckDB's name of its type, and the type itself."""

    name: str
    type: str
    kind: Any = None


@dataclass
class Rows:
    """A whole result in memory."""

    columns: list[Column] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)


class Engine:
    """An in-memory database. Cursors are independent connections to it."""

    def __init__(self, macros: Iterable[str]) -> None:
        self._root = duckdb.connect(":memory:")
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        for macro in macros:
            self._root.execute(macro)

    def cursor(self, timezone: str = "UTC") -> Cursor:
        """A new cursor with the session's time zone."""
        with self._lock:
            connection = self._root.cursor()
        connection.execute("SET TimeZone = ?", [timezone])
        return Cursor(connection, self._writing)


class Cursor:
    """One connection; `attach` lets a statement's cancellation interrupt it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, writing: threading.Lock) -> None:
        self._connection = connection
        self._writing = writing
        self._holds_lock = False
        self._statement: Statement | None = None

    def attach(self, statement: Statement) -> None:
        """Ties the cursor to a statement of the board."""
        self._statement = statement
        statement.interrupt = self._connection.interrupt

    def wait_for_writers(self) -> None:
        """Changes go one after another, as under the services' locks; DuckDB would refuse the second."""
        while not self._holds_lock:
            if self._statement and self._statement.cancelled:
                raise Cancelled
            self._holds_lock = self._writing.acquire(timeout=0.05)

    def run(self, sql: str, parameters: list[Any] | None = None) -> Rows:
        """Executes one DuckDB statement; Cancelled when its statement was cancelled."""
        if self._statement and self._statement.cancelled:
            raise Cancelled
        try:
            done = self._connection.execute(sql, parameters or [])
            if done.description is None:
                return Rows()
            columns = [Column(name, str(kind), kind) for name, kind, *_ in done.description]
            return Rows(columns, done.fetchall())
        except duckdb.InterruptException as interrupted:
            raise Cancelled from interrupted

    def has(self, name: tuple[str, str, str]) -> bool:
        """Whether there is a table or view of this name, which is a database's, a schema's and its own."""
        # Not both at once: to list views takes long.
        for kind in ("table", "view"):
            sql = f"SELECT 1 FROM duckdb_{kind}s() WHERE database_name = ? AND schema_name = ? AND {kind}_name = ?"
            if self.run(sql, list(name)).rows:
                return True
        return False

    def close(self) -> None:
        """Gives the connection back."""
        if self._statement:
            self._statement.interrupt = None
        self._connection.close()
        if self._holds_lock:
            self._holds_lock = False
            self._writing.release()
