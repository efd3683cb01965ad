"""The Statement Execution API's operations, the warehouse beside them, and the OAuth endpoint."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from ..administration import statements
from ..engine import Engine
from ..parsing import SyntaxRefused, parse
from ..statements import Cancelled, Statement, StatementBoard
from ..wire import Request, Response
from . import execute, requests
from .administration import Administration
from .auth import Authenticator
from .dialect import DIALECT
from .errors import ApiError, StatementError, invalid, unauthenticated
from .execute import Result, Workspace
from .functions import MACROS
from .links import PREFIX, Links

ROOT = "/api/2.0/sql/statements"
_STATEMENT = re.compile(rf"{ROOT}/([^/]+)")
_CANCEL = re.compile(rf"{ROOT}/([^/]+)/cancel")
_CHUNK = re.compile(rf"{ROOT}/([^/]+)/result/chunks/([^/]+)")
_WAREHOUSE = re.compile(r"/api/2\.0/sql/warehouses/([^/]+)")
_ENTRA = re.compile(r"/([^/]+)/oauth2/v2\.0/token")
WAREHOUSE_ID = "0123456789abcdef"
_STATES = {"RUNNING": "RUNNING", "SUCCEEDED": "SUCCEEDED", "FAILED": "FAILED", "CANCELLED": "CANCELED"}


class Databricks:
    """One workspace with one SQL warehouse."""

    def __init__(self) -> None:
        self.board = StatementBoard()
        self.auth = Authenticator()
        self.links = Links()
        self.chunk_rows = 10_000
        self.warehouse_running = True
        self.resumes = 0
        self._engine = Engine(MACROS)
        self.workspace = Workspace(self._engine)
        self._administration = Administration(self.workspace, self.auth.client_id)

    def handle(self, request: Request) -> Response:
        """Answers one request."""
        if request.path.startswith(PREFIX):
            return self.links.serve(request)
        if request.path == "/oidc/v1/token" and request.method == "POST":
            return self.auth.token(request)
        if request.method == "POST" and (found := _ENTRA.fullmatch(request.path)):
            return self.auth.entra_token(request, found[1])
        if request.path == "/oidc/.well-known/oauth-authorization-server" and request.method == "GET":
            return self.auth.endpoints(request)
        if request.path == "/.well-known/databricks-config" and request.method == "GET":
            return Response.json(200, {"oidc_endpoint": f"{request.base_url}/oidc", "workspace_id": "1234567890123456"})
        try:
            return self._route(request)
        except ApiError as error:
            return error.response()

    def _route(self, request: Request) -> Response:
        method, path = request.method, request.path
        owner = self.auth.owner(request)
        if method == "POST" and path.rstrip("/") == ROOT:
            requests.no_query(request)
            return self._submit(request, owner)
        requests.no_query(request)
        if method == "GET" and (found := _STATEMENT.fullmatch(path)):
            statement = self._find(found[1], owner)
            self.board.poll(statement)
            return Response.json(200, self._resource(statement, request.base_url))
        if method == "POST" and (found := _CANCEL.fullmatch(path)):
            self.board.cancel(self._find(found[1], owner))
            return Response.json(200, {})
        if method == "GET" and (found := _CHUNK.fullmatch(path)):
            return self._chunk(self._find(found[1], owner), requests.chunk(found[2]), request.base_url)
        if method == "GET" and (found := _WAREHOUSE.fullmatch(path)):
            return self._warehouse(found[1])
        raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")

    def throttled(self, retry_after: int | None) -> Response:
        """Too many requests."""
        text = "The current request has exceeded the rate limit."
        response = ApiError(429, "RESOURCE_EXHAUSTED", text).response()
        if retry_after is not None:
            response.headers["Retry-After"] = str(retry_after)
        return response

    def unauthorized(self) -> Response:
        """A token that just expired."""
        return unauthenticated().response()

    def unavailable(self, status: int) -> Response:
        """A server error."""
        return ApiError(status, "TEMPORARILY_UNAVAILABLE", "The service is temporarily unavailable.").response()

    # Operations.

    def _submit(self, request: Request, owner: str) -> Response:
        asked = requests.submission(request)
        if asked.warehouse != WAREHOUSE_ID:
            text = f"SQL warehouse {asked.warehouse} does not exist."
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", text)
        if not self.warehouse_running:
            self.warehouse_running = True
            self.resumes += 1
        handle = str(uuid.uuid4())
        statement = Statement(handle, owner, asked.statement, lambda own: execute.run(self.workspace, asked, own))
        statement.extra = {"asked": asked}
        self.board.submit(statement)
        if not statement.hold and asked.wait:
            statement.done.wait(asked.wait)
        if asked.wait and asked.cancel_after_wait and statement.running:
            self.board.cancel(statement)
        return Response.json(200, self._resource(statement, request.base_url, asked.wait == 0))

    def _find(self, handle: str, owner: str) -> Statement:
        statement = self.board.find(handle)
        if statement is None or statement.owner != owner:
            raise ApiError(404, "NOT_FOUND", f"The statement {handle} was not found.")
        return statement

    def _resource(self, statement: Statement, base_url: str, pending: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = {"statement_id": statement.handle, "status": {"state": _STATES[statement.state]}}
        if pending:
            found["status"] = {"state": "PENDING"}
            return found
        if isinstance(statement.error, StatementError):
            found["status"] = statement.error.status()
        elif statement.error is not None and not isinstance(statement.error, Cancelled):
            found["status"] = StatementError("INTERNAL_ERROR", "XX000", str(statement.error), "INTERNAL_ERROR").status()
        elif statement.expired:
            found["status"] = {"state": "CLOSED"}
        elif statement.state == "SUCCEEDED":
            found["manifest"] = self._manifest(statement.result)
            found["result"] = self._data(statement, 0, base_url)
        return found

    def _chunks(self, result: Result) -> list[list[list[str | None]]]:
        size = self.chunk_rows
        return [result.rows[start : start + size] for start in range(0, len(result.rows), size)]

    def _manifest(self, result: Result) -> dict[str, Any]:
        chunks, described, offset = self._chunks(result), [], 0
        for index, rows in enumerate(chunks):
            size = len(json.dumps(rows).encode())
            described.append({"chunk_index": index, "row_offset": offset, "row_count": len(rows), "byte_count": size})
            offset += len(rows)
        return {
            "format": "JSON_ARRAY",
            "schema": {"column_count": len(result.columns), "columns": result.columns},
            "total_chunk_count": len(chunks),
            "chunks": described,
            "total_row_count": len(result.rows),
            "total_byte_count": sum(chunk["byte_count"] for chunk in described),
            "truncated": result.truncated,
        }

    def _data(self, statement: Statement, index: int, base_url: str) -> dict[str, Any]:
        """A chunk: its rows, or the link to them."""
        chunks = self._chunks(statement.result)
        if not chunks and index == 0:
            return {}
        if index >= len(chunks):
            raise invalid(f"The chunk index {index} is out of range, the result has {len(chunks)} chunks.")
        rows = chunks[index]
        found: dict[str, Any] = {
            "chunk_index": index,
            "row_offset": sum(len(before) for before in chunks[:index]),
            "row_count": len(rows),
        }
        if index + 1 < len(chunks):
            link = f"{ROOT}/{statement.handle}/result/chunks/{index + 1}"
            found |= {"next_chunk_index": index + 1, "next_chunk_internal_link": link}
        if not statement.extra["asked"].external:
            return {**found, "data_array": rows}
        body = json.dumps(rows).encode()
        link, expires = self.links.sign(base_url, f"{statement.handle}_{index}", body)
        return {"external_links": [{**found, "byte_count": len(body), "external_link": link, "expiration": expires}]}

    def _chunk(self, statement: Statement, index: int, base_url: str) -> Response:
        if statement.state != "SUCCEEDED" or statement.expired:
            raise ApiError(404, "NOT_FOUND", f"The statement {statement.handle} has no result.")
        return Response.json(200, self._data(statement, index, base_url))

    def _warehouse(self, identifier: str) -> Response:
        if identifier != WAREHOUSE_ID:
            raise ApiError(404, "RESOURCE_DOES_NOT_EXIST", f"SQL warehouse {identifier} does not exist.")
        state = "RUNNING" if self.warehouse_running else "STOPPED"
        return Response.json(200, {"id": WAREHOUSE_ID, "name": "Load", "state": state, "auto_stop_mins": 10})

    # What the control endpoint calls.

    def seed(self, sql: str) -> None:
        """Runs statements with all rights, in workspace.shop."""
        try:
            for one in statements(sql):
                for statement in [] if self._administration.take(one) else parse(one, DIALECT):
                    text = statement.sql(dialect="databricks")
                    asked = requests.Submission(text, WAREHOUSE_ID, None, "shop", {}, None, None, True, 10, False)
                    execute.run(self.workspace, asked, None, force=True)
        except SyntaxRefused as refused:
            raise ValueError(str(refused)) from refused
        except StatementError as error:
            raise ValueError(error.message) from error

    def tables(self) -> list[str]:
        """Every table, by full name."""
        cursor = self._engine.cursor()
        found = cursor.run("SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal").rows
        cursor.close()
        return sorted(".".join(row) for row in found)

    def expire(self, what: str) -> None:
        """Results an hour after the statement, all tokens, or external links."""
        match what:
            case "results":
                self.board.expire_results()
            case "tokens":
                self.auth.revoke()
            case "links":
                self.links.expire()
            case _:
                raise ValueError("what must be results, tokens or links")

    def configure(self, settings: dict[str, Any]) -> None:
        """chunkRows, truncateRows, inlineBytes, deny, readOnly, ungranted, warehouse {running}."""
        for name, value in settings.items():
            match name:
                case "chunkRows" if isinstance(value, int) and value > 0:
                    self.chunk_rows = value
                case "truncateRows" if value is None or isinstance(value, int):
                    self.workspace.truncate_rows = value
                case "inlineBytes" if isinstance(value, int):
                    self.workspace.inline_limit = value
                case "deny" if isinstance(value, list):
                    self.workspace.denied = set(value)
                case "readOnly" if isinstance(value, bool):
                    self.workspace.read_only = value
                case "ungranted" if value is True:
                    self._administration.forget()
                case "warehouse" if isinstance(value, dict) and value.keys() == {"running"}:
                    self.warehouse_running = bool(value["running"])
                case _:
                    raise ValueError(f"no setting {name} with this value")

    def state(self) -> dict[str, Any]:
        """The warehouse."""
        return {"warehouse": {"running": self.warehouse_running, "resumes": self.resumes}}

    def connection(self, url: str) -> dict[str, Any]:
        """What a client needs to connect."""
        return {
            "host": url.partition("://")[2],
            "warehouseId": WAREHOUSE_ID,
            "httpPath": f"/sql/1.0/warehouses/{WAREHOUSE_ID}",
            "catalog": execute.CATALOG,
            "schema": "shop",
            "token": self.auth.personal_token,
            "clientId": self.auth.client_id,
            "clientSecret": self.auth.client_secret,
            "tenantId": self.auth.tenant,
            "entraSecret": self.auth.entra_secret,
        }
