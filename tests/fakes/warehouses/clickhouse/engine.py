"""ClickHouse's engine in this process: one session, one statement at a time."""

from __future__ import annotations

import atexit
import sys
import threading
import types
from typing import Any

from .errors import ClickHouseError


def _session() -> Any:
    """A session of the engine, whose package names two classes of pyarrow for formats that nobody asks for here."""
    absent = types.ModuleType("pyarrow")
    absent.RecordBatchReader = absent.Table = object  # type: ignore[attr-defined]
    sys.modules.setdefault("pyarrow", absent)
    from chdb.session import Session

    return Session()


class Engine:
    """A database of its own, gone with the process."""

    def __init__(self) -> None:
        self._session = _session()
        # Its threads would outlive the interpreter.
        atexit.register(self._session.close)
        self._lock = threading.Lock()
        self.version = self.text("SELECT version()")
        self.settings = frozenset(self.text("SELECT name FROM system.settings").split("\n"))

    def run(self, sql: str, database: str, settings: dict[str, str], form: str) -> bytes:
        """Runs a statement with these settings and no others."""
        with self._lock:
            # The statement of a client is told where it is before it is read.
            self._query(f"USE {quote(database)}", form)
            try:
                if settings:
                    self._query(
                        "SET " + ", ".join(f"{name} = {literal(value)}" for name, value in settings.items()), form
                    )
                return self._query(sql, form)
            finally:
                if settings:
                    self._query("SET " + ", ".join(f"{name} = DEFAULT" for name in settings), form)

    def text(self, sql: str) -> str:
        """The one value of a query, or several in lines."""
        with self._lock:
            return self._query(sql, "TSVRaw").decode().rstrip("\n")

    def _query(self, sql: str, form: str) -> bytes:
        try:
            return bytes(self._session.query(sql, form).bytes() or b"")
        except RuntimeError as error:
            raise ClickHouseError.of(error) from error


def quote(name: str) -> str:
    """A name in backticks."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def literal(text: str) -> str:
    """A text as a string of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
