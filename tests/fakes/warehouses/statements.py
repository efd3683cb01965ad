"""Statements of an account: submitted, running, held on demand, finished, cancelled."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_STATEMENTS = 50_000
CANCEL_ROUNDS = 3_000  # of 10 ms


class Cancelled(Exception):
    """The statement was cancelled before it finished."""


@dataclass
class Hold:
    """Keeps matching statements running without executing them, for so many polls or until released."""

    pattern: re.Pattern[str]
    polls: int | None


@dataclass
class Statement:
    """One statement and what became of it."""

    handle: str
    owner: str
    sql: str
    run: Callable[[Statement], Any]
    created: float = field(default_factory=time.time)
    ended: float | None = None
    state: str = "RUNNING"  # RUNNING, SUCCEEDED, FAILED, CANCELLED
    result: Any = None
    error: Exception | None = None
    expired: bool = False
    cancelled: bool = False
    hold: Hold | None = None
    interrupt: Callable[[], None] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self.done.is_set()


class StatementBoard:
    """All statements of an account, by handle."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._statements: dict[str, Statement] = {}
        self._holds: list[Hold] = []

    def submit(self, statement: Statement) -> None:
        """Starts a statement in a thread of its own, or keeps it back when a hold matches."""
        with self._lock:
            if len(self._statements) >= MAX_STATEMENTS:
                del self._statements[next(iter(self._statements))]
            self._statements[statement.handle] = statement
            hold = next((hold for hold in self._holds if hold.pattern.search(statement.sql)), None)
            if hold:
                statement.hold = Hold(hold.pattern, hold.polls)
        if not statement.hold:
            self._start(statement)

    def submit_now(self, statement: Statement) -> None:
        """Runs a statement in the caller's thread: one of several of a request."""
        with self._lock:
            self._statements[statement.handle] = statement
        self._execute(statement)

    def _start(self, statement: Statement) -> None:
        threading.Thread(target=self._execute, args=(statement,), daemon=True).start()

    def _execute(self, statement: Statement) -> None:
        result: Any = None
        error: Exception | None = None
        try:
            result, state = statement.run(statement), "SUCCEEDED"
        except Cancelled as cancelled:
            error, state = cancelled, "CANCELLED"
        except Exception as failure:
            error, state = failure, "FAILED"
        with self._lock:
            if statement.running:
                self._end(statement, state, result, error)

    def _end(self, statement: Statement, state: str, result: Any, error: Exception | None) -> None:
        statement.state, statement.result, statement.error = state, result, error
        statement.ended = time.time()
        statement.done.set()

    def poll(self, statement: Statement) -> None:
        """Counts one look at a held statement; the last one lets it run, and waits until it did."""
        with self._lock:
            hold = statement.hold
            if hold is None or hold.polls is None:
                return
            hold.polls -= 1
            if hold.polls > 0:
                return
            statement.hold = None
        self._start(statement)
        statement.done.wait(30)

    def cancel(self, statement: Statement) -> bool:
        """Cancels a running statement and waits until it is off the engine; False when it had ended."""
        with self._lock:
            if not statement.running:
                return False
            if statement.hold:
                statement.hold = None
                self._end(statement, "CANCELLED", None, Cancelled())
                return True
            statement.cancelled = True
        for _ in range(CANCEL_ROUNDS):
            if statement.done.wait(0.01):
                break
            if statement.interrupt:
                statement.interrupt()
        return statement.state == "CANCELLED"

    def find(self, handle: str) -> Statement | None:
        """The statement with this handle."""
        with self._lock:
            return self._statements.get(handle)

    def all(self) -> list[Statement]:
        """Every statement, oldest first."""
        with self._lock:
            return list(self._statements.values())

    def hold(self, pattern: str, polls: int | None) -> None:
        """From now on statements that match are held."""
        with self._lock:
            self._holds.append(Hold(re.compile(pattern, re.IGNORECASE | re.DOTALL), polls))

    def release(self) -> None:
        """Drops all holds and lets what they held run."""
        with self._lock:
            self._holds.clear()
            held = [statement for statement in self._statements.values() if statement.hold]
            for statement in held:
                statement.hold = None
        for statement in held:
            self._start(statement)

    def expire_results(self) -> None:
        """Results of statements that ended are gone, as after the service's retention."""
        with self._lock:
            for statement in self._statements.values():
                if not statement.running:
                    statement.expired = True
                    statement.result = None

    def describe(self) -> list[dict[str, Any]]:
        """For the control endpoint."""
        return [
            {"handle": s.handle, "owner": s.owner, "sql": s.sql, "state": s.state, "held": s.hold is not None}
            for s in self.all()
        ]
