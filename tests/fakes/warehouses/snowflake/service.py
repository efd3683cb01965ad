"""The SQL API's operations: submit, status and partitions, cancel."""

from __future__ import annotations

import gzip
import json
import re
import threading
import uuid
from dataclasses import replace
from typing import Any

from ..administration import statements
from ..engine import Cursor, Engine
from ..names import DECODE_MACRO
from ..statements import Cancelled, Statement, StatementBoard
from ..wire import Request, Response
from . import catalog, requests
from .administration import Administration
from .auth import Authenticator, User
from .errors import SnowflakeError, cancelled, not_found, payload
from .execute import Execution, Result, create_database, text_column
from .functions import MACROS
from .rules import check
from .session import Account, Session, WarehouseState, open_session

ROOT = "/api/v2/statements"
_PATH = re.compile(rf"{ROOT}/([^/]+)(/cancel)?")
_IN_PROGRESS = "Asynchronous execution in progress. Use provided query id to perform query monitoring and management."


class Snowflake:
    """One account."""

    def __init__(self, account: str = "ACME-TEST", user: str = "BACKFLOW", sync_wait: float = 45.0) -> None:
        self.users = [User(user), User("SOMEBODY_ELSE")]
        self.account = Account(account, user, {"BACKFLOW_ROLE", "PUBLIC"}, "BACKFLOW_ROLE")
        self.account.warehouses = {"LOAD_WH": WarehouseState()}
        self.account.databases = {"SHOP": {"PUBLIC"}}
        self.board = StatementBoard()
        self.auth = Authenticator(account, self.users)
        self.partition_rows = 10_000
        self.sync_wait = sync_wait
        self.short_partition: int | None = None
        self._engine = Engine((DECODE_MACRO, *MACROS, *catalog.MACROS))
        self._administration = Administration(self.account, self.users[0], self._engine)
        self._requests: dict[str, str] = {}
        cursor = self._engine.cursor()
        create_database(cursor, "SHOP", ["PUBLIC"])
        cursor.close()

    # What the front calls.

    def handle(self, request: Request) -> Response:
        """Answers one request."""
        handle = None
        try:
            found = _PATH.fullmatch(request.path)
            if request.path.rstrip("/") == ROOT:
                allowed, operation = "POST", "submit"
            elif found:
                allowed, operation = ("POST", "cancel") if found[2] else ("GET", "status")
                handle = found[1]
            else:
                return SnowflakeError(404, "", "").response()
            if request.method != allowed:
                return SnowflakeError(405, "", "").response()
            user = self.auth.user(request)
            requests.check_headers(request)
            if operation == "submit":
                return self._submit(request, user)
            if handle is None or not requests.UUID.fullmatch(handle):
                raise payload("The statement handle is not a UUID.")
            return self._cancel(request, handle, user) if operation == "cancel" else self._status(request, handle, user)
        except SnowflakeError as error:
            return error.response(handle if error.status == 422 else None)

    def throttled(self, retry_after: int | None) -> Response:
        """Too many requests (reference page, 429)."""
        response = Response.json(429, {"code": "390505", "message": "Too many requests."})
        if retry_after is not None:
            response.headers["Retry-After"] = str(retry_after)
        return response

    def unauthorized(self) -> Response:
        """A JWT that just expired."""
        return self.auth.refused("JWT_TOKEN_INVALID_EXPIRATION_TIME").response()

    def unavailable(self, status: int) -> Response:
        """A server error."""
        return Response.json(status, {"code": "390000", "message": "Service is unavailable."})

    # Operations.

    def _submit(self, request: Request, user: User) -> Response:
        asked = requests.submission(request)
        session = open_session(self.account, asked.body)
        before = self.board.find(self._requests.get(asked.request_id or "", ""))
        if asked.retry and before and before.owner == user.name and before.state in ("RUNNING", "SUCCEEDED"):
            statement = before
        else:
            statement = self._start(asked, session, user)
        if not asked.is_async and not statement.hold:
            statement.done.wait(self.sync_wait)
        return self._answer(statement, 0, asked.is_async)

    def _start(self, asked: requests.Submission, session: Session, user: User) -> Statement:
        statement = Statement(str(uuid.uuid4()), user.name, asked.statement, lambda own: self._run(own, asked, session))
        if asked.request_id:
            self._requests[asked.request_id] = statement.handle
        self.board.submit(statement)
        if asked.timeout < requests.MAX_TIMEOUT:
            threading.Thread(target=self._time_out, args=(statement, asked.timeout), daemon=True).start()
        return statement

    def _time_out(self, statement: Statement, seconds: int) -> None:
        if not statement.done.wait(seconds) and self.board.cancel(statement):
            text = f"Statement reached its statement or warehouse timeout of {seconds} second(s) and was canceled."
            statement.error = SnowflakeError(408, "000630", text, "57014")

    def _run(self, statement: Statement, asked: requests.Submission, session: Session) -> Result:
        count = int(session.parameters.get("MULTI_STATEMENT_COUNT", 1))
        checked = check(asked.statement, count)
        if count != 1 and asked.literals:
            raise SnowflakeError(422, "000002", "Unsupported feature 'bindings in a multi-statement request'.", "0A000")
        cursor = self._engine.cursor(session.timezone)
        cursor.attach(statement)
        try:
            execution = Execution(session, cursor, asked.nullable)
            if count == 1:
                return execution.run(checked[0], asked.literals)
            cursor.wait_for_writers()
            children = [
                self._child(statement, execution, one.expression.sql(dialect="snowflake"), one) for one in checked
            ]
        finally:
            cursor.close()
        entry = text_column("multiple statement execution")
        return Result([entry], [["Multiple statements executed successfully."]], children=children)

    def _child(self, parent: Statement, execution: Execution, sql: str, checked: Any) -> str:
        """Runs one of several statements and keeps it under a handle of its own."""
        child = Statement(str(uuid.uuid4()), parent.owner, sql, lambda own: execution.run(checked, []))
        self.board.submit_now(child)
        if child.error:
            raise child.error
        return child.handle

    def _find(self, handle: str, user: User) -> Statement:
        statement = self.board.find(handle)
        if statement is None or statement.owner != user.name or statement.expired:
            raise not_found(handle)
        return statement

    def _status(self, request: Request, handle: str, user: User) -> Response:
        number = requests.partition(request)
        statement = self._find(handle, user)
        self.board.poll(statement)
        return self._answer(statement, number, False)

    def _cancel(self, request: Request, handle: str, user: User) -> Response:
        requests.cancel(request)
        statement = self._find(handle, user)
        if not self.board.cancel(statement):
            raise not_found(handle)
        return Response.json(200, {**cancelled().body(handle), "statementStatusUrl": f"{ROOT}/{handle}"})

    # Answers.

    def _answer(self, statement: Statement, number: int, submitted_async: bool) -> Response:
        url = f"{ROOT}/{statement.handle}"
        if statement.running or submitted_async:
            progress = {"code": "333334", "message": _IN_PROGRESS, "statementHandle": statement.handle}
            return Response.json(202, {**progress, "statementStatusUrl": url})
        if isinstance(statement.error, Cancelled):
            raise_as: SnowflakeError = cancelled()
        elif isinstance(statement.error, SnowflakeError):
            raise_as = statement.error
        elif statement.error is not None:
            raise_as = SnowflakeError(422, "000603", f"SQL execution internal error: {statement.error}", "XX000")
        else:
            return self._result(statement, statement.result, number)
        body = {
            **raise_as.body(statement.handle),
            "createdOn": int(statement.created * 1000),
            "statementStatusUrl": url,
        }
        return Response.json(raise_as.status, body)

    def _result(self, statement: Statement, result: Result, number: int) -> Response:
        size = self.partition_rows
        parts = [result.data[start : start + size] for start in range(0, len(result.data), size)] or [[]]
        if number >= len(parts):
            raise payload(f"The partition {number} is out of range, the result has {len(parts)}.")
        data = parts[number]
        if self.short_partition == number:
            data = data[:-1]
        links = {"Link": _links(statement.handle, number, len(parts))}
        if number > 0:
            packed = gzip.compress(json.dumps({"data": data}).encode(), 1)
            return Response(200, {"Content-Type": "application/json", "Content-Encoding": "gzip", **links}, packed)
        body: dict[str, Any] = {
            "resultSetMetaData": {
                "numRows": len(result.data),
                "format": "jsonv2",
                "partitionInfo": [_partition_info(part, at) for at, part in enumerate(parts)],
                "rowType": result.types,
            },
            "data": data,
            "code": "090001",
            "statementStatusUrl": f"{ROOT}/{statement.handle}?requestId={uuid.uuid4()}",
            "requestId": str(uuid.uuid4()),
            "sqlState": "00000",
            "statementHandle": statement.handle,
            "message": "Statement executed successfully.",
            "createdOn": int(statement.created * 1000),
        }
        if result.stats is not None:
            body["stats"] = result.stats
        if result.children:
            body["statementHandles"] = result.children
        response = Response.json(200, body)
        response.headers.update(links)
        return response

    # What the control endpoint calls.

    def seed(self, sql: str) -> None:
        """Runs statements with all rights, in SHOP.PUBLIC."""
        trusted = replace(self.account, read_only=False, denied=set(), warehouses={"LOAD_WH": WarehouseState()})
        session = Session(trusted, "BACKFLOW_ROLE", "LOAD_WH", "SHOP", "PUBLIC")
        cursor: Cursor = self._engine.cursor()
        try:
            for statement in statements(sql):
                if not self._administration.take(statement):
                    for checked in check(statement, 0):
                        Execution(session, cursor).run(checked, [])
        except SnowflakeError as error:
            raise ValueError(error.message) from error
        finally:
            cursor.close()

    def tables(self) -> list[str]:
        """Every table, by full name."""
        cursor = self._engine.cursor()
        try:
            return catalog.all_tables(cursor)
        finally:
            cursor.close()

    def expire(self, what: str) -> None:
        """Results after their retention, or OAuth and programmatic access tokens."""
        match what:
            case "results":
                self.board.expire_results()
            case "tokens":
                self.auth.revoke_tokens()
            case _:
                raise ValueError("what must be results or tokens")

    def configure(self, settings: dict[str, Any]) -> None:
        """partitionRows, shortPartition, deny (tables), readOnly, ungranted, warehouse {running, autoResume}."""
        for name, value in settings.items():
            match name:
                case "partitionRows" if isinstance(value, int) and value > 0:
                    self.partition_rows = value
                case "shortPartition" if value is None or isinstance(value, int):
                    self.short_partition = value
                case "deny" if isinstance(value, list):
                    self.account.denied = set(value)
                case "readOnly" if isinstance(value, bool):
                    self.account.read_only = value
                case "ungranted" if value is True:
                    self._administration.forget()
                case "warehouse" if isinstance(value, dict) and value.keys() <= {"running", "autoResume"}:
                    state = self.account.warehouses["LOAD_WH"]
                    state.running = bool(value.get("running", state.running))
                    state.auto_resume = bool(value.get("autoResume", state.auto_resume))
                case _:
                    raise ValueError(f"no setting {name} with this value")

    def state(self) -> dict[str, Any]:
        """The warehouse, and why logins failed."""
        wh = self.account.warehouses["LOAD_WH"]
        warehouse = {"running": wh.running, "autoResume": wh.auto_resume, "resumes": wh.resumes}
        return {"warehouse": warehouse, "loginFailures": self.auth.failures}

    def connection(self, url: str) -> dict[str, Any]:
        """What a client needs to connect."""
        user, other = self.users
        return {
            "account": self.account.name,
            "user": user.name,
            "role": self.account.default_role,
            "warehouse": "LOAD_WH",
            "database": "SHOP",
            "schema": "PUBLIC",
            "privateKey": user.private_pem(),
            "accessToken": user.access_token,
            "oauthToken": user.oauth_token,
            "otherUser": {"user": other.name, "accessToken": other.access_token},
        }


def _links(handle: str, number: int, count: int) -> str:
    targets = {"first": 0, "last": count - 1}
    if number > 0:
        targets["prev"] = number - 1
    if number + 1 < count:
        targets["next"] = number + 1
    return ", ".join(
        f'<{ROOT}/{handle}?requestId={uuid.uuid4()}&partition={at}>; rel="{name}"' for name, at in targets.items()
    )


def _partition_info(rows: list[list[Any]], number: int) -> dict[str, int]:
    raw = json.dumps(rows).encode()
    info = {"rowCount": len(rows), "uncompressedSize": len(raw)}
    if number > 0:
        info["compressedSize"] = len(gzip.compress(raw, 1))
    return info
