"""One connection: how it begins, and what is said in it."""

from __future__ import annotations

import socket
import ssl
import uuid
from email.message import Message
from typing import TYPE_CHECKING

from ..faults import Fault
from ..statements import Cancelled, Statement
from ..wire import Request, Response
from . import execute, login, packets, tokens
from .errors import SqlError
from .packets import Gone, Refused, Stream

if TYPE_CHECKING:
    from ..fake import Front
    from .service import AzureSql

_HEADERS = 22
# How a message is called where faults are armed and in the ledger.
LOGIN, BATCH = "LOGIN", "BATCH"


class Session:
    """A client's connection, in a thread of its own."""

    def __init__(
        self, service: AzureSql, front: Front, connection: socket.socket, context: ssl.SSLContext, gateway: bool
    ) -> None:
        self._service, self._front, self._context = service, front, context
        self._socket, self._stream = connection, Stream(connection)
        self._gateway, self._size, self._user = gateway, 4096, ""

    def run(self) -> None:
        """Serves it until it ends."""
        try:
            with self._socket:
                if self._begin():
                    while True:
                        self._next()
        except Refused as refused:
            self._service.violations.append(str(refused))
        except (Gone, OSError):
            pass

    def _request(self, method: str, body: str) -> Request:
        return Request(method, "/", (), Message(), body.encode(), "")

    def _begin(self) -> bool:
        kind, message = self._stream.message(4096)
        if kind != packets.PRELOGIN:
            raise Refused(f"a connection that begins with a packet of type {kind}")
        wanted = login.read_prelogin(message)
        answer = self._service.encryption_for(wanted.encryption)
        self._reply(login.prelogin(answer, wanted.token))
        if answer == login.ENCRYPT_REQUIRED and wanted.encryption == login.ENCRYPT_NOT_SUPPORTED:
            return False
        if answer in (login.ENCRYPT_ON, login.ENCRYPT_REQUIRED):
            self._stream.encrypt(self._context)
        kind, message = self._stream.message(4096)
        if kind != packets.LOGIN:
            raise Refused(f"a login in a packet of type {kind}")
        asked = login.read_login(message)
        if 0x02 in asked.features and not self._stream.encrypted:
            raise Refused("a token that everybody can read")
        request = self._request(LOGIN, f"{asked.texts['program']} {asked.texts['database']}")
        fault = self._front.faults.take(request)
        failure = None
        if fault and fault.kind == "error":
            failure = SqlError(fault.fields["number"], "The login is refused.", level=14)
        else:
            try:
                self._user = self._service.let_in(asked, wanted.token)
            except SqlError as error:
                failure = error
        self._front.ledger.record(request, Response(failure.number if failure else 0), fault.kind if fault else None)
        if failure:
            self._service.login_failures.append(failure.number)
            self._reply(tokens.error(failure) + tokens.done(tokens.ERROR), fault)
            return False
        if self._gateway and self._service.route:
            self._reply(tokens.routed(self._service.host, self._service.worker_port))
            return False
        size = max(512, min(asked.packet_size, 16383))
        features = b"\x0a\x01\x00\x00\x00\x01" if 0x0A in asked.features else b""
        if 0x02 in asked.features:
            features = b"\x02\x00\x00\x00\x00" + features
        self._reply(tokens.acknowledged(execute.DATABASE, size, features), fault)
        self._size = size
        return True

    def _next(self) -> None:
        kind, message = self._stream.message(self._size)
        if kind == packets.ATTENTION:
            if message:
                raise Refused("an attention that says something")
            return self._reply(tokens.done(tokens.ATTENTION))
        if kind != packets.BATCH:
            raise Refused(f"a packet of type {kind}")
        head = message[:_HEADERS]
        if head != bytes.fromhex("1600000012000000020000000000000000000100" + "0000"):
            raise Refused("a batch whose headers are not those of a batch outside of a transaction")
        try:
            sql = message[_HEADERS:].decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise Refused("a batch that is no text") from error
        return self._batch(sql)

    def _batch(self, sql: str) -> None:
        request = self._request(BATCH, sql)
        fault = self._front.faults.take(request)
        if fault and fault.kind == "refuse":
            self._front.ledger.record(request, Response(0), fault.kind)
            self._stream.reset()
            raise Gone
        service = self._service
        if fault and fault.kind == "error":
            error = SqlError(fault.fields["number"], "The statement is refused.")
            self._front.ledger.record(request, Response(error.number), fault.kind)
            return self._reply(tokens.error(error) + tokens.done(tokens.ERROR))
        user = self._user
        statement = Statement(str(uuid.uuid4()), user, sql, lambda own: execute.run(service.database, sql, own, user))
        service.board.submit(statement)
        stopped = False
        while not statement.done.wait(0.005):
            service.board.poll(statement)
            try:
                if self._stream.waiting(0.01):
                    kind, _ = self._stream.message(self._size)
                    if kind != packets.ATTENTION:
                        raise Refused("a second batch before the first was answered")
                    stopped = True
            except (Gone, Refused):
                service.board.cancel(statement)
                raise
            if stopped:
                service.board.cancel(statement)
                break
        failure = statement.error
        self._front.ledger.record(
            request, Response(failure.number if isinstance(failure, SqlError) else 0), fault.kind if fault else None
        )
        if stopped or isinstance(failure, Cancelled):
            return self._reply(tokens.done(tokens.ATTENTION))
        if isinstance(failure, SqlError):
            return self._reply(tokens.error(failure) + tokens.done(tokens.ERROR))
        if failure is not None:
            import traceback

            traceback.print_exception(failure)
            return self._reply(tokens.error(SqlError(50000, "internal error of the fake")) + tokens.done(tokens.ERROR))
        return self._reply(self._answer(statement.result), fault)

    def _answer(self, results: list[execute.Result]) -> bytes:
        out = [] if results else [tokens.done(0)]
        for at, result in enumerate(results, 1):
            more = tokens.MORE if at < len(results) else 0
            if result.is_query:
                out.append(tokens.columns(result.columns))
                kinds = [kind for _, kind in result.columns]
                rows = result.rows
                limit = self._service.fail
                if limit and len(rows) > limit["rows"]:
                    out += [tokens.row(kinds, row) for row in rows[: limit["rows"]]]
                    out.append(tokens.error(SqlError(limit["number"], "The query failed within its rows.")))
                    out.append(tokens.done(tokens.ERROR))
                    break
                out += [tokens.row(kinds, row) for row in rows]
                out.append(tokens.done(more | tokens.COUNT, len(rows), tokens.SELECT))
            else:
                out.append(tokens.done(more | tokens.COUNT, result.changed))
        return b"".join(out)

    def _reply(self, payload: bytes, fault: Fault | None = None) -> None:
        data = b"".join(packets.frame(packets.REPLY, payload, self._size))
        delivery = fault.delivery() if fault else None
        if delivery and delivery.bytes_per_second:
            return self._stream.drip(data, delivery.bytes_per_second)
        if delivery and delivery.reset_after is not None:
            self._stream.send(data[: delivery.reset_after])
            self._stream.reset()
            raise Gone
        if delivery and delivery.close_after is not None:
            self._stream.send(data[: delivery.close_after])
            raise Gone
        return self._stream.send(data)
