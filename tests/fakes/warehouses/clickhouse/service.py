"""ClickHouse's HTTP interface: who asks, with which settings, and what is sent when a query fails halfway."""

from __future__ import annotations

import base64
import json
import re
import secrets
import uuid
from typing import Any

from ..administration import statements
from ..statements import Cancelled, Statement, StatementBoard
from ..wire import Request, Response
from .administration import Administration
from .engine import Engine, quote
from .errors import (
    AUTHENTICATION_FAILED,
    QUERY_WAS_CANCELLED,
    READONLY,
    UNKNOWN_SETTING,
    ClickHouseError,
    denied,
)
from .settings import Settings

USER = "backflow"
DATABASE = "shop"
# Parameters of a request that are no settings.
PARAMETERS = {"database", "query", "query_id", "default_format"}
# How long a held statement waits between two looks.
LOOK_SECONDS = 0.2
_READS = re.compile(r"\s*(SELECT|WITH|SHOW|DESCRIBE|DESC|EXISTS|EXPLAIN|CHECK GRANT|KILL QUERY)\b", re.IGNORECASE)
_KILL = re.compile(r"\s*KILL QUERY WHERE query_id = '([^']*)' (?:ASYNC|SYNC)\s*", re.IGNORECASE)
_CHECK_GRANT = re.compile(r"\s*CHECK GRANT (.+) ON (\S+)\s*", re.IGNORECASE | re.DOTALL)
_DDL = re.compile(r"\s*(CREATE DATABASE|CREATE TABLE|INSERT|DELETE)\b", re.IGNORECASE)


class ClickHouse:
    """One server with one user."""

    def __init__(self) -> None:
        self.board = StatementBoard()
        self._engine = Engine()
        self._password = secrets.token_urlsafe(16)
        self._settings = Settings()
        self._engine.text(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        self._administration = Administration(self._engine, self._settings, USER, self._change)

    def handle(self, request: Request) -> Response:
        """Answers one request."""
        if request.path == "/ping":
            return Response(200, {"Content-Type": "text/html; charset=UTF-8"}, b"Ok.\n")
        if request.path != "/":
            return Response(
                404, {"Content-Type": "text/plain; charset=UTF-8"}, b"There is no handle " + request.path.encode()
            )
        if request.method not in ("GET", "POST"):
            return Response(501, {"Content-Type": "text/plain; charset=UTF-8"}, b"")
        try:
            self._authenticate(request)
            return self._query(request)
        except ClickHouseError as error:
            return error.response(self._engine.version)

    def throttled(self, retry_after: int | None) -> Response:
        """The server has no such answer; a proxy in front of it may."""
        headers = {"Content-Type": "text/plain"}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return Response(429, headers, b"too many requests\n")

    def unauthorized(self) -> Response:
        """A password that was changed just now."""
        return self._refused(USER).response(self._engine.version)

    def unavailable(self, status: int) -> Response:
        """A proxy's answer for a server that restarts."""
        return Response(status, {"Content-Type": "text/plain"}, b"upstream connect error\n")

    def seed(self, sql: str) -> None:
        """Runs statements with all rights; each ends with a semicolon at the end of a line."""
        for statement in statements(sql):
            if not self._administration.take(statement):
                self._engine.run(statement, DATABASE, {}, "TSV")

    def tables(self) -> list[str]:
        """Every table, by full name."""
        named = self._engine.text(
            "SELECT concat(database, '.', name) FROM system.tables "
            "WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') ORDER BY 1"
        )
        return named.split("\n") if named else []

    def expire(self, what: str) -> None:
        """Nothing of this server expires."""
        raise ValueError(f"ClickHouse has no {what} that expire")

    def configure(self, settings: dict[str, Any]) -> None:
        """Changes settings."""
        if settings.pop("ungranted", False):
            self._administration.forget()
        names = {"deny": "deny", "readOnly": "read_only", "profile": "profile", "fail": "fail"}
        for name, value in settings.items():
            if name not in names:
                raise ValueError(f"there is no setting {name}")
            setattr(self._settings, names[name], value)

    def connection(self, url: str) -> dict[str, Any]:
        """What a client needs."""
        return {"user": USER, "password": self._password, "database": DATABASE}

    def state(self) -> dict[str, Any]:
        """The version."""
        return {"version": self._engine.version}

    def _change(self, password: str) -> None:
        self._password = password

    def _refused(self, user: str) -> ClickHouseError:
        text = f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
        return ClickHouseError(AUTHENTICATION_FAILED, text)

    def _authenticate(self, request: Request) -> None:
        user, password = request.header("x-clickhouse-user"), request.header("x-clickhouse-key")
        basic = request.header("authorization")
        if basic is not None:
            if user is not None or password is not None:
                raise ClickHouseError(
                    AUTHENTICATION_FAILED, "Invalid authentication: it is not allowed to use two methods"
                )
            decoded = base64.b64decode(basic.removeprefix("Basic ")).decode()
            user, _, password = decoded.partition(":")
        given = (password or "").encode()
        if user != USER or not secrets.compare_digest(given, self._password.encode()):
            raise self._refused(user or "default")

    def _query(self, request: Request) -> Response:
        asked = dict(request.query)
        if len(asked) != len(request.query):
            raise ValueError("a parameter stands twice in a request")
        settings = {name: value for name, value in asked.items() if name not in PARAMETERS}
        unknown = settings.keys() - self._engine.settings
        if unknown:
            raise ClickHouseError(
                UNKNOWN_SETTING, f"Setting {min(unknown)} is neither a builtin setting nor started with the prefix"
            )
        if self._settings.profile == 1 and settings:
            raise ClickHouseError(READONLY, f"Cannot modify '{min(settings)}' setting in readonly mode")
        mode = int(settings.pop("readonly", self._settings.profile))
        if self._settings.profile == 2 and mode != 2:
            raise ClickHouseError(READONLY, "Cannot modify 'readonly' setting in readonly mode")
        # The query of the address stands before the body, as data of an INSERT do behind it.
        sql = "\n".join(part for part in (asked.get("query", ""), request.body.decode()) if part)
        if request.method == "GET":
            mode = mode or 2
        if mode and not _READS.match(sql):
            raise ClickHouseError(READONLY, f"{USER}: Cannot execute query in readonly mode")
        handle = asked.get("query_id") or str(uuid.uuid4())
        form = asked.get("default_format", "TabSeparated")
        database = asked.get("database", DATABASE)
        settings.pop("replace_running_query", None)
        killed = _KILL.fullmatch(sql)
        if killed:
            return self._answer(handle, form, self._kill(killed[1]))
        self._check_grants(sql)
        checked = _CHECK_GRANT.fullmatch(sql)
        if checked and self._settings.read_only:
            return self._answer(
                handle, form, _document("result", "UInt8", [[int(checked[1].strip().upper() == "SELECT")]])
            )
        statement = Statement(handle, USER, sql, lambda own: self._run(own, database, settings, form))
        self.board.submit(statement)
        while not statement.done.wait(LOOK_SECONDS):
            self.board.poll(statement)
        if isinstance(statement.error, Cancelled):
            raise ClickHouseError(QUERY_WAS_CANCELLED, "Query was cancelled")
        if statement.error:
            raise statement.error
        return self._answer(handle, form, self._broken(sql, form, statement.result))

    def _run(self, statement: Statement, database: str, settings: dict[str, str], form: str) -> bytes:
        if statement.cancelled:
            raise Cancelled
        return self._engine.run(statement.sql, database, settings, form)

    def _kill(self, handle: str) -> bytes:
        statement = self.board.find(handle)
        killed = statement is not None and self.board.cancel(statement)
        return _document("kill_status", "String", [["waiting"]] if killed else [])

    def _check_grants(self, sql: str) -> None:
        rights = self._settings.rights
        ungranted = [name for name in self.tables() if name in rights] if rights is not None else []
        for name in [*self._settings.deny, *ungranted]:
            _, table = name.split(".")
            if re.search(rf"\b{re.escape(table)}\b", sql):
                raise denied(USER, f"SELECT(id) ON {name}")
        written = _DDL.match(sql)
        if written and self._settings.read_only:
            raise denied(USER, f"{written[1].upper()} ON {quote('_backflow')}.*")

    def _answer(self, handle: str, form: str, body: bytes) -> Response:
        headers = {
            "Content-Type": "application/json; charset=UTF-8"
            if form.startswith("JSON")
            else "text/tab-separated-values",
            "X-ClickHouse-Server-Display-Name": "fake",
            "X-ClickHouse-Query-Id": handle,
            "X-ClickHouse-Format": form,
            "X-ClickHouse-Timezone": "UTC",
        }
        return Response(200, headers, body)

    def _broken(self, sql: str, form: str, body: bytes) -> bytes:
        """The answer to a query that failed after its first rows were sent."""
        fail = self._settings.fail
        if fail is None or form != "JSONCompact" or not re.search(r"^SELECT _m\.[^*]", sql):
            return body
        document = json.loads(body)
        text = ClickHouseError(fail["code"], "while reading rows").text(self._engine.version)
        rows = document["data"][: fail["rows"]]
        if fail["form"] == "member":
            return json.dumps({**document, "data": rows, "rows": len(rows), "exception": text}).encode()
        lines = ",\n".join(json.dumps(row) for row in rows)
        begun = f'{{"meta":{json.dumps(document["meta"])},"data":\n[\n{lines}'
        if fail["form"] == "tagged":
            tag = "dmrdfnujjqvszhav"
            return f"{begun},\r\n__exception__\r\n{tag}\r\n{text}{len(text)} {tag}\r\n__exception__\r\n".encode()
        return (begun + text).encode()


def _document(name: str, kind: str, rows: list[list[Any]]) -> bytes:
    return json.dumps({"meta": [{"name": name, "type": kind}], "data": rows, "rows": len(rows)}).encode()
