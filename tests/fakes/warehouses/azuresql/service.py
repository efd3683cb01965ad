"""A server of Azure SQL: who may log in, what it is set to, and its listeners."""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
from typing import Any

from ..engine import Engine
from ..fake import Front
from ..statements import StatementBoard
from ..tls import server_context
from ..wire import Place, Response, Server
from . import entra, execute, functions, login
from .administration import Administration
from .errors import SqlError, login_failed
from .session import Session

USER = "backflow"
APPLICATION = "backflow-app"


class Listener:
    """A port, with a thread for each connection."""

    def __init__(self, service: AzureSql, front: Front, place: Place, context: ssl.SSLContext, gateway: bool) -> None:
        self._given = service, front, context, gateway
        self._socket = socket.create_server((place.host, place.port), backlog=128)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        service, front, context, gateway = self._given
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(service, front, connection, context, gateway)
            threading.Thread(target=session.run, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self._socket.close()


class Listeners:
    """The server's port, that of another one to which it may send its clients, and where tokens are made."""

    def __init__(self, front: Front, place: Place, encrypted: ssl.SSLContext | None) -> None:
        service = front.warehouse
        assert isinstance(service, AzureSql)
        context, service.authority_pem = server_context(place)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        service.context = context
        local = place.host == Place().host
        service.host = "localhost" if local else place.host
        self._worker: Listener = Listener(service, front, Place(place.host), context, False)
        service.worker_port = self._worker.port
        self._gateway: Listener = Listener(service, front, place, context, True)
        # By the certificate of the server, so that clients need to trust one authority.
        self._tokens: Server = Server(service.tokens, Place(place.host), context if encrypted else None)
        service.authority = self._tokens.url
        self.address = f"{place.host}:{self._gateway.port}"
        self.url = f"tds://{self.address}"

    def close(self) -> None:
        """Stops listening."""
        self._gateway.close()
        self._worker.close()
        self._tokens.close()


class AzureSql:
    """One server with one database."""

    listen = Listeners

    def __init__(self) -> None:
        self.board = StatementBoard()
        self.database = execute.Database(Engine(functions.MACROS))
        self.tokens = entra.Tokens()
        self.password = "pass;é=" + secrets.token_urlsafe(18)
        self.encryption = "on"
        self.context: ssl.SSLContext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.route = False
        self.fail: dict[str, int] | None = None
        self.violations: list[str] = []
        self.login_failures: list[int] = []
        # As clients know it, and as its certificate names it.
        self.host = "localhost"
        self.worker_port, self.authority, self.authority_pem = 0, "", ""
        self._administration = Administration(self.database, USER, APPLICATION, self._change)

    def encryption_for(self, wanted: int) -> int:
        """What the server says of encryption to a client that says this."""
        if self.encryption == "off":
            return login.ENCRYPT_NOT_SUPPORTED
        if self.encryption == "required":
            return login.ENCRYPT_REQUIRED if wanted == login.ENCRYPT_NOT_SUPPORTED else login.ENCRYPT_ON
        return login.ENCRYPT_NOT_SUPPORTED if wanted == login.ENCRYPT_NOT_SUPPORTED else login.ENCRYPT_ON

    def let_in(self, asked: login.Login, echo: bool) -> str:
        """The user that a login is; the server's error for anybody else."""
        texts = asked.texts
        user = USER
        if 0x02 in asked.features:
            token = login.read_token(asked.features[0x02], echo)
            if texts["user"] or texts["password"] or not self.tokens.holds(token):
                raise login_failed("<token-identified principal>")
            user = APPLICATION
        elif self.database.edition == "fabric" or not self._is_password(texts):
            raise login_failed(texts["user"])
        if texts["database"].lower() != execute.DATABASE:
            text = f'Cannot open database "{texts["database"]}" requested by the login. The login failed.'
            raise SqlError(4060, text, level=11)
        if texts["language"] not in ("", "us_english"):
            raise SqlError(4027, "The language is not an official language name.")
        return user

    def _change(self, password: str) -> None:
        self.password = password

    def _is_password(self, texts: dict[str, str]) -> bool:
        same = secrets.compare_digest(texts["password"].encode(), self.password.encode())
        return same and texts["user"] == USER

    # What the HTTP fakes answer and this one does not.

    def handle(self, _: Any) -> Response:
        """It speaks no HTTP."""
        return Response(404)

    throttled = unauthorized = unavailable = handle

    # What the control endpoint calls.

    def seed(self, sql: str) -> None:
        """Runs statements with all rights; GO ends a batch, and so does a semicolon at the end of a line."""
        try:
            for batch in sql.replace("\nGO\n", ";\n").split(";\n"):
                if batch.strip() and not self._administration.take(batch.strip().removesuffix(";")):
                    execute.run(self.database, batch, None, "dbo", force=True)
        except SqlError as error:
            raise ValueError(f"{error.number}: {error.message}") from error

    def tables(self) -> list[str]:
        """Every table, by full name."""
        return sorted(f"{execute.DATABASE}.{schema}.{name}" for schema, name in self.database.catalog)

    def expire(self, what: str) -> None:
        """All tokens."""
        if what != "tokens":
            raise ValueError("what must be tokens")
        self.tokens.revoke()

    def configure(self, settings: dict[str, Any]) -> None:
        """deny, readOnly, ungranted, encryption, tls, route, edition, fail."""
        for name, value in settings.items():
            match name:
                case "deny" if isinstance(value, list):
                    self.database.denied = set(value)
                case "readOnly" if isinstance(value, bool):
                    self.database.read_only = value
                case "ungranted" if value is True:
                    self._administration.forget()
                case "encryption" if value in ("on", "off", "required"):
                    self.encryption = value
                case "tls" if value in ("1.2", "1.3"):
                    newest = ssl.TLSVersion.TLSv1_2 if value == "1.2" else ssl.TLSVersion.TLSv1_3
                    self.context.maximum_version = newest
                case "route" if isinstance(value, bool):
                    self.route = value
                case "edition" if value in execute.EDITIONS:
                    self.database.edition = value
                case "fail" if value is None or (isinstance(value, dict) and value.keys() == {"rows", "number"}):
                    self.fail = value
                case _:
                    raise ValueError(f"no setting {name} with this value")

    def state(self) -> dict[str, Any]:
        """What clients did wrong, and why logins failed."""
        return {"violations": list(self.violations), "loginFailures": list(self.login_failures)}

    def connection(self, url: str) -> dict[str, Any]:
        """What a client needs to connect."""
        return {
            "host": self.host,
            "port": int(url.rsplit(":", 1)[1]),
            "database": execute.DATABASE,
            "user": USER,
            "password": self.password,
            "certificateAuthority": self.authority_pem,
            "authority": self.authority,
            "tenantId": entra.TENANT,
            "clientId": entra.CLIENT,
            "clientSecret": self.tokens.secret,
            "podToken": self.tokens.pod_token,
        }
